package fresh

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/longcase/longcase/fresh"
)

const (
	callers = 10_000
	layers  = 10_000
	hops    = 5
)

// Crowd counts upstream calls when 10,000 callers meet an expiry at once, over a
// chain of five layers (goal F4: one per layer) and over each peer's single cache.
func Crowd(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "%d callers at an expiry\tlayers\tupstream calls\terrors\t\n", callers)
	chain := make([]*upstream, hops)
	last := chainOf(chain, time.Hour)
	errs := storm(func(ctx context.Context) error { _, err := last.Get(ctx); return err })
	for i, u := range chain {
		fmt.Fprintf(t, "longcase\t%d of %d\t%d\t%d\t\n", i+1, hops, u.count(), errs)
	}
	for _, k := range keepers()[1:] {
		u := newUpstream(time.Hour)
		u.slow = 5 * time.Millisecond
		g := k.make(u)
		errs := storm(func(ctx context.Context) error { _, err := g(ctx); return err })
		fmt.Fprintf(t, "%s\t1 of 1\t%d\t%d\t\n", k.name, u.count(), errs)
	}
	return t.Flush()
}

// chainOf makes a chain of layers over fresh upstreams and returns its last.
func chainOf(chain []*upstream, life time.Duration) *fresh.Layer[fresh.Token] {
	var last *fresh.Layer[fresh.Token]
	for i := range chain {
		u := newUpstream(life)
		u.slow = 5 * time.Millisecond
		chain[i] = u
		if i == 0 {
			last = layer(u, fresh.Policy{})
			continue
		}
		last = fresh.From(last, func(context.Context, fresh.Lease[fresh.Token], time.Time) (fresh.Credential[fresh.Token], error) {
			value, expires, err := u.mint()
			return fresh.Credential[fresh.Token]{Value: fresh.Token{Value: value}, Expires: expires}, err
		}, fresh.Policy{})
	}
	return last
}

// storm calls f from every caller at once and counts the errors.
func storm(f func(context.Context) error) int {
	var wg sync.WaitGroup
	var mu sync.Mutex
	errs := 0
	for range callers {
		wg.Go(func() {
			if f(context.Background()) != nil {
				mu.Lock()
				errs++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return errs
}

// Many measures ten thousand layers that are kept warm in one process: memory
// of each, and the processor time of a second in which nothing is due.
func Many(w io.Writer) error {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	before := heap()
	kept := make([]*fresh.Layer[fresh.Token], layers)
	for i := range kept {
		kept[i] = layer(newUpstream(time.Hour), fresh.Policy{})
		wg.Go(func() { _ = kept[i].Run(ctx) })
	}
	for _, l := range kept {
		if _, err := l.Get(ctx); err != nil {
			return err
		}
	}
	each := (heap() - before) / layers
	const idle = 10 * time.Second
	begin, err := processorTime()
	if err != nil {
		return err
	}
	time.Sleep(idle)
	end, err := processorTime()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%d layers kept warm: %d bytes each, goroutine and the upstream's double included; idle: %.2f %% of one processor\n",
		layers, each, 100*float64(end-begin)/float64(idle))
	runtime.KeepAlive(kept)
	return err
}

// heap is the memory in use, stacks included.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
