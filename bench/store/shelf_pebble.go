package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/store/embedded"
)

// batch is how many deletions share a commit, in the plain way.
const batch = 100

// byRange is the embedded engine.
type byRange struct {
	engine
	dir string
}

func newRange(ctx context.Context, dir string, live int) (shelf, error) {
	b := &byRange{dir: dir}
	e, err := embedded.Open(embedded.Config{Dir: dir, Log: slog.New(slog.DiscardHandler), Now: b.now}) //nolint:contextcheck // the engine opens without one
	if err != nil {
		return nil, err
	}
	b.Engine, b.live = e, newStock(e.Sessions(), live)
	return b, b.live.create(ctx)
}

func (b *byRange) fill(n int, end time.Time) error {
	b.expect(end)
	return inParallel(n, func(i int) error { return b.Sessions().Create(context.Background(), newSession(ends(i, end))) })
}

func (b *byRange) size() (int64, error) { return blocks(b.dir) }

// deletes is the same disk engine with a key per session, deleted one by one.
type deletes struct {
	*pebble.DB
	dir   string
	ended []store.ID
	ids   []store.ID
}

func newDeletes(dir string, live int) (shelf, error) {
	db, err := pebble.Open(dir, &pebble.Options{
		FormatMajorVersion: pebble.FormatNewest, MemTableSize: 4 << 20, CacheSize: 32 << 20, Logger: quiet{},
	})
	if err != nil {
		return nil, err
	}
	d := &deletes{DB: db, dir: dir, ids: make([]store.ID, live)}
	return d, inParallel(live, func(i int) error { return d.put(&d.ids[i], time.Now().Add(lifetime)) })
}

// put writes a session and keeps its id.
func (d *deletes) put(id *store.ID, end time.Time) error {
	one := newSession(end)
	*id = one.ID
	return d.Set(one.ID[:], one.Data, pebble.Sync)
}

type quiet struct{}

func (quiet) Infof(string, ...any)           {}
func (quiet) Errorf(string, ...any)          {}
func (quiet) Fatalf(format string, a ...any) { panic(fmt.Sprintf(format, a...)) }

func (d *deletes) fill(n int, end time.Time) error {
	d.ended = make([]store.ID, n)
	return inParallel(n, func(i int) error { return d.put(&d.ended[i], ends(i, end)) })
}

func (d *deletes) rotate(i int) error {
	value, closer, err := d.Get(d.ids[i][:])
	if err != nil {
		return err
	}
	value = slices.Clone(value)
	return errors.Join(closer.Close(), d.Set(d.ids[i][:], value, pebble.Sync))
}

func (d *deletes) drop(context.Context) (time.Duration, error) { return timed(d.deleteAll) }

func (d *deletes) deleteAll() error {
	for some := range slices.Chunk(d.ended, batch) {
		b := d.NewBatch()
		for _, id := range some {
			if err := b.Delete(id[:], nil); err != nil {
				return err
			}
		}
		if err := errors.Join(b.Commit(pebble.Sync), b.Close()); err != nil {
			return err
		}
	}
	return nil
}

func (d *deletes) size() (int64, error) { return blocks(d.dir) }
