package fresh

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"
)

const (
	cachedRounds = 15
	cachedGets   = 200_000
)

// cost is one contender's cached get.
type cost struct {
	name   string
	do     func() error
	alone  []time.Duration // processor time of one get, by round, one goroutine
	crowd  []time.Duration // the same, one goroutine per processor
	allocs float64         // of one get
}

// Cached writes goal F5's table: processor time and allocations of one get of a
// credential in hand, beside the clock reading that none can do without.
func Cached(w io.Writer) error {
	var sink time.Time
	costs := []*cost{{name: "time.Now alone", do: func() error { sink = time.Now(); return nil }}}
	for _, k := range keepers() {
		g := k.make(newUpstream(time.Hour))
		costs = append(costs, &cost{name: k.name, do: func() error { _, err := g(context.Background()); return err }})
	}
	for _, c := range costs {
		if err := c.warmUp(); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	for range cachedRounds {
		for _, c := range costs {
			if err := c.round(); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	_ = sink
	return printCached(w, costs)
}

func (c *cost) warmUp() error {
	if err := c.do(); err != nil {
		return err
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range cachedGets {
		if err := c.do(); err != nil {
			return err
		}
	}
	runtime.ReadMemStats(&after)
	c.allocs = float64(after.Mallocs-before.Mallocs) / cachedGets
	return nil
}

// round measures one goroutine, then one per processor.
func (c *cost) round() error {
	for _, goroutines := range []int{1, runtime.GOMAXPROCS(0)} {
		begin, err := processorTime()
		if err != nil {
			return err
		}
		var wg sync.WaitGroup
		for range goroutines {
			wg.Go(func() {
				for range cachedGets {
					_ = c.do() // it did well when it was warmed up
				}
			})
		}
		wg.Wait()
		end, err := processorTime()
		if err != nil {
			return err
		}
		one := (end - begin) / time.Duration(goroutines*cachedGets)
		if goroutines == 1 {
			c.alone = append(c.alone, one)
		} else {
			c.crowd = append(c.crowd, one)
		}
	}
	return nil
}

func printCached(w io.Writer, costs []*cost) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "cached get, CPU\talone\tover the clock\t%d at once\tallocations\t\n", runtime.GOMAXPROCS(0))
	clock := median(costs[0].alone)
	for _, c := range costs {
		fmt.Fprintf(t, "%s\t%d ns\t%+d ns\t%d ns\t%.0f\t\n", c.name, median(c.alone), median(c.alone)-clock, median(c.crowd), c.allocs)
	}
	return t.Flush()
}

// processorTime is what this process has used so far, kernel included.
func processorTime() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("getrusage: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

func median(values []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
