// Package store measures what the stores promise, each beside the plain way:
//
//   - Rotation: durable rotations of the embedded engine against the disk's own
//     fsync rate, probed in the same run, with bbolt beside it (goal S1); those on
//     PostgreSQL and Cassandra against the statement they come down to.
//   - Retirement: what it costs to be rid of ended sessions, against deleting
//     them (goal S2). On Cassandra nothing is retired: rows end by themselves.
//
// A further engine joins Rotation as a lane and Retirement as a shelf.
package store

import (
	"crypto/rand"
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
	record   = 150 // bytes of a session's record, about
	lifetime = 12 * time.Hour
)

// newSession draws one as its first token finds it. Its data do not compress, as
// sealed data do not.
func newSession(end time.Time) store.Session {
	data := make([]byte, record-50)
	_, _ = rand.Read(data)
	end = end.Truncate(time.Second)
	return store.Session{ID: store.NewID(time.Now(), end), End: end, Generation: 1, Client: "web-app", Subject: "alice", Data: data}
}

// rate runs one step per client again and again for a while and returns steps per
// second.
func rate(interval time.Duration, clients int, client func(i int) (step func() error)) (float64, error) {
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

// turn deals out as many sessions as there are: the i-th of n clients gets every
// n-th, in turn.
func turn(all, i, n int) (next func() int) {
	at := i
	return func() int {
		now := at % all
		if at += n; at >= all {
			at = i
		}
		return now
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
