package fresh_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/longcase/longcase/fresh"
)

func TestManyCallersAtAnExpiryAreOneCallPerLayer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h host
		const life = 10 * time.Minute
		const takes = 50 * time.Millisecond
		sources := []*source{{name: "a", life: life, takes: takes}, {name: "b", life: life, takes: takes}, {name: "c", life: life, takes: takes}}
		policy := fresh.Policy{Now: h.now}
		a := fresh.New(sources[0].fetch, policy)
		b := fresh.From(a, sources[1].from(nil), policy)
		c := fresh.From(b, sources[2].from(nil), policy)
		for round := range 6 {
			if round == 3 { // then renewals land while callers are still coming
				for _, s := range sources {
					s.tell(func() { s.takes = 0 })
				}
			}
			values, errs := crowd(c, 10_000)
			if len(values) != 1 || errs != nil {
				t.Fatalf("round %d: %v, %v", round, values, errs)
			}
			for _, s := range sources {
				if n := s.since(); n != 1 {
					t.Errorf("round %d: %d calls of %s, want 1", round, n, s.name)
				}
			}
			time.Sleep(life)
		}
	})
}

func TestLifeShorterThanTheEarlyWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{name: "a", life: time.Minute}
		l := fresh.New(s.fetch, fresh.Policy{Ahead: fresh.Span{Length: 5 * time.Minute}, Jitter: fresh.Span{Length: 1}})
		for range 900 {
			get(t, l)
			time.Sleep(time.Second)
		}
		if n := s.since(); n > 900/30+1 {
			t.Errorf("%d calls in 15 minutes of one-minute lives, want one per half life", n)
		}
	})
}

func TestOldLeaseServesWhileRenewalsFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := &source{name: "a", life: 10 * time.Minute}, &diary{}
		l := fresh.New(s.fetch, fresh.Policy{Name: "a", Observe: d.note})
		first := get(t, l)
		s.tell(func() { s.err = fresh.Fail(fresh.Unavailable, "503") })
		s.since()
		for range 599 {
			time.Sleep(time.Second)
			if lease := get(t, l); lease != first {
				t.Fatalf("got %+v, want the old lease", lease)
			}
		}
		if n := s.since(); n < 4 || n > 20 {
			t.Errorf("%d attempts in 3 minutes, want some, ever rarer", n)
		}
		if st := l.Status(); st.Err == nil || st.Left != time.Second || st.Generation != 1 || st.Next.IsZero() || st.Last != fresh.Obtained {
			t.Errorf("Status = %+v", st)
		}
		time.Sleep(time.Second)
		if _, err := l.Get(t.Context()); !errors.Is(err, fresh.Unavailable) {
			t.Fatalf("after the end: %v, want %v", err, fresh.Unavailable)
		}
		s.tell(func() { s.err = nil })
		time.Sleep(30 * time.Second)
		get(t, l)
		synctest.Wait()
		heard := slices.DeleteFunc(d.read(), func(k string) bool { return k == "a failed" })
		if want := []string{"a obtained", "a expired_in_hand", "a obtained"}; !slices.Equal(heard, want) {
			t.Errorf("heard %q beside failures, want %q", heard, want)
		}
	})
}

func TestManyCallersWhileTheServiceIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{name: "a", life: time.Hour, takes: time.Millisecond, err: fresh.Fail(fresh.Unavailable, "connection refused")}
		l := fresh.New(s.fetch, fresh.Policy{Name: "role", Rand: func() float64 { return 0 }})
		for _, wait := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
			if _, errs := crowd(l, 10_000); len(errs) != 1 || !errors.Is(errs[0], fresh.Unavailable) {
				t.Fatalf("errors %v, want one for all", errs)
			}
			time.Sleep(wait*time.Second - 2*time.Millisecond)
			_, errs := crowd(l, 10_000)
			if n := s.since(); n != 1 {
				t.Fatalf("%d calls within a backoff of %d s, want 1", n, wait)
			}
			var e *fresh.Error
			if !errors.As(errs[0], &e) || time.Until(e.Next).Abs() > 3*time.Millisecond || !strings.Contains(e.Error(), "role: connection refused; next attempt at ") {
				t.Fatalf("the error %q does not say that the next attempt is now", errs[0])
			}
			time.Sleep(2 * time.Millisecond)
		}
		s.tell(func() { s.err = nil })
		get(t, l)
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{name: "a", life: time.Hour, err: &fresh.Error{Reason: fresh.Unavailable, Detail: "429", RetryAfter: time.Minute}}
		l := fresh.New(s.fetch, fresh.Policy{})
		child := fresh.From(l, (&source{name: "b", life: time.Hour}).from(nil), fresh.Policy{})
		for range 60 {
			if _, err := child.Get(t.Context()); err == nil {
				t.Fatal("a credential without its parent")
			}
			time.Sleep(time.Second)
		}
		if n := s.since(); n != 1 {
			t.Errorf("%d calls within the minute that the service asked for", n)
		}
		s.tell(func() { s.err = nil })
		get(t, child)
	})
}

// The child follows its parent's attempts and adds no wait of its own.
func TestChildIsWellAsSoonAsItsParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, c := &source{name: "a", life: time.Hour, err: errors.New("down")}, &source{name: "b", life: time.Hour}, &source{name: "c", life: time.Hour}
		policy := fresh.Policy{Rand: func() float64 { return 0 }}
		la := fresh.New(a.fetch, policy)
		lb := fresh.From(la, b.from(nil), policy)
		lc := fresh.From(lb, c.from(nil), policy)
		for range 100 {
			if _, err := lc.Get(t.Context()); err == nil {
				t.Fatal("a credential out of nothing")
			}
			time.Sleep(time.Second)
		}
		if n := a.since(); n != 8 { // after 0, 1, 3, 7, 15, 31, 61 and 91 s
			t.Errorf("%d calls in 100 s, want 8", n)
		}
		if b.since()+c.since() != 0 {
			t.Error("a child asked its service without a lease of its parent")
		}
		if next := lc.Status().Next; next != la.Status().Next {
			t.Errorf("the grandchild's next attempt is at %s, its grandparent's at %s", next, la.Status().Next)
		}
		a.tell(func() { a.err = nil })
		time.Sleep(time.Until(la.Status().Next))
		get(t, lc)
	})
}

func TestCancellationEndsOneCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{name: "a", life: time.Hour, takes: 10 * time.Second}
		l := fresh.New(s.fetch, fresh.Policy{})
		ctx, cancel := context.WithCancel(t.Context())
		first, second := make(chan error), make(chan error)
		go func() { _, err := l.Get(ctx); first <- err }()
		synctest.Wait()
		go func() { _, err := l.Get(context.Background()); second <- err }()
		time.Sleep(time.Second)
		cancel()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("the cancelled caller got %v", err)
		}
		if err := <-second; err != nil {
			t.Errorf("the other caller got %v", err)
		}
		if n := s.since(); n != 1 {
			t.Errorf("%d calls, want 1", n)
		}
	})
}

func TestLifeCountsFromTheFetchNotFromTheWaitForTheParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &source{name: "a", life: time.Hour, takes: 10 * time.Second}, &source{name: "b", life: 20 * time.Second, takes: time.Second}
		l := fresh.From(fresh.New(a.fetch, fresh.Policy{}), b.from(nil), fresh.Policy{})
		if left := time.Until(get(t, l).Expires); left != 19*time.Second {
			t.Errorf("%s left, want 19 s", left)
		}
	})
}

func TestProviderThatDoesNotReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		release := make(chan struct{})
		l := fresh.New(func(context.Context, time.Time) (fresh.Credential[fresh.Token], error) {
			calls.Add(1)
			<-release
			return fresh.Credential[fresh.Token]{Value: bearer("late"), Life: 24 * time.Hour}, nil
		}, fresh.Policy{Timeout: 8 * time.Second})
		child := fresh.From(l, (&source{name: "b", life: time.Hour}).from(nil), fresh.Policy{Timeout: 5 * time.Second})
		begin := time.Now()
		if _, err := child.Get(t.Context()); !errors.Is(err, fresh.Unavailable) || time.Since(begin) != 5*time.Second {
			t.Errorf("the child: %v after %s, want its own timeout", err, time.Since(begin))
		}
		for range 100 {
			if _, err := l.Get(t.Context()); !errors.Is(err, fresh.Unavailable) {
				t.Fatalf("got %v", err)
			}
			if n := calls.Load(); n != 1 {
				t.Fatalf("%d calls, and none has returned", n)
			}
			time.Sleep(time.Minute)
		}
		close(release)
		synctest.Wait()
		if lease := get(t, l); lease.Value.Value != "late" || calls.Load() != 1 {
			t.Errorf("got %+v after %d calls, want what came late", lease, calls.Load())
		}
		get(t, child)
	})
}

func TestPanicIsContained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var nothing *source
		faults := map[string]func(){
			"runtime error": func() { nothing.calls++ },
			"secret":        func() { panic("hunter2") },
			"goexit":        runtime.Goexit,
		}
		for name, fault := range faults {
			l := fresh.New(func(context.Context, time.Time) (fresh.Credential[fresh.Token], error) {
				fault()
				return fresh.Credential[fresh.Token]{}, nil
			}, fresh.Policy{Observe: func(fresh.Event) { panic("the observer too") }})
			_, err := l.Get(t.Context())
			if !errors.Is(err, fresh.Panicked) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s: %v, want %v and no secret", name, err, fresh.Panicked)
			}
		}
	})
}

func TestSuspendOfAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h host
		s := &source{name: "a", life: time.Hour}
		l := fresh.New(s.fetch, fresh.Policy{Now: h.now})
		first := get(t, l)
		time.Sleep(time.Minute)
		h.shift(0, time.Hour)
		if lease := get(t, l); lease.Value == first.Value {
			t.Error("the lease that ended while the machine slept was handed out")
		}
		time.Sleep(time.Minute)
		h.shift(-time.Hour, 0) // the wall is set back: what the clocks have counted stays counted
		get(t, l)
		h.shift(0, 59*time.Minute)
		if lease := get(t, l); lease.Value.Value != "a3" {
			t.Errorf("got %s after the wall was set back and the machine slept, want a3", lease.Value.Value)
		}
		h.shift(time.Hour, 0)
		if lease := get(t, l); lease.Value.Value != "a4" {
			t.Errorf("got %s after the wall was set forward, want a4", lease.Value.Value)
		}
		if n := s.since(); n != 4 {
			t.Errorf("%d calls, want 4", n)
		}
	})
}

func TestNothingNewIsNoHotLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls int
		end := time.Now().Add(time.Hour)
		d := &diary{}
		l := fresh.New(func(context.Context, time.Time) (fresh.Credential[fresh.Token], error) {
			calls++
			return fresh.Credential[fresh.Token]{Value: bearer("fixed"), Expires: end}, nil
		}, fresh.Policy{Name: "a", Observe: d.note})
		for time.Now().Before(end) {
			if lease := get(t, l); lease.Generation != 1 || !lease.Expires.Equal(end) {
				t.Fatalf("got %+v, want the same lease", lease)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if calls < 5 || calls > 30 {
			t.Errorf("%d calls for what does not change, want few", calls)
		}
		if _, err := l.Get(t.Context()); !errors.Is(err, fresh.Ended) {
			t.Errorf("at the end %v, want %v", err, fresh.Ended)
		}
		heard := d.read()
		if heard[0] != "a obtained" || heard[1] != "a unchanged" || !slices.Contains(heard, "a expired_in_hand") || len(heard) != calls+1 {
			t.Errorf("heard %q", heard)
		}
	})
}

func TestServiceThatHangsInTheBufferHoldsNobodyForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{name: "a", life: 10 * time.Minute}
		l := fresh.New(s.fetch, fresh.Policy{})
		get(t, l)
		s.tell(func() { s.takes = time.Hour })
		time.Sleep(10*time.Minute - 20*time.Second)
		begin := time.Now()
		get(t, l)
		if waited := time.Since(begin); waited != 5*time.Second {
			t.Errorf("waited %s with a lease in hand, want 5 s", waited)
		}
		time.Sleep(time.Minute) // the fetch gives up
	})
}

func TestWhatIsNotALease(t *testing.T) {
	hour := fresh.Credential[fresh.Token]{Life: time.Hour}
	over := fresh.Credential[fresh.Token]{Value: bearer("a"), Life: -1}
	open := fresh.Credential[fresh.Token]{Value: bearer("a")}
	good := fresh.Credential[fresh.Token]{Value: bearer("a"), Life: time.Hour}
	tests := []struct {
		name   string
		got    fresh.Credential[fresh.Token]
		policy fresh.Policy
		want   fresh.Reason
	}{
		{"empty", hour, fresh.Policy{}, fresh.Malformed},
		{"over", over, fresh.Policy{}, fresh.Ended},
		{"without an end", open, fresh.Policy{}, fresh.Malformed},
		{"a policy that cannot work", good, fresh.Policy{Backoff: -1}, fresh.Misconfigured},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := fresh.New(func(context.Context, time.Time) (fresh.Credential[fresh.Token], error) { return tt.got, nil }, tt.policy)
			if _, err := l.Get(t.Context()); !errors.Is(err, tt.want) {
				t.Errorf("Get = %v, want %v", err, tt.want)
			}
			if st := l.Status(); !errors.Is(st.Err, tt.want) {
				t.Errorf("Status says %v, want %v", st.Err, tt.want)
			}
		})
	}
}

func TestDepthIsBounded(t *testing.T) {
	l := warm(t, fresh.Policy{})
	for range 15 {
		l = fresh.From(l, (&source{name: "a", life: time.Hour}).from(nil), fresh.Policy{})
	}
	get(t, l)
	l = fresh.From(l, (&source{name: "a", life: time.Hour}).from(nil), fresh.Policy{Name: "deep"})
	_, err := l.Get(t.Context())
	if !errors.Is(err, fresh.Misconfigured) || !errors.Is(l.Run(t.Context()), fresh.Misconfigured) {
		t.Errorf("a chain of 17 layers: %v, want %v", err, fresh.Misconfigured)
	}
}

func TestErrorNamesTheLayersOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{err: fresh.Fail(fresh.Refused, "STS answered 403")}
		a := fresh.New(s.fetch, fresh.Policy{Name: "a"})
		b := fresh.From(a, s.from(nil), fresh.Policy{Name: "b"})
		c := fresh.From(b, s.from(nil), fresh.Policy{Name: "c"})
		_, err := c.Get(t.Context())
		said, _, _ := strings.Cut(err.Error(), ";")
		if want := "c: b: a: STS answered 403"; said != want || strings.Count(err.Error(), "next attempt") != 1 || !errors.Is(err, fresh.Refused) {
			t.Errorf("error %q, want %q and one next attempt", err, want)
		}
	})
}
