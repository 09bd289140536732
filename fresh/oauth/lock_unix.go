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

// noFollow refuses a symbolic link in the place of a file.
const noFollow = syscall.O_NOFOLLOW

// lockFile takes the exclusive lock on path, which it makes where it is absent,
// and waits for it until ctx ends. The system gives the lock back when a process
// dies.
func lockFile(ctx context.Context, path string) (release func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|noFollow, 0o600)
	if err != nil {
		return nil, stateError("locked", err)
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			_ = f.Close()
			return nil, stateError("locked", err)
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, &fresh.Error{Reason: fresh.Unavailable, Detail: "another process holds the lock of the state file", Err: ctx.Err()}
		case <-time.After(wait):
		}
	}
}
