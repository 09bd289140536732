// Package store measures what the stores promise, each beside the plain way:
//
//   - Rotate: durable rotations of the embedded engine against the disk's own
//     fsync rate, probed in the same run, with bbolt beside it (goal S1).
//   - Retire: what it costs to be rid of ended sessions, against deleting them
//     one by one (goal S2).
//
// A further engine joins Retire as a shelf and Rotate as a contender.
package store

import (
	"errors"
	"io/fs"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/longcase/longcase/store"
)

const (
	interval = 2 * time.Second
	record   = 150 // bytes of a session's record, about
)

// rate runs one step per client again and again and returns steps per second.
func rate(clients int, client func(i int) (step func() error)) (float64, error) {
	var (
		wg    sync.WaitGroup
		count atomic.Int64
		stop  atomic.Bool
		errs  = make([]error, clients)
		steps = make([]func() error, clients)
	)
	for i := range clients {
		steps[i] = client(i)
	}
	begin := time.Now()
	for i, step := range steps {
		wg.Go(func() {
			for !stop.Load() && errs[i] == nil {
				errs[i] = step()
				count.Add(1)
			}
		})
	}
	time.Sleep(interval)
	n, took := count.Load(), time.Since(begin)
	stop.Store(true)
	wg.Wait()
	return float64(n) / took.Seconds(), errors.Join(errs...)
}

// turn deals the sessions out: the i-th of n clients gets every n-th, in turn.
func turn(ids []store.ID, i, n int) func() store.ID {
	at := i
	return func() store.ID {
		id := ids[at%len(ids)]
		if at += n; at >= len(ids) {
			at = i
		}
		return id
	}
}

// blocks is what dir takes on the disk, in bytes.
func blocks(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil {
			var info fs.FileInfo
			if info, err = d.Info(); err == nil {
				n += info.Sys().(*syscall.Stat_t).Blocks * 512
			}
		}
		if errors.Is(err, fs.ErrNotExist) { // dropped meanwhile
			return nil
		}
		return err
	})
	return n, err
}
