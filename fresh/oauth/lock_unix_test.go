//go:build unix

package oauth

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/longcase/longcase/fresh"
)

func TestALockFileThatWasRemovedLocksNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.lock")
	first, err := lockFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	waiter := make(chan error)
	go func() {
		release, err := lockFile(ctx, path)
		if err == nil {
			release()
		}
		waiter <- err
	}()
	time.Sleep(50 * time.Millisecond) // it has the file open
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	third, err := lockFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	first()
	if err := <-waiter; err == nil {
		t.Error("two have the lock at once")
	}
	third()
}

func TestAPipeInThePlaceOfTheStateIsRefusedAtOnce(t *testing.T) {
	d := newDouble(t, usual)
	file := filepath.Join(t.TempDir(), "s")
	if err := syscall.Mkfifo(file, 0o600); err != nil {
		t.Fatal(err)
	}
	said := make(chan error, 1)
	go func() {
		_, err := fetch(t, Refresh(d.config(), State{File: file, Seed: text("seed")}))
		said <- err
	}()
	select {
	case err := <-said:
		if !isReason(err, fresh.Misconfigured) || !strings.Contains(err.Error(), "is not a file") {
			t.Errorf("%v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it waits for somebody to write")
		f, _ := os.OpenFile(file, os.O_WRONLY, 0)
		_ = f.Close()
		<-said
	}
}
