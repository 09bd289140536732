// Package store measures durable rotations of the embedded engine against the
// disk's own fsync rate, probed in the same run (goal S1: 256 clients at least 5
// times the disk's rate, one client at least 0.6 times), with bbolt beside it.
package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/store/embedded"
)

const (
	rounds   = 3 // each figure is the median of so many
	interval = 2 * time.Second
	record   = 150 // bytes of a session's record, about
)

// Run measures in a new directory below dir, on the disk that matters, and
// prints the table. It takes about half a minute.
func Run(w io.Writer, dir string) error {
	dir, err := os.MkdirTemp(dir, "bench-store-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Fprintf(w, "durable rotations per second, median of %d rounds of %v; in brackets over the disk's own fsync rate of the same round\n\n", rounds, interval)
	fmt.Fprintf(w, "%-12s %22s %22s\n", "clients", "longcase embedded", "bbolt")
	for _, clients := range []int{1, 16, 256} {
		row, err := measure(dir, clients)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%-12d %22s %22s\n", clients, row.embedded, row.bbolt)
	}
	fmt.Fprintf(w, "\ngoal S1: 256 clients at least 5.0, 1 client at least 0.6\n")
	return nil
}

// figure is a rate and its ratio to the disk's.
type figure struct{ rate, ratio float64 }

func (f figure) String() string { return fmt.Sprintf("%.0f (%.2f)", f.rate, f.ratio) }

type row struct{ embedded, bbolt figure }

// measure probes the disk, both engines and the disk again in each round, so
// that what the machine does beside it falls on all.
func measure(dir string, clients int) (row, error) {
	var ours, peers []figure
	for round := range rounds {
		sub := filepath.Join(dir, fmt.Sprintf("%d-%d", clients, round))
		before, err := fsyncRate(sub + "-fsync-1")
		if err != nil {
			return row{}, err
		}
		our, err := embeddedRate(sub+"-embedded", clients)
		if err != nil {
			return row{}, err
		}
		peer, err := bboltRate(sub+"-bbolt", clients)
		if err != nil {
			return row{}, err
		}
		after, err := fsyncRate(sub + "-fsync-2")
		if err != nil {
			return row{}, err
		}
		disk := (before + after) / 2
		ours = append(ours, figure{our, our / disk})
		peers = append(peers, figure{peer, peer / disk})
	}
	return row{median(ours), median(peers)}, nil
}

func median(all []figure) figure {
	slices.SortFunc(all, func(a, b figure) int {
		if a.ratio < b.ratio {
			return -1
		}
		return 1
	})
	return all[len(all)/2]
}

// fsyncRate appends one record and calls fdatasync, again and again.
func fsyncRate(path string) (float64, error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	data := make([]byte, record)
	return rate(1, func(int) (func() error, error) {
		return func() error {
			_, err := f.Write(data)
			return errors.Join(err, unix.Fdatasync(int(f.Fd())))
		}, nil
	})
}

// rate runs one step per client again and again and returns steps per second.
func rate(clients int, client func(i int) (step func() error, err error)) (float64, error) {
	var (
		wg    sync.WaitGroup
		count atomic.Int64
		stop  atomic.Bool
		errs  = make([]error, clients)
		steps = make([]func() error, clients)
	)
	for i := range clients {
		step, err := client(i)
		if err != nil {
			return 0, err
		}
		steps[i] = step
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

// embeddedRate has each client rotate a session of its own, as a token
// endpoint does: load, then replace.
func embeddedRate(dir string, clients int) (float64, error) {
	e, err := embedded.Open(embedded.Config{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return 0, err
	}
	ctx, end := context.Background(), time.Now().Add(12*time.Hour)
	n, err := rate(clients, func(int) (func() error, error) {
		s := store.Session{ID: store.NewID(time.Now(), end), End: end, Client: "web-app", Subject: "alice", Data: make([]byte, record-50)}
		return func() error {
			loaded, err := e.Sessions().Load(ctx, s.ID)
			if err != nil {
				return err
			}
			old := loaded.Generation
			loaded.Generation++
			return e.Sessions().Replace(ctx, loaded, old)
		}, e.Sessions().Create(ctx, s)
	})
	return n, errors.Join(err, e.Close())
}

// bboltRate does the same with bbolt's Batch, its own group commit.
func bboltRate(path string, clients int) (float64, error) {
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		return 0, err
	}
	db.MaxBatchDelay = time.Millisecond
	bucket := []byte("sessions")
	if err := db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket(bucket); return err }); err != nil {
		return 0, err
	}
	write := db.Batch
	if clients == 1 {
		write = db.Update // nobody to wait for
	}
	n, err := rate(clients, func(int) (func() error, error) {
		key := store.NewID(time.Now(), time.Now().Add(12*time.Hour))
		return func() error {
			return write(func(tx *bbolt.Tx) error {
				next := make([]byte, record)
				if old := tx.Bucket(bucket).Get(key[:]); old != nil {
					copy(next, old)
				}
				binary.BigEndian.PutUint64(next, binary.BigEndian.Uint64(next)+1)
				return tx.Bucket(bucket).Put(key[:], next)
			})
		}, nil
	})
	return n, errors.Join(err, db.Close())
}
