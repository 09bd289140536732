package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A terminal sends an interrupt to the program and to longcase; whoever kills
// longcase sends it to longcase alone. The program gets one either way.
func TestAProgramGetsEachInterruptOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "longcase.yaml")
	if err := os.WriteFile(file, []byte("agent: {credentials: {a: {kind: exec, command: [echo, secret]}}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const program = `trap 'echo interrupted' INT; echo up; i=0; while [ $i -lt 10 ]; do sleep 0.1; i=$((i+1)); done; echo over`
	for _, typed := range []bool{true, false} {
		cmd := exec.Command("longcase", "exec", "a", "-c", file, "--", "sh", "-c", program)
		terminal := terminalOf(t, cmd, typed)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		said := &bytes.Buffer{}
		until(t, terminal, said, "up")
		if typed {
			_, _ = terminal.Write([]byte{3})
		} else if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		until(t, terminal, said, "over")
		if err := cmd.Wait(); err != nil || strings.Count(said.String(), "interrupted") != 1 {
			t.Errorf("typed %v: %v, and the screen says %q", typed, err, said)
		}
	}
}

// Whoever interrupts a wait for a credential needs no words about it.
func TestAnInterruptedWaitIsQuiet(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		send syscall.Signal
		code int
	}{
		{"exec", []string{"exec", "a", "--", "touch", "ran"}, syscall.SIGINT, 130},
		{"token get", []string{"token", "get", "a"}, syscall.SIGINT, 130},
		{"token get, terminated", []string{"token", "get", "a"}, syscall.SIGTERM, 143},
		{"credential", []string{"credential", "kubernetes", "a"}, syscall.SIGINT, 130},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "longcase.yaml")
			text := "agent: {credentials: {a: {kind: exec, command: [sh, -c, 'touch " + dir + "/asked; exec sleep 5']}}}\n"
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("longcase", tt.args...)
			cmd.Env = append(os.Environ(), "LONGCASE_CONFIG="+file)
			cmd.Dir = dir
			var said bytes.Buffer
			cmd.Stdout, cmd.Stderr = &said, &said
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			for began := time.Now(); time.Since(began) < 30*time.Second; time.Sleep(5 * time.Millisecond) {
				if _, err := os.Stat(filepath.Join(dir, "asked")); err == nil {
					break
				}
			}
			if err := cmd.Process.Signal(tt.send); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			if got := cmd.ProcessState.ExitCode(); got != tt.code || said.Len() > 0 {
				t.Errorf("exit code %d, want %d; it says %q", got, tt.code, said.String())
			}
			if _, err := os.Stat(filepath.Join(dir, "ran")); err == nil {
				t.Error("the program ran")
			}
		})
	}
}

// terminalOf gives cmd a terminal of its own, controlling it or not.
func terminalOf(t *testing.T, cmd *exec.Cmd, controls bool) *os.File {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close() })
	if err := unix.IoctlSetPointerInt(int(ours.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(ours.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { theirs.Close() })
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs, theirs, theirs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: controls}
	return ours
}

// until reads the screen until it shows word.
func until(t *testing.T, screen io.Reader, said *bytes.Buffer, word string) {
	t.Helper()
	found := make(chan error, 1)
	go func() {
		var b [1]byte
		for !strings.Contains(said.String(), word) {
			if _, err := screen.Read(b[:]); err != nil {
				found <- err
				return
			}
			said.Write(b[:])
		}
		found <- nil
	}()
	select {
	case err := <-found:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("the screen never says %q", word)
	}
}
