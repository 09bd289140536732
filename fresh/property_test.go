package fresh_test

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/token"
)

const week = 7 * 24 * time.Hour

// Over random chains, lives, faults, revocations, clock steps and suspends: no
// caller is handed a lease that is over or was refused, no layer has two fetches
// under way, none asks its service more often than its backoff allows, observers
// hear a story that makes sense, and every layer is well one attempt after the
// last fault is gone.
//
// LONGCASE_SEED repeats one world.
func TestRandomWorlds(t *testing.T) {
	worlds, first := long(10_200)/slow, rand.Uint64()>>16
	if s := os.Getenv("LONGCASE_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		worlds, first = 1, seed
	}
	var gets, calls int64
	for i := range worlds {
		w := live(t, first+uint64(i), control{})
		gets += w.gets.Load()
		calls += w.calls()
		if bad := w.violations(); len(bad) > 0 {
			t.Fatalf("LONGCASE_SEED=%d:\n%s", w.seed, strings.Join(bad, "\n"))
		}
	}
	t.Logf("%d virtual weeks, %d gets, %d calls of services", worlds, gets, calls)
}

// What TestRandomWorlds checks can fail: worlds that judge on one clock, or whose
// issuers do not say their time, are found out.
func TestBrokenWorldsAreFoundOut(t *testing.T) {
	controls := map[string]control{
		"judged on the wall alone": {clock: func(w *world) token.Instant {
			now := w.host.now()
			now.Mono = now.Wall.Sub(time.Unix(0, 0))
			return now
		}},
		"judged on the monotonic clock alone": {clock: func(w *world) token.Instant {
			now := w.host.now()
			now.Wall = time.Unix(0, int64(now.Mono))
			return now
		}},
		"issuers do not say their time": {mute: true},
	}
	for name, c := range controls {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(200) {
				if bad := live(t, seed, c).violations(); len(bad) > 0 && strings.Contains(bad[0], "over") {
					t.Logf("found out in world %d: %s", seed, bad[0])
					return
				}
			}
			t.Error("200 such worlds passed")
		})
	}
}

// live has a world live for a week.
func live(t *testing.T, seed uint64, c control) *world {
	var w *world
	synctest.Test(t, func(*testing.T) {
		w = newWorld(seed, c)
		ctx, cancel := context.WithCancel(context.Background())
		if w.rng.IntN(8) == 0 {
			w.run(ctx)
		}
		for end := time.Now().Add(week); time.Now().Before(end) && len(w.violations()) == 0; {
			w.visit()
			if w.rng.IntN(100) == 0 {
				w.heal()
			}
		}
		w.heal()
		cancel()
		time.Sleep(time.Minute) // what is under way ends
	})
	return w
}

// run keeps the layers with lives of an hour or more warm.
func (w *world) run(ctx context.Context) {
	for i, l := range w.layers {
		if w.services[i].life > time.Hour {
			go func() { _ = l.Run(ctx) }()
		}
	}
}

// visit lets some time pass, has something happen and then some callers come.
func (w *world) visit() {
	time.Sleep(w.nap())
	i := w.rng.IntN(len(w.layers))
	switch r := w.rng.IntN(100); {
	case r < 12:
		f := healthy + 1 + fault(w.rng.IntN(int(faults)-1))
		w.services[i].ail(f, time.Duration(w.rng.Int64N(int64(maxWish))), w.span(time.Second, 3*time.Hour))
	case r < 18 && w.revoking:
		w.services[i].revoke()
	case r < 24 && w.clocks:
		w.stir()
	}
	var all sync.WaitGroup
	for range 1 + w.rng.IntN(4) {
		l := w.rng.IntN(len(w.layers))
		all.Go(func() { w.call(l) })
	}
	all.Wait()
}

// nap is until the next visit: short, long, or until something is due.
func (w *world) nap() time.Duration {
	now := w.host.now().Wall
	switch w.rng.IntN(8) {
	case 0, 1:
		return w.span(time.Millisecond, 10*time.Second)
	case 2, 3, 4:
		st := w.layers[w.rng.IntN(len(w.layers))].Status()
		due := st.Expires
		if w.rng.IntN(2) == 0 {
			due = st.Next
		}
		if d := due.Sub(now); d > 0 && d < 24*time.Hour {
			return d + []time.Duration{-1, 0, 0, 1, time.Millisecond, 50 * time.Millisecond}[w.rng.IntN(6)]
		}
	}
	return w.span(time.Minute, 3*time.Hour)
}

func (w *world) span(from, to time.Duration) time.Duration {
	return time.Duration(float64(from) * math.Exp(w.rng.Float64()*math.Log(float64(to)/float64(from))))
}

// stir sets the wall by an hour or has the machine sleep. No two clocks can tell
// a wall that was set back from a machine that slept in between, so all layers
// look at them before and after it is set back, as Run does each minute, and no
// fetch sees two such things.
func (w *world) stir() {
	for _, s := range w.services {
		if s.busy() {
			return
		}
	}
	switch {
	case w.rng.IntN(2) == 0:
		w.host.shift(0, w.span(time.Second, 3*time.Hour))
	case w.host.set > 0 || w.host.set == 0 && w.rng.IntN(2) == 0:
		w.look()
		w.host.shift(-time.Hour, 0)
		w.look()
	default:
		w.host.shift(time.Hour, 0)
	}
	for _, s := range w.services {
		s.wait(-time.Hour)
	}
}

func (w *world) look() {
	for _, l := range w.layers {
		l.Status()
	}
}

// call is a caller of layer i who tells when what it got is refused, and then
// asks once more.
func (w *world) call(i int) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	lease, ok := w.get(ctx, i)
	if !ok || !w.services[i].refuses(lease.Value) || !w.layers[i].Invalidate(lease) {
		return
	}
	if next, ok := w.get(ctx, i); ok && next.Generation <= lease.Generation {
		w.violate("layer %d handed out generation %d after generation %d was refused", i, next.Generation, lease.Generation)
	}
}

func (w *world) get(ctx context.Context, i int) (fresh.Lease[credential], bool) {
	lease, err := w.layers[i].Get(ctx)
	w.gets.Add(1)
	if err == nil && w.over(lease.Value) {
		w.violate("layer %d handed out %+v, over since %s", i, lease, w.host.truth().Sub(time.Unix(0, lease.Value.end)))
	}
	return lease, err == nil
}

// heal ends every fault. At each layer's next attempt, all are well; what was
// revoked and not found out yet may take a minute, where it happens often.
func (w *world) heal() {
	for _, s := range w.services {
		s.cure()
	}
	time.Sleep(2 * time.Second) // what is under way ends
	var wait time.Duration
	for i, l := range w.layers {
		st := l.Status()
		if next := st.Next.Sub(w.host.now().Wall); st.Err != nil && next > wait {
			wait = next
		}
		if wait > maxWish {
			w.violate("layer %d tries again only after %s", i, wait)
		}
	}
	time.Sleep(wait)
	for i := range w.layers {
		w.well(i)
	}
}

func (w *world) well(i int) {
	for begin := time.Now(); ; time.Sleep(time.Second) {
		lease, err := w.layers[i].Get(context.Background())
		switch {
		case err == nil && w.over(lease.Value):
			w.violate("layer %d handed out %+v, over", i, lease)
			return
		case err == nil && !w.services[i].refuses(lease.Value):
			return
		case !w.revoking, time.Since(begin) > 65*time.Second:
			w.violate("layer %d is not well: %+v, %v", i, lease, err)
			return
		case err == nil:
			w.layers[i].Invalidate(lease)
		}
	}
}

// busy reports whether a fetch is under way that has seen a clock stirred, and
// that those under way see one now.
func (s *service) busy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	busy := s.under > 0 && s.stirred
	s.stirred = true
	return busy
}

func (w *world) calls() (n int64) {
	for _, s := range w.services {
		n += int64(s.calls)
	}
	return n
}
