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
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/store/embedded"
)

const (
	rounds = 3       // each figure is the median of so many
	live   = 100_000 // sessions in the store; each client rotates its own share of them
)

// Rotate measures in a new directory below dir, on the disk that matters, and
// prints the table. It takes about a minute and a half.
func Rotate(w io.Writer, dir string) error {
	dir, err := os.MkdirTemp(dir, "bench-store-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Fprintf(w, "durable rotations per second with %d live sessions, median of %d rounds of %v;\nin brackets over the disk's own rate (append one record, fdatasync) in the same round\n\n", live, rounds, interval)
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

// contender is a store full of sessions; client returns what the i-th of n
// clients does again and again.
type contender interface {
	client(i, n int) (step func() error)
	Close() error
}

// measure probes the disk, both engines and the disk again in each round, so
// that what the machine does beside it falls on all.
func measure(dir string, clients int) (_ row, err error) {
	ours, err := newEmbedded(filepath.Join(dir, fmt.Sprint(clients, "-embedded")))
	if err != nil {
		return row{}, err
	}
	defer func() { err = errors.Join(err, ours.Close()) }()
	peer, err := newBbolt(filepath.Join(dir, fmt.Sprint(clients, "-bbolt")), clients)
	if err != nil {
		return row{}, err
	}
	defer func() { err = errors.Join(err, peer.Close()) }()
	var all [2][]figure
	for round := range rounds {
		rates, disk, err := probe(filepath.Join(dir, fmt.Sprint(clients, "-", round)), clients, ours, peer)
		if err != nil {
			return row{}, err
		}
		for i := range all {
			all[i] = append(all[i], figure{rates[i], rates[i] / disk})
		}
	}
	return row{median(all[0]), median(all[1])}, nil
}

func probe(path string, clients int, contenders ...contender) (rates []float64, disk float64, err error) {
	before, err := fsyncRate(path + "-before")
	if err != nil {
		return nil, 0, err
	}
	for _, c := range contenders {
		n, err := rate(clients, func(i int) func() error { return c.client(i, clients) })
		if err != nil {
			return nil, 0, err
		}
		rates = append(rates, n)
	}
	after, err := fsyncRate(path + "-after")
	return rates, (before + after) / 2, err
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
	return rate(1, func(int) func() error {
		return func() error {
			_, err := f.Write(data)
			return errors.Join(err, unix.Fdatasync(int(f.Fd())))
		}
	})
}

type ours struct {
	*embedded.Engine
	ids []store.ID
}

func newEmbedded(dir string) (*ours, error) {
	e, err := embedded.Open(embedded.Config{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	end := time.Now().Add(12 * time.Hour)
	o := &ours{Engine: e, ids: make([]store.ID, live)}
	var wg sync.WaitGroup
	errs := make([]error, 256)
	for w := range errs {
		wg.Go(func() {
			for i := w; i < live && errs[w] == nil; i += len(errs) {
				o.ids[i] = store.NewID(time.Now(), end)
				errs[w] = e.Sessions().Create(context.Background(), store.Session{
					ID: o.ids[i], End: end, Client: "web-app", Subject: "alice", Data: make([]byte, record-50)})
			}
		})
	}
	wg.Wait()
	return o, errors.Join(errs...)
}

// client loads a session and replaces it, as a token endpoint does.
func (o *ours) client(i, n int) func() error {
	ctx, next := context.Background(), turn(o.ids, i, n)
	return func() error {
		s, err := o.Sessions().Load(ctx, next())
		if err != nil {
			return err
		}
		s.Generation++
		return o.Sessions().Replace(ctx, s, s.Generation-1)
	}
}

type peer struct {
	*bbolt.DB
	ids   []store.ID
	write func(func(*bbolt.Tx) error) error
}

// sessions names the one bucket of the peer.
func sessions() []byte { return []byte("sessions") }

// newBbolt writes with Batch, bbolt's own group commit; one client has nobody
// to wait for and writes with Update.
func newBbolt(path string, clients int) (*peer, error) {
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		return nil, err
	}
	db.MaxBatchDelay = time.Millisecond
	p := &peer{DB: db, ids: make([]store.ID, live), write: db.Batch}
	if clients == 1 {
		p.write = db.Update
	}
	end := time.Now().Add(12 * time.Hour)
	return p, db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket(sessions())
		for i := range p.ids {
			p.ids[i] = store.NewID(time.Now(), end)
			err = errors.Join(err, b.Put(p.ids[i][:], make([]byte, record)))
		}
		return err
	})
}

func (p *peer) client(i, n int) func() error {
	next := turn(p.ids, i, n)
	return func() error {
		id := next()
		return p.write(func(tx *bbolt.Tx) error {
			b := tx.Bucket(sessions())
			value := slices.Clone(b.Get(id[:]))
			binary.BigEndian.PutUint64(value, binary.BigEndian.Uint64(value)+1)
			return b.Put(id[:], value)
		})
	}
}
