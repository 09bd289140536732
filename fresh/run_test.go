package fresh_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/token"
)

// running has the layers run until the returned func is called.
func running(layers ...*fresh.Layer[fresh.Token]) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	for _, l := range layers {
		go func() { _ = l.Run(ctx) }()
	}
	synctest.Wait()
	return func() { cancel(); synctest.Wait() }
}

func TestRunKeepsAChainWarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, d := &source{name: "a", life: 6 * time.Hour, takes: time.Second}, &source{name: "b", life: time.Hour, takes: time.Second}, &diary{}
		policy := func(name string) fresh.Policy { return fresh.Policy{Name: name, Observe: d.note} }
		la := fresh.New(a.fetch, policy("a"))
		lb := fresh.From(la, b.from(nil), policy("b"))
		stop := running(lb)
		time.Sleep(3 * time.Second)
		for range 7 * 24 * 6 {
			begin := time.Now()
			get(t, lb)
			if waited := time.Since(begin); waited > 0 {
				t.Fatalf("waited %s for what is kept warm", waited)
			}
			time.Sleep(10 * time.Minute)
		}
		stop()
		heard := d.read()
		for _, k := range heard[2:] {
			if k != "a renewed_ahead" && k != "b renewed_ahead" && k != "a obtained" {
				t.Errorf("heard %q", k)
			}
		}
		if n := b.since(); n > 24*7*60/54+2 {
			t.Errorf("%d renewals in a week of hours", n)
		}
	})
}

func TestRunKeepsShortLivesWarmThoughNobodyAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &source{name: "a", life: 30 * time.Second, takes: time.Second}, &source{name: "b", life: 10 * time.Second, takes: time.Second}
		l := fresh.From(fresh.New(a.fetch, fresh.Policy{}), b.from(nil), fresh.Policy{})
		stop := running(l)
		defer stop()
		for range 300 {
			time.Sleep(time.Second)
			if st := l.Status(); st.Generation == 0 && st.Fetches > 1 {
				t.Fatalf("no lease in hand: %+v", st)
			}
		}
		if n := b.since(); n < 30 || n > 50 {
			t.Errorf("%d fetches in 300 s of 10 s, want one each 6 or 7 s", n)
		}
	})
}

func TestRunHealsWithoutBeingAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h host
		a, b, d := &source{name: "a", life: time.Hour}, &source{name: "b", life: time.Hour}, &diary{}
		la := fresh.New(a.fetch, fresh.Policy{Name: "a", Now: h.now, Observe: d.note, Rand: func() float64 { return 0 }})
		lb := fresh.From(la, b.from(nil), fresh.Policy{Name: "b", Now: h.now, Observe: d.note, Rand: func() float64 { return 0 }})
		stop := running(la, lb)
		defer stop()
		expect := func(what string, want ...string) {
			t.Helper()
			synctest.Wait()
			heard := slices.Compact(d.read())
			if !slices.Equal(heard, want) {
				t.Errorf("%s: heard %q, want %q", what, heard, want)
			}
		}
		expect("at the beginning", "a obtained", "b obtained")
		lb.Invalidate(get(t, lb))
		expect("a refusal", "b refused", "b healed")
		h.shift(time.Hour, 0)
		time.Sleep(time.Minute + time.Second)
		heard := d.read()
		slices.Sort(heard)
		if want := []string{"a expired_in_hand", "a obtained", "b expired_in_hand", "b obtained"}; !slices.Equal(heard, want) {
			t.Errorf("the wall was set forward: heard %q, want %q", heard, want)
		}
		a.tell(func() { a.err = errors.New("down") })
		la.Invalidate(get(t, la))
		lb.Invalidate(get(t, lb))
		synctest.Wait()
		if _, err := lb.Get(t.Context()); err == nil {
			t.Fatal("a credential without its parent")
		}
		time.Sleep(10 * time.Second)
		a.tell(func() { a.err = nil })
		time.Sleep(time.Until(la.Status().Next))
		synctest.Wait()
		if st := lb.Status(); st.Generation == 0 || st.Err != nil {
			t.Errorf("the child is not well with its parent: %+v", st)
		}
	})
}

func TestRunLooksAtTheClocksForItsParents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h host
		a, b := &source{name: "a", life: 2 * time.Hour}, &source{name: "b", life: 24 * time.Hour}
		la := fresh.New(a.fetch, fresh.Policy{Now: h.now})
		stop := running(fresh.From(la, b.from(nil), fresh.Policy{Now: h.now}))
		defer stop()
		h.shift(-time.Hour, 0)
		time.Sleep(2 * time.Minute)
		h.shift(0, 119*time.Minute)
		if lease := get(t, la); lease.Value.Value != "a2" {
			t.Errorf("the parent handed out %s, which is over", lease.Value.Value)
		}
	})
}

func TestRunWithALeaseInHandAndAStuckParentIsQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h host
		var reads atomic.Int64
		release, calls := make(chan struct{}), 0
		parent := fresh.New(func(context.Context, time.Time) (fresh.Credential[fresh.Token], error) {
			if calls++; calls > 1 {
				<-release
			}
			return fresh.Credential[fresh.Token]{Value: bearer("a"), Life: time.Minute}, nil
		}, fresh.Policy{})
		policy := fresh.Policy{Now: func() token.Instant { reads.Add(1); return h.now() }}
		l := fresh.From(parent, (&source{name: "b", life: time.Hour}).from(nil), policy)
		stop := running(l)
		defer stop()
		time.Sleep(time.Hour - time.Second)
		if n := reads.Load(); n > 1000 {
			t.Errorf("%d looks at the clock while the parent is stuck", n)
		}
		get(t, l)
		close(release)
	})
}

func TestRunOfAStuckProviderIsPatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, read := make(chan struct{}), 0
		l := fresh.New(func(context.Context, time.Time) (fresh.Credential[fresh.Token], error) {
			<-release
			return fresh.Credential[fresh.Token]{Value: bearer("late"), Life: 24 * time.Hour}, nil
		}, fresh.Policy{})
		child := fresh.From(l, (&source{name: "b", life: time.Hour}).from(nil), fresh.Policy{Rand: func() float64 { read++; return 0 }})
		stop := running(l, child)
		defer stop()
		time.Sleep(10 * time.Minute)
		if st := child.Status(); st.Failures > 3 || st.Err == nil {
			t.Errorf("the child failed %d times, %v", st.Failures, st.Err)
		}
		close(release)
		time.Sleep(2 * time.Second)
		if st := child.Status(); st.Generation != 1 {
			t.Errorf("the child is not well with its parent: %+v", st)
		}
	})
}

func TestRunEndsWithItsContext(t *testing.T) {
	defer goleak.VerifyNone(t)
	l := warm(t, fresh.Policy{})
	child := fresh.From(l, (&source{name: "b", life: time.Hour}).from(nil), fresh.Policy{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- child.Run(ctx) }()
	get(t, child)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v", err)
	}
}

// A layer at rest wakes once a minute, and no more often.
func TestRunAtRestIsQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h host
		var reads atomic.Int64
		l := warm(t, fresh.Policy{Now: func() token.Instant { reads.Add(1); return h.now() }})
		stop := running(l)
		defer stop()
		reads.Store(0)
		time.Sleep(30 * time.Minute)
		if n := reads.Load(); n > 31 {
			t.Errorf("%d looks at the clock in half an hour", n)
		}
	})
}

// By the real clocks, with as many hands as there are: for the race detector, and
// for what no bubble has.
func TestManyHands(t *testing.T) {
	defer goleak.VerifyNone(t)
	a, b := &source{name: "a", life: 60 * time.Millisecond}, &source{name: "b", life: 25 * time.Millisecond}
	d := &diary{}
	la := fresh.New(a.fetch, fresh.Policy{Observe: d.note})
	lb := fresh.From(la, b.from(nil), fresh.Policy{Observe: d.note})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all sync.WaitGroup
	all.Go(func() { _ = lb.Run(ctx) })
	for hand := range 8 {
		all.Go(func() {
			l := []*fresh.Layer[fresh.Token]{la, lb}[hand%2]
			for i := 0; ctx.Err() == nil; i++ {
				before := time.Now()
				lease, err := l.Get(ctx)
				if err == nil && !lease.Expires.After(before) {
					t.Errorf("%v handed out what was over for %s", l, before.Sub(lease.Expires))
				}
				if i%1000 == hand {
					l.Invalidate(lease)
					if lb.Status().Renewals > uint64(long(2000)) {
						cancel()
					}
				}
			}
		})
	}
	all.Wait()
}

func TestObserverMayAskTheLayer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{name: "a", life: time.Minute}
		var l *fresh.Layer[fresh.Token]
		var heard []string
		l = fresh.New(s.fetch, fresh.Policy{Observe: func(e fresh.Event) {
			st := l.Status()
			lease, err := l.Get(context.Background())
			if e.Kind == fresh.Obtained && e.Generation == 1 {
				l.Invalidate(lease)
			}
			heard = append(heard, fmt.Sprintf("%s %d", e.Kind, e.Generation))
			if st.Layer != "credential" || err != nil {
				t.Errorf("%+v, %v", st, err)
			}
		}})
		get(t, l)
		synctest.Wait()
		if want := []string{"obtained 1", "refused 0", "healed 2"}; !slices.Equal(heard, want) {
			t.Errorf("heard %q, want %q", heard, want)
		}
	})
}

func TestKindsOfRenewals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := &source{name: "a", life: 10 * time.Minute, takes: time.Millisecond}, &diary{}
		l := fresh.New(s.fetch, fresh.Policy{Name: "a", Observe: d.note, Jitter: fresh.Span{Length: 1}})
		steps := []struct {
			sleep time.Duration
			want  []string
		}{
			{0, []string{"a obtained"}},
			{6 * time.Minute, nil},
			{time.Minute, []string{"a renewed_ahead"}},
			{9*time.Minute + 45*time.Second, []string{"a renewed_late"}},
			{10*time.Minute - 1500*time.Millisecond, []string{"a renewed_late"}},
			{10 * time.Minute, []string{"a obtained"}},
			{100 * time.Hour, []string{"a obtained"}},
		}
		for _, step := range steps {
			time.Sleep(step.sleep)
			get(t, l)
			time.Sleep(time.Second)
			if heard := d.read(); !slices.Equal(heard, step.want) {
				t.Errorf("after %s: heard %q, want %q", step.sleep, heard, step.want)
			}
		}
	})
}
