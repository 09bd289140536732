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
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/store/embedded"
)

// Embedded measures the embedded engine and bbolt beside the disk itself, in a new
// directory below dir, on the disk that matters.
func (r Rotation) Embedded(ctx context.Context, w io.Writer, dir string) error {
	r = r.withDefaults(100_000)
	dir, err := os.MkdirTemp(dir, "bench-store-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	columns := []string{"bare disk", "longcase embedded", "bbolt"}
	err = r.table(w, "this disk, durable,", []int{1, 16, 256}, columns, func(clients int) ([][]float64, error) {
		return r.disk(ctx, filepath.Join(dir, fmt.Sprint(clients)), clients)
	})
	fmt.Fprintf(w, "\ngoal S1: 256 clients at least 5.0, 1 client at least 0.6\n")
	return err
}

// disk probes the disk, both engines and the disk again in each round, so that
// what the machine does beside it falls on all.
func (r Rotation) disk(ctx context.Context, path string, clients int) (rates [][]float64, err error) {
	e, err := embedded.Open(embedded.Config{Dir: path + "-embedded", Log: slog.New(slog.DiscardHandler)}) //nolint:contextcheck // the engine opens without one
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	ours := newStock(e.Sessions(), r.Live)
	if err := ours.create(ctx); err != nil {
		return nil, err
	}
	other, err := newBbolt(path+"-bbolt", clients, r.Live)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, other.Close()) }()
	rates = make([][]float64, 3)
	for round := range r.Rounds {
		before, err := fsyncRate(fmt.Sprint(path, "-before-", round), r.Interval)
		if err != nil {
			return nil, err
		}
		both, err := Rotation{r.Live, 1, r.Interval}.measure(clients, []lane{ours.rotate(ctx), other.lane()})
		if err != nil {
			return nil, err
		}
		after, err := fsyncRate(fmt.Sprint(path, "-after-", round), r.Interval)
		if err != nil {
			return nil, err
		}
		for i, one := range []float64{(before + after) / 2, both[0][0], both[1][0]} {
			rates[i] = append(rates[i], one)
		}
	}
	return rates, nil
}

// fsyncRate appends one record and calls fdatasync, again and again.
func fsyncRate(path string, interval time.Duration) (float64, error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	data := make([]byte, record)
	return rate(interval, 1, func(int) func() error {
		return func() error {
			_, err := f.Write(data)
			return errors.Join(err, unix.Fdatasync(int(f.Fd())))
		}
	})
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
func newBbolt(path string, clients, live int) (*peer, error) {
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		return nil, err
	}
	db.MaxBatchDelay = time.Millisecond
	p := &peer{DB: db, ids: make([]store.ID, live), write: db.Batch}
	if clients == 1 {
		p.write = db.Update
	}
	end := time.Now().Add(lifetime)
	return p, db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket(sessions())
		for i := range p.ids {
			p.ids[i] = store.NewID(time.Now(), end)
			err = errors.Join(err, b.Put(p.ids[i][:], make([]byte, record)))
		}
		return err
	})
}

func (p *peer) lane() lane { return lane{"bbolt", p.client} }

func (p *peer) client(i, n int) func() error {
	next := turn(len(p.ids), i, n)
	return func() error {
		id := p.ids[next()]
		return p.write(func(tx *bbolt.Tx) error {
			b := tx.Bucket(sessions())
			value := slices.Clone(b.Get(id[:]))
			binary.BigEndian.PutUint64(value, binary.BigEndian.Uint64(value)+1)
			return b.Put(id[:], value)
		})
	}
}
