package fresh_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/longcase/longcase/fresh"
)

func TestRevokedEarlyIsOneRenewalForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := &source{name: "a", life: time.Hour, takes: 20 * time.Millisecond}, &diary{}
		l := fresh.New(s.fetch, fresh.Policy{Name: "a", Observe: d.note})
		old := get(t, l)
		var all sync.WaitGroup
		for i := range 500 { // each is refused, sooner or later, and says so
			all.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				if !l.Invalidate(old) {
					t.Error("another lease can be had, says Invalidate not")
				}
				if lease, err := l.Get(context.Background()); err != nil || lease.Value.Value != "a2" {
					t.Errorf("got %+v, %v", lease, err)
				}
			})
		}
		all.Wait()
		if n := s.since(); n != 2 {
			t.Errorf("%d calls, want 2", n)
		}
		if heard, want := d.read(), []string{"a obtained", "a refused", "a healed"}; !slices.Equal(heard, want) {
			t.Errorf("heard %q, want %q", heard, want)
		}
		if st := l.Status(); st.Refusals != 1 || st.Renewals != 2 || st.Fetches != 2 || st.Last != fresh.Healed {
			t.Errorf("Status = %+v", st)
		}
	})
}

func TestInvalidateKnowsItsLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, other := warm(t, fresh.Policy{}), warm(t, fresh.Policy{})
		if one.Invalidate(get(t, other)) || one.Invalidate(fresh.Lease[fresh.Token]{}) || one.Invalidate(fresh.Lease[fresh.Token]{Generation: 1}) {
			t.Error("a layer took a refusal of what it did not make")
		}
		if lease := get(t, one); lease.Generation != 1 {
			t.Errorf("generation %d", lease.Generation)
		}
		over := get(t, one)
		time.Sleep(2 * time.Hour)
		if !one.Invalidate(over) || one.Status().Refusals != 0 {
			t.Error("what ended by itself is not refused, and another can be had")
		}
	})
}

func TestFreshLeasesRefusedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{name: "a", life: time.Hour}
		l := fresh.New(s.fetch, fresh.Policy{})
		for range 3600 * 4 {
			l.Invalidate(get(t, l))
			time.Sleep(time.Second / 4)
		}
		if n := s.since(); n < 60 || n > 70 {
			t.Errorf("%d renewals in an hour of refusals, want one a minute", n)
		}
	})
}

func TestRefusedValueThatComesBackIsAnotherLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{name: "a", life: time.Hour}
		l := fresh.New(s.fetch, fresh.Policy{})
		old := get(t, l)
		s.tell(func() { s.same = true })
		if !l.Invalidate(old) {
			t.Fatal("not honoured")
		}
		if lease := get(t, l); lease.Value != old.Value || lease.Generation != 2 || l.Status().Last != fresh.Unchanged {
			t.Errorf("got %+v, last %s", lease, l.Status().Last)
		}
	})
}

// A fetch that began before the refusal may bring what was refused: then it is
// repeated; what it brings otherwise is not discarded.
func TestRefusedWhileARenewalIsUnderWay(t *testing.T) {
	for _, tt := range []struct {
		name  string
		same  bool
		calls int
	}{{"it brings another", false, 1}, {"it brings the same", true, 2}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &source{name: "a", life: 10 * time.Minute, takes: time.Second}
				l := fresh.New(s.fetch, fresh.Policy{})
				old := get(t, l)
				s.since()
				time.Sleep(9 * time.Minute)
				s.tell(func() { s.same = tt.same })
				get(t, l) // begins the renewal
				time.Sleep(time.Second / 2)
				l.Invalidate(old)
				time.Sleep(time.Second / 4)
				s.tell(func() {
					if s.same {
						time.AfterFunc(time.Second/2, func() { s.tell(func() { s.same = false }) })
					}
				})
				if lease := get(t, l); lease.Value.Value != "a2" || lease.Generation != 2 {
					t.Errorf("got %+v", lease)
				}
				if n := s.since(); n != tt.calls {
					t.Errorf("%d calls, want %d", n, tt.calls)
				}
			})
		})
	}
}

// hops is a chain of five layers of which each service knows the sessions that
// the one before issued, and refuses what was killed.
type hops struct {
	mu     sync.Mutex
	layers []*fresh.Layer[fresh.Token]
	calls  []int
	killed map[string]bool
	serial int
	diary  diary
}

func newHops() *hops {
	h := &hops{calls: make([]int, 5), killed: map[string]bool{}}
	policy := func(i int) fresh.Policy { return fresh.Policy{Name: fmt.Sprintf("hop%d", i), Observe: h.diary.note} }
	h.layers = append(h.layers, fresh.New(func(context.Context, time.Time) (fresh.Credential[fresh.Token], error) { return h.issue(0) }, policy(0)))
	for i := 1; i < 5; i++ {
		h.layers = append(h.layers, fresh.From(h.layers[i-1], func(_ context.Context, from fresh.Lease[fresh.Token], _ time.Time) (fresh.Credential[fresh.Token], error) {
			c, err := h.issue(i)
			if h.dead(from) {
				return c, fresh.Blame(from, fresh.Fail(fresh.Refused, "401"))
			}
			return c, err
		}, policy(i)))
	}
	return h
}

func (h *hops) issue(i int) (fresh.Credential[fresh.Token], error) {
	time.Sleep(10 * time.Millisecond)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls[i]++
	h.serial++
	return fresh.Credential[fresh.Token]{Value: bearer(fmt.Sprintf("%d-%d", i, h.serial)), Life: time.Hour}, nil
}

func (h *hops) dead(lease fresh.Lease[fresh.Token]) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.killed[lease.Value.Value]
}

func (h *hops) kill(leases ...fresh.Lease[fresh.Token]) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, lease := range leases {
		h.killed[lease.Value.Value] = true
	}
	clear(h.calls)
}

// use has n callers use the last credential, each of which is refused at most
// once: then it says so and asks again.
func (h *hops) use(t *testing.T, n int) {
	t.Helper()
	last := h.layers[4]
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			for try := 0; ; try++ {
				lease, err := last.Get(context.Background())
				switch {
				case err != nil || try > 1:
					t.Errorf("try %d: %v", try, err)
					return
				case !h.dead(lease):
					return
				}
				last.Invalidate(lease)
			}
		})
	}
	all.Wait()
}

// F6: a session killed at each hop, under 500 callers. Exactly the layers whose
// lease was killed are renewed, and the fetch that found out is repeated once.
func TestSessionKilledAtEachHopUnder500Callers(t *testing.T) {
	tests := []struct {
		name  string
		kill  []int
		calls []int
	}{
		{"the last", []int{4}, []int{0, 0, 0, 0, 1}},
		{"the fourth, found out by the last", []int{3, 4}, []int{0, 0, 0, 1, 2}},
		{"the third, found out by the fourth", []int{2, 3, 4}, []int{0, 0, 1, 2, 2}},
		{"the second, found out by the third", []int{1, 2, 3, 4}, []int{0, 1, 2, 2, 2}},
		{"the first: all fall, each is repeated once", []int{0, 1, 2, 3, 4}, []int{1, 2, 2, 2, 2}},
		{"the first and the last: nobody asks the first", []int{0, 4}, []int{0, 0, 0, 0, 1}},
		{"the second and the last", []int{1, 4}, []int{0, 0, 0, 0, 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHops()
				get(t, h.layers[4])
				h.diary.read()
				var dead []fresh.Lease[fresh.Token]
				for _, i := range tt.kill {
					dead = append(dead, get(t, h.layers[i]))
				}
				h.kill(dead...)
				h.use(t, 500)
				if !slices.Equal(h.calls, tt.calls) {
					t.Errorf("calls per hop %v, want %v", h.calls, tt.calls)
				}
				synctest.Wait()
				var want []string
				for i, n := range tt.calls {
					if n > 0 {
						want = append(want, fmt.Sprintf("hop%d healed", i), fmt.Sprintf("hop%d refused", i))
					}
				}
				heard := h.diary.read()
				slices.Sort(heard)
				if !slices.Equal(heard, want) {
					t.Errorf("heard %q, want %q", heard, want)
				}
			})
		})
	}
}

// strict is a chain of two whose second service refuses every value of the first
// but the newest few.
func TestBlame(t *testing.T) {
	refusal := fresh.Fail(fresh.Refused, "expired token")
	tests := []struct {
		name     string
		same     bool     // the first layer has nothing new
		refuse   []string // values of the first layer that the second's service refuses
		a, b     int      // calls
		err      error
		secondly int // calls of the first once the second may try again
	}{
		{"another value heals", false, []string{"a1"}, 2, 2, nil, 0},
		{"never again with the same credential", true, []string{"a1"}, 2, 1, fresh.Refused, 0},
		{"repeated once, not twice", false, []string{"a1", "a2"}, 2, 2, fresh.Refused, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := &source{name: "a", life: time.Hour}, &source{name: "b", life: time.Hour}
				la := fresh.New(a.fetch, fresh.Policy{Name: "a"})
				lb := fresh.From(la, b.from(func(from fresh.Lease[fresh.Token]) error {
					if slices.Contains(tt.refuse, from.Value.Value) {
						return fresh.Blame(from, refusal)
					}
					return nil
				}), fresh.Policy{Name: "b"})
				get(t, la)
				a.tell(func() { a.same = tt.same })
				_, err := lb.Get(t.Context())
				if !errors.Is(err, tt.err) || err != nil && tt.err == nil {
					t.Errorf("Get = %v, want %v", err, tt.err)
				}
				if na, nb := a.since(), b.since(); na != tt.a || nb != tt.b {
					t.Errorf("%d and %d calls, want %d and %d", na, nb, tt.a, tt.b)
				}
				a.tell(func() { a.same = false })
				time.Sleep(2 * time.Second)
				get(t, lb)
			})
		})
	}
}

func TestBlameOfAForeignLayer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		aside := &source{name: "x", life: time.Hour}
		other := fresh.New(aside.fetch, fresh.Policy{Name: "other"})
		l := fresh.New(func(ctx context.Context, _ time.Time) (fresh.Credential[fresh.Token], error) {
			x, err := other.Get(ctx)
			if err == nil && x.Value.Value == "x1" {
				err = fresh.Blame(x, errors.New("401"))
			}
			return fresh.Credential[fresh.Token]{Value: bearer("a"), Life: time.Hour}, err
		}, fresh.Policy{})
		get(t, l)
		if n := aside.since(); n != 2 {
			t.Errorf("%d calls of the layer to blame, want 2", n)
		}
	})
}

func TestBlameOfItselfDoesNotWaitForItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l *fresh.Layer[fresh.Token]
		var own fresh.Lease[fresh.Token]
		l = fresh.New(func(context.Context, time.Time) (fresh.Credential[fresh.Token], error) {
			if own.Generation > 0 {
				return fresh.Credential[fresh.Token]{}, fresh.Blame(own, fresh.Fail(fresh.Refused, "no"))
			}
			return fresh.Credential[fresh.Token]{Value: bearer("a"), Life: time.Minute}, nil
		}, fresh.Policy{})
		own = get(t, l)
		time.Sleep(time.Minute)
		begin := time.Now()
		if _, err := l.Get(t.Context()); !errors.Is(err, fresh.Refused) || time.Since(begin) != 0 {
			t.Errorf("%v after %s", err, time.Since(begin))
		}
	})
}

func TestJoinBlamesOneOfTwo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, c := &source{name: "a", life: time.Hour}, &source{name: "b", life: time.Hour}, &source{name: "c", life: time.Hour}
		la, lb := fresh.New(a.fetch, fresh.Policy{}), fresh.New(b.fetch, fresh.Policy{})
		l := fresh.Join(la, lb, func(ctx context.Context, one, two fresh.Lease[fresh.Token], now time.Time) (fresh.Credential[fresh.Token], error) {
			if two.Value.Value == "b1" {
				return fresh.Credential[fresh.Token]{}, fresh.Blame(two, errors.New("actor token expired"))
			}
			return c.fetch(ctx, now)
		}, fresh.Policy{})
		get(t, l)
		if na, nb, nc := a.since(), b.since(), c.since(); na != 1 || nb != 2 || nc != 1 {
			t.Errorf("%d, %d and %d calls, want 1, 2 and 1", na, nb, nc)
		}
	})
}

func TestWhatTheRepetitionBlamesIsRenewedByTheNextAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &source{name: "a", life: time.Hour}, &source{name: "b", life: time.Hour}
		la, lb := fresh.New(a.fetch, fresh.Policy{}), fresh.New(b.fetch, fresh.Policy{})
		calls := 0
		l := fresh.Join(la, lb, func(_ context.Context, one, two fresh.Lease[fresh.Token], _ time.Time) (fresh.Credential[fresh.Token], error) {
			calls++
			none, refusal := fresh.Credential[fresh.Token]{}, fresh.Fail(fresh.Refused, "401")
			switch {
			case one.Value.Value == "a1":
				return none, fresh.Blame(one, refusal)
			case two.Value.Value == "b1":
				return none, fmt.Errorf("the actor: %w", fresh.Blame(two, refusal))
			}
			return fresh.Credential[fresh.Token]{Value: bearer("c"), Life: time.Hour}, nil
		}, fresh.Policy{})
		if _, err := l.Get(t.Context()); !errors.Is(err, fresh.Refused) || calls != 2 {
			t.Errorf("%v after %d calls, want a refusal after 2", err, calls)
		}
		time.Sleep(time.Second)
		get(t, l)
		if na, nb := a.since(), b.since(); na != 2 || nb != 2 || calls != 3 {
			t.Errorf("%d, %d and %d calls, want 2, 2 and 3", na, nb, calls)
		}
	})
}

func TestBlameOfNothingIsTheError(t *testing.T) {
	err := errors.New("x")
	if got := fresh.Blame(fresh.Lease[fresh.Token]{}, err); fmt.Sprintf("%T", got) != fmt.Sprintf("%T", err) || !errors.Is(got, err) || fresh.Blame(get(t, warm(t, fresh.Policy{})), nil) != nil {
		t.Error("Blame made something of nothing")
	}
}
