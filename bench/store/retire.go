package store

import (
	"context"
	"crypto/rand"
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

	"github.com/cockroachdb/pebble/v2"

	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/store/embedded"
)

// Retirement is what Retire measures.
type Retirement struct {
	Sessions int           // that have ended; default 1,000,000
	Window   time.Duration // of rotations before and after; default 10 s, the goal's
}

const (
	bystanders = 20_000 // live sessions that are rotated meanwhile
	warm       = 8      // rotations of each, first
	pace       = 500    // rotations a second: what waits shows, not what queues
	fillers    = 256    // who write the sessions
	batch      = 100    // deletions that share a commit, in the plain way
)

// shelf is a store from which ended sessions go.
type shelf interface {
	// fill writes n sessions whose last ends before end.
	fill(n int, end time.Time) error
	// rotate rotates the i-th bystander, durably.
	rotate(i int) error
	// drop is rid of the ended ones; what it does before it returns is the
	// foreground.
	drop(ctx context.Context) error
	// size is what the store takes on the disk.
	size() (int64, error)
	io.Closer
}

// Retire measures in a new directory below dir and prints a table. With the
// defaults it takes about three minutes.
func Retire(w io.Writer, dir string, r Retirement) error {
	r.Sessions, r.Window = or(r.Sessions, 1_000_000), or(r.Window, 10*time.Second)
	dir, err := os.MkdirTemp(dir, "bench-store-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Fprintf(w, "retiring %d ended sessions beside %d rotations per second; %v before and after\n\n", r.Sessions, pace, r.Window)
	fmt.Fprintf(w, "%-26s %14s %20s %18s %12s\n", "", "foreground", "bytes back in 10 s", "p99 before, ratio", "MB before")
	for _, c := range []struct {
		name string
		open func(dir string) (shelf, error)
	}{{"longcase embedded", newRange}, {"Pebble, delete by delete", newDeletes}} {
		got, err := r.measure(filepath.Join(dir, c.name), c.open)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		fmt.Fprintf(w, "%-26s %14s %20s %18s %12s\n", c.name, got.foreground.Round(10*time.Microsecond), fmt.Sprintf("%.1f %%", 100*got.back),
			fmt.Sprintf("%v, %.2f", got.before.Round(10*time.Microsecond), float64(got.after)/float64(got.before)), fmt.Sprint(got.bytes>>20))
	}
	fmt.Fprintf(w, "\ngoal S2: at most 100ms, at least 90 %%, at most 2.00\n")
	return nil
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// retired is one measurement. back is the share of what the ended sessions took
// that is free again after Window, the foreground included.
type retired struct {
	foreground, before, after time.Duration
	back                      float64
	bytes                     int64
}

func (r Retirement) measure(dir string, open func(string) (shelf, error)) (got retired, err error) {
	s, err := open(dir)
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	// Logs are kept for reuse: all are there before anything is compared.
	if err := inParallel(warm*bystanders, func(i int) error { return s.rotate(i % bystanders) }); err != nil {
		return got, err
	}
	empty, err := s.size()
	if err != nil {
		return got, err
	}
	if err := s.fill(r.Sessions, time.Now().Add(time.Hour)); err != nil {
		return got, err
	}
	time.Sleep(r.Window / 2) // compactions of the filling
	if got.before, err = r.rotations(s, func() error { return nil }); err != nil {
		return got, err
	}
	full, err := s.size()
	if err != nil {
		return got, err
	}
	got.bytes = full - empty
	got.after, err = r.rotations(s, func() error {
		begin := time.Now()
		err := s.drop(context.Background())
		got.foreground = time.Since(begin)
		return err
	})
	if err != nil {
		return got, err
	}
	left, err := s.size()
	got.back = float64(full-left) / float64(full-empty)
	return got, err
}

// rotations rotates at an even pace for Window while beside runs, and returns
// the 99th percentile of how long a rotation took from when it was due.
func (r Retirement) rotations(s shelf, beside func() error) (time.Duration, error) {
	n := int(r.Window.Seconds() * pace)
	took, errs := make([]time.Duration, n), make([]error, n+1)
	begin := time.Now()
	var wg sync.WaitGroup
	wg.Go(func() { errs[n] = beside() })
	for i := range n {
		due := begin.Add(time.Duration(i) * time.Second / pace)
		time.Sleep(time.Until(due))
		wg.Go(func() {
			errs[i] = s.rotate(i % bystanders)
			took[i] = time.Since(due)
		})
	}
	wg.Wait()
	slices.Sort(took)
	return took[n*99/100], errors.Join(errs...)
}

// inParallel calls do with 0 to n-1 from all fillers.
func inParallel(n int, do func(i int) error) error {
	var wg sync.WaitGroup
	errs := make([]error, fillers)
	for f := range errs {
		wg.Go(func() {
			for i := f; i < n && errs[f] == nil; i += fillers {
				errs[f] = do(i)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// sessionData does not compress, as sealed data does not.
func sessionData() []byte {
	data := make([]byte, record-50)
	_, _ = rand.Read(data)
	return data
}

// byRange is the embedded engine, whose clock stands behind by an hour until it
// drops.
type byRange struct {
	*embedded.Engine
	dir   string
	ahead *atomic.Int64
	ids   []store.ID
}

func newRange(dir string) (shelf, error) {
	ahead := &atomic.Int64{}
	e, err := embedded.Open(embedded.Config{Dir: dir, Log: slog.New(slog.DiscardHandler), Now: func() time.Time {
		return time.Now().Add(time.Duration(ahead.Load()))
	}})
	if err != nil {
		return nil, err
	}
	b := &byRange{Engine: e, dir: dir, ahead: ahead, ids: make([]store.ID, bystanders)}
	end := time.Now().Add(12 * time.Hour)
	return b, inParallel(bystanders, func(i int) error {
		b.ids[i] = store.NewID(time.Now(), end)
		return b.create(b.ids[i], end)
	})
}

func (b *byRange) create(id store.ID, end time.Time) error {
	return b.Sessions().Create(context.Background(), store.Session{ID: id, End: end, Client: "web-app", Subject: "alice", Data: sessionData()})
}

func (b *byRange) fill(n int, end time.Time) error {
	return inParallel(n, func(i int) error {
		own := end.Add(-time.Duration(i%10_000) * 100 * time.Millisecond)
		return b.create(store.NewID(time.Now(), own), own)
	})
}

func (b *byRange) rotate(i int) error {
	ctx := context.Background()
	s, err := b.Sessions().Load(ctx, b.ids[i])
	if err != nil {
		return err
	}
	s.Generation++
	err = b.Sessions().Replace(ctx, s, s.Generation-1)
	if errors.Is(err, store.ErrConflict) { // the one before took as long as a whole turn
		return nil
	}
	return err
}

func (b *byRange) drop(ctx context.Context) error {
	b.ahead.Store(int64(2 * time.Hour))
	now, err := b.Clock(ctx)
	if err != nil {
		return err
	}
	n, err := b.Retire(ctx, now.Add(-store.RetireDelay))
	if err == nil && n == 0 {
		err = errors.New("nothing was retired")
	}
	return err
}

func (b *byRange) size() (int64, error) { return blocks(b.dir) }

// deletes is the same disk engine with a key per session, deleted one by one.
type deletes struct {
	*pebble.DB
	dir   string
	ended []store.ID
	ids   []store.ID
}

func newDeletes(dir string) (shelf, error) {
	db, err := pebble.Open(dir, &pebble.Options{
		FormatMajorVersion: pebble.FormatNewest, MemTableSize: 4 << 20, CacheSize: 32 << 20, Logger: quiet{},
	})
	if err != nil {
		return nil, err
	}
	d := &deletes{DB: db, dir: dir, ids: make([]store.ID, bystanders)}
	return d, inParallel(bystanders, func(i int) error {
		d.ids[i] = store.NewID(time.Now(), time.Now().Add(12*time.Hour))
		return db.Set(d.ids[i][:], sessionData(), pebble.Sync)
	})
}

type quiet struct{}

func (quiet) Infof(string, ...any)           {}
func (quiet) Errorf(string, ...any)          {}
func (quiet) Fatalf(format string, a ...any) { panic(fmt.Sprintf(format, a...)) }

func (d *deletes) fill(n int, end time.Time) error {
	d.ended = make([]store.ID, n)
	return inParallel(n, func(i int) error {
		d.ended[i] = store.NewID(time.Now(), end.Add(-time.Duration(i%10_000)*100*time.Millisecond))
		return d.Set(d.ended[i][:], sessionData(), pebble.Sync)
	})
}

func (d *deletes) rotate(i int) error {
	value, closer, err := d.Get(d.ids[i][:])
	if err != nil {
		return err
	}
	value = slices.Clone(value)
	return errors.Join(closer.Close(), d.Set(d.ids[i][:], value, pebble.Sync))
}

func (d *deletes) drop(context.Context) error {
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
