package app

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/longcase/longcase/gate"
)

func TestTheAuditLogIsAFileThatWaitsForNobody(t *testing.T) {
	dir := t.TempDir()
	pipe, ours := filepath.Join(dir, "pipe"), filepath.Join(dir, "ours")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(ours, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, path, says string }{
		{"none", "", ""},
		{"a new file", filepath.Join(dir, "audit.jsonl"), ""},
		{"a device", os.DevNull, ""},
		{"a named pipe that nobody reads", pipe, "is a pipe"},
		{"a folder", ours, "is a directory"},
		{"a folder that is not there", filepath.Join(dir, "no", "audit.jsonl"), "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			done := make(chan error, 1)
			go func() {
				f, err := openAudit(tt.path)
				if f != nil {
					f.Close()
				}
				done <- err
			}()
			select {
			case err := <-done:
				if (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
					t.Errorf("openAudit = %v, want %q", err, tt.says)
				}
			case <-time.After(patience):
				t.Fatal("openAudit waits")
			}
		})
	}
	reader, err := os.OpenFile(pipe, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if _, err := openAudit(pipe); err == nil || !strings.Contains(err.Error(), "is a pipe") {
		t.Errorf("a named pipe that is read = %v: it would hold up every decision once it is full", err)
	}
}

func TestLinesOfTheAuditLogAreWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	a := &audit{log: slog.New(slog.DiscardHandler)}
	reopen(t, a, path)
	const writers, each = 8, 200
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				a.write(gate.Record{TokenID: fmt.Sprint(w, ".", i), Detail: strings.Repeat("\n\"\x00", 1000)})
				if i%50 == 0 {
					reopen(t, a, path)
				}
			}
		})
	}
	all.Wait()
	a.turn(nil)
	a.write(gate.Record{TokenID: "after its end"})
	if lines := linesOf(t, path); len(lines) != writers*each || slices.Contains(lines, "") {
		t.Errorf("%d lines, want %d whole ones", len(lines), writers*each)
	}
}

// reopen goes on with path, as a reload does.
func reopen(t *testing.T, a *audit, path string) {
	t.Helper()
	f, err := openAudit(path)
	if err != nil {
		t.Error(err)
	}
	a.turn(f)
}

// linesOf are the ids of the records that the file at path holds; "" for a line
// that is none.
func linesOf(t *testing.T, path string) (ids []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var r gate.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			r.TokenID = ""
		}
		ids = append(ids, r.TokenID)
	}
	return ids
}

func TestADiskThatIsFullIsToldOnce(t *testing.T) {
	var log lockedBuffer
	a := &audit{log: slog.New(slog.NewTextHandler(&log, nil))}
	for range 2 {
		reopen(t, a, "/dev/full")
		for range 3 {
			a.write(gate.Record{})
		}
	}
	if n := strings.Count(log.String(), "missing from the audit log"); n != 2 {
		t.Errorf("told %d times, want once for each file:\n%s", n, log.String())
	}
	a.turn(nil)
}

// TestALineThatWasCutSpoilsNoOther has the file end in the middle of a line, as
// on a disk that becomes full, and then there is room again.
func TestALineThatWasCutSpoilsNoOther(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	a := &audit{log: slog.New(slog.DiscardHandler)}
	reopen(t, a, path)
	defer a.turn(nil)
	a.write(gate.Record{TokenID: "1"})
	filled(t, path, 10, func() { a.write(gate.Record{TokenID: "cut"}) })
	a.write(gate.Record{TokenID: "2"})
	filled(t, path, 10, func() { a.write(gate.Record{TokenID: "cut"}) })
	reopen(t, a, path) // by a reload or a restart
	a.write(gate.Record{TokenID: "3"})
	a.write(gate.Record{TokenID: "4"})
	if got := strings.Join(linesOf(t, path), " "); got != "1  2  3 4" {
		t.Errorf("the file holds %q", got)
	}
}

// filled calls f while the file at path may grow by room bytes only.
func filled(t *testing.T, path string, room int64, f func()) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	bound := before
	bound.Cur = uint64(info.Size() + room)
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &bound); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
			t.Fatal(err)
		}
	}()
	f()
}
