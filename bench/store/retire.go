package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Retirement is how retiring is measured.
type Retirement struct {
	Sessions int           // that have ended; default 1,000,000
	Live     int           // others, which are rotated meanwhile; default 20,000
	Window   time.Duration // of rotations before and after; default 10 s, the goal's
}

func (r Retirement) withDefaults() Retirement {
	return Retirement{or(r.Sessions, 1_000_000), or(r.Live, 20_000), or(r.Window, 10*time.Second)}
}

const (
	pace    = 500 // rotations a second: what waits shows, not what queues
	fillers = 256 // who write the sessions
)

// shelf is a store from which ended sessions go.
type shelf interface {
	// fill writes n sessions whose last ends before end.
	fill(n int, end time.Time) error
	// rotate rotates the i-th of the live ones, durably.
	rotate(i int) error
	// drop is rid of the ended ones, and returns how long what had to be waited
	// for took.
	drop(ctx context.Context) (foreground time.Duration, err error)
	// size is what the store takes on the disk.
	size() (int64, error)
	io.Closer
}

// rival is a way to be rid of sessions. Before anything is compared each of the
// live ones is rotated so often.
type rival struct {
	name string
	warm int
	open func(live int) (shelf, error)
}

// Embedded measures the embedded engine beside its disk engine with a deletion per
// session, in a new directory below dir, and prints a table.
func (r Retirement) Embedded(ctx context.Context, w io.Writer, dir string) error {
	dir, err := os.MkdirTemp(dir, "bench-store-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	const warm = 8 // logs are kept for reuse: all are there then
	return r.withDefaults().print(ctx, w, "100ms",
		rival{"longcase embedded", warm, func(live int) (shelf, error) { return newRange(ctx, filepath.Join(dir, "embedded"), live) }},
		rival{"Pebble, delete by delete", warm, func(live int) (shelf, error) { return newDeletes(filepath.Join(dir, "deletes"), live) }})
}

// Postgres measures the engine beside a table from which ended sessions are
// deleted, and beside one that is dropped with all that is in it, which nothing
// can beat.
func (r Retirement) Postgres(ctx context.Context, w io.Writer, s Postgres) error {
	return r.withDefaults().print(ctx, w, "250ms",
		rival{"longcase on PostgreSQL", 1, func(live int) (shelf, error) { return newPartitions(ctx, s, live) }},
		rival{"DELETE, then VACUUM", 1, func(live int) (shelf, error) { return newPlain(ctx, s, live, false) }},
		rival{"DROP TABLE alone", 1, func(live int) (shelf, error) { return newPlain(ctx, s, live, true) }})
}

func (r Retirement) print(ctx context.Context, w io.Writer, goal string, all ...rival) error {
	fmt.Fprintf(w, "retiring %d ended sessions beside %d rotations per second; %v before and after\n\n", r.Sessions, pace, r.Window)
	fmt.Fprintf(w, "%-26s %12s %12s %18s %18s %10s\n", "", "foreground", "bytes back", "p99 before, ratio", "slowest, ratio", "MB before")
	for _, c := range all {
		got, err := r.measure(ctx, c)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		fmt.Fprintf(w, "%-26s %12s %10.1f %% %18s %18s %10d\n", c.name, short(got.foreground), max(0, 100*got.back),
			held(got.before.p99, got.after.p99), held(got.before.most, got.after.most), got.bytes>>20)
	}
	fmt.Fprintf(w, "\ngoal S2: foreground at most %s, at least 90 %% back, p99 at most 2.00\n", goal)
	return nil
}

func short(d time.Duration) string { return d.Round(10 * time.Microsecond).String() }

func held(before, after time.Duration) string {
	return fmt.Sprintf("%s, %.2f", short(before), float64(after)/float64(before))
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// retired is one measurement. back is the share of what the ended sessions took
// that is free again after Window, the foreground included; none if the store only grew.
type retired struct {
	foreground    time.Duration
	before, after delays
	back          float64
	bytes         int64
}

func (r Retirement) measure(ctx context.Context, c rival) (got retired, err error) {
	s, err := c.open(r.Live)
	if s != nil {
		defer func() { err = errors.Join(err, s.Close()) }()
	}
	if err != nil {
		return got, err
	}
	turns := func(n int) error { return inParallel(n, func(i int) error { return s.rotate(i % r.Live) }) }
	if err := turns(c.warm * r.Live); err != nil {
		return got, err
	}
	empty, err := s.size()
	if err != nil {
		return got, err
	}
	if err := errors.Join(s.fill(r.Sessions, time.Now().Add(time.Hour)), turns(r.count())); err != nil {
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
	got.after, err = r.rotations(s, func() (err error) {
		got.foreground, err = s.drop(ctx)
		return err
	})
	if err != nil {
		return got, err
	}
	left, err := s.size()
	got.back = float64(full-left) / float64(full-empty)
	return got, err
}

// delays are the 99th percentile and the most of how long rotations took.
type delays struct{ p99, most time.Duration }

// count is how many rotations a Window has.
func (r Retirement) count() int { return int(r.Window.Seconds() * pace) }

// rotations rotates at an even pace for Window while beside runs. A rotation
// begins when it is due.
func (r Retirement) rotations(s shelf, beside func() error) (delays, error) {
	n := r.count()
	took, errs := make([]time.Duration, n), make([]error, n+1)
	begin := time.Now()
	var wg sync.WaitGroup
	wg.Go(func() { errs[n] = beside() })
	for i := range n {
		due := begin.Add(time.Duration(i) * time.Second / pace)
		time.Sleep(time.Until(due))
		wg.Go(func() {
			errs[i] = s.rotate(i % r.Live)
			took[i] = time.Since(due)
		})
	}
	wg.Wait()
	slices.Sort(took)
	return delays{took[n*99/100], took[n-1]}, errors.Join(errs...)
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

// timed is how long do took.
func timed(do func() error) (time.Duration, error) {
	begin := time.Now()
	err := do()
	return time.Since(begin), err
}
