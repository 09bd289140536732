package steady

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// blocks is what the files below dir take of their disk, in bytes: blocks, not
// lengths, since logs are made ahead of what is written into them.
func blocks(dir string) (int64, error) {
	var sum int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil // it was dropped meanwhile
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		sum += info.Sys().(*syscall.Stat_t).Blocks * 512
		return nil
	})
	return sum, err
}

// settled waits until what was dropped has left the disk and what is merged has
// been: in the store's time the background work of seconds is over at once.
func settled(ctx context.Context, measure func() (int64, error)) (float64, error) {
	const pause, still = 200 * time.Millisecond, 6
	last, err := measure()
	for same := 0; same < still && err == nil; same++ {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(pause):
		}
		was := last
		if last, err = measure(); last != was {
			same = -1
		}
	}
	return float64(last), err
}
