//go:build unix

package run

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func sh(ctx context.Context, script string) *exec.Cmd {
	return exec.CommandContext(ctx, "sh", "-c", script) //nolint:gosec // the test's own scripts
}

func TestOutput(t *testing.T) {
	var exit *exec.ExitError
	tests := []struct {
		name, script string
		printed      string
		ends         func(error) bool
	}{
		{"what it printed", "echo good", "good\n", func(err error) bool { return err == nil }},
		{"as much as it may", "printf 12345678", "12345678", func(err error) bool { return err == nil }},
		{"a byte too many", "printf 123456789; sleep 600", "", func(err error) bool { return errors.Is(err, ErrTooMuch) }},
		{"a failure, and what came before", "echo bad; exit 3", "bad\n", func(err error) bool { return errors.As(err, &exit) && exit.ExitCode() == 3 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, err := Output(sh(t.Context(), tt.script), 8)
			if string(out) != tt.printed || !tt.ends(err) {
				t.Errorf("Output = %q, %v, want %q", out, err, tt.printed)
			}
		})
	}
}

// A child in the background prints its number first, and holds the output.
const leavesAChild = "sleep 600 & echo $!; "

func TestAProgramThatEndedWellDidSo(t *testing.T) {
	t.Parallel()
	out, err := Output(sh(t.Context(), leavesAChild+"exit 0"), 100)
	if err != nil || !strings.HasSuffix(string(out), "\n") {
		t.Fatalf("Output = %q, %v", out, err)
	}
	gone(t, string(out))
}

func TestNothingIsLeftAtTheEndOfItsTime(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	out, err := Output(sh(ctx, leavesAChild+"trap '' TERM; wait"), 100)
	if err == nil {
		t.Fatal("a program that was killed ended well")
	}
	gone(t, string(out))
}

// gone waits until the process whose number was printed is no more.
func gone(t *testing.T, printed string) {
	t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(printed))
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) || zombie(pid) {
			return
		}
	}
	t.Errorf("process %d lives on", pid)
}

// zombie reports whether a process is dead and nobody has asked how it died.
func zombie(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && strings.Contains(string(stat), ") Z ")
}
