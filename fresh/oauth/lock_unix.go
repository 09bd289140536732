//go:build unix

package oauth

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"

	"github.com/longcase/longcase/fresh"
)

// noFollow refuses a symbolic link in the place of a file, and does not wait for
// the other end of a pipe.
const noFollow = syscall.O_NOFOLLOW | syscall.O_NONBLOCK

// lockFile takes the exclusive lock on path, which it makes where it is absent,
// and waits for it until ctx ends. The system gives the lock back when a process
// dies.
func lockFile(ctx context.Context, path string) (release func(), err error) {
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		f, err := tryLock(path)
		switch {
		case err != nil:
			return nil, stateError("locked", err)
		case f != nil:
			return func() { _ = f.Close() }, nil
		}
		select {
		case <-ctx.Done():
			return nil, &fresh.Error{Reason: fresh.Unavailable, Detail: "another process holds the lock of the state file", Err: ctx.Err()}
		case <-time.After(wait):
		}
	}
}

// tryLock returns the file that is locked, nil where another has the lock. A
// file that was removed meanwhile locks nothing: others make a new one.
func tryLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|noFollow, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil && isAt(f, path) {
		return f, nil
	}
	_ = f.Close()
	if err == nil || errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
		return nil, nil
	}
	return nil, err
}

// isAt reports whether path still leads to f.
func isAt(f *os.File, path string) bool {
	own, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(path)
	return err == nil && os.SameFile(own, there)
}
