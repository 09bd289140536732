package fresh_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/token"
)

func TestObserverThatEndsItsGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, heard := &source{name: "a", life: time.Minute}, 0
		l := fresh.New(s.fetch, fresh.Policy{Observe: func(fresh.Event) { heard++; runtime.Goexit() }})
		get(t, l)
		l.Status()
		time.Sleep(time.Hour)
		get(t, l)
		synctest.Wait()
		if heard != 2 {
			t.Errorf("heard %d transitions, want 2", heard)
		}
	})
}

// rude is an error whose methods panic.
type rude struct{ nothing *source }

func (b rude) Error() string { return b.nothing.name }
func (b rude) Unwrap() error { return b.nothing.err }

func TestWhatAProviderReturnsIsContained(t *testing.T) {
	var none *fresh.Error
	tests := map[string]struct {
		value any
		err   error
	}{
		"a nil *Error as its error":         {"a", none},
		"a nil *Error, wrapped":             {"a", fmt.Errorf("x: %w", none)},
		"an error whose methods panic":      {"a", rude{}},
		"a value that cannot be compared":   {[]byte("hunter2"), nil},
		"a value that holds one such value": {[1]any{func() {}}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := fresh.New(func(context.Context, time.Time) (fresh.Credential[any], error) {
					return fresh.Credential[any]{Value: tt.value, Life: time.Minute}, tt.err
				}, fresh.Policy{})
				for range 3 {
					if _, err := l.Get(t.Context()); !errors.Is(err, fresh.Panicked) || strings.Contains(err.Error(), "hunter2") {
						t.Errorf("Get = %v, want %v", err, fresh.Panicked)
					}
					time.Sleep(time.Hour)
				}
			})
		})
	}
}

func TestRandWithoutBounds(t *testing.T) {
	for _, random := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1, 1, 1e18} {
		t.Run(fmt.Sprint(random), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &source{name: "a", life: time.Minute}
				l := fresh.New(s.fetch, fresh.Policy{Rand: func() float64 { return random }})
				for range 60 {
					get(t, l)
					time.Sleep(time.Second)
				}
				if n := s.since(); n < 2 || n > 5 {
					t.Errorf("%d fetches in a minute of minutes", n)
				}
				s.tell(func() { s.err = errors.New("down") })
				time.Sleep(time.Minute)
				for range 60 {
					_, _ = l.Get(t.Context())
					time.Sleep(time.Second)
				}
				if n := s.since(); n < 2 || n > 9 {
					t.Errorf("%d attempts in a minute while the service is down", n)
				}
			})
		})
	}
}

func TestWallWithAMonotonicReadingIsAWall(t *testing.T) {
	lease := get(t, warm(t, fresh.Policy{Now: func() token.Instant { return token.Instant{Wall: time.Now(), Mono: fresh.Now().Mono} }}))
	if lease.Expires != lease.Expires.Round(0).UTC() {
		t.Errorf("Expires = %s", lease.Expires)
	}
}

func TestZeroLayerFails(t *testing.T) {
	if _, err := new(fresh.Layer[fresh.Token]).Get(t.Context()); err == nil {
		t.Error("a credential out of nothing")
	}
	if _, err := fresh.New[fresh.Token](nil, fresh.Policy{}).Get(t.Context()); err == nil {
		t.Error("a credential out of no provider")
	}
}

// Whoever met the blame heals it. The layers above wait, and blame nobody.
func TestWrappedBlameIsMetOnce(t *testing.T) {
	wraps := map[string]func(error) error{
		"as it is":        func(err error) error { return err },
		"in words":        func(err error) error { return fmt.Errorf("the role: %w", err) },
		"in an *Error":    func(err error) error { return &fresh.Error{Reason: fresh.Refused, Err: err} },
		"beside another":  func(err error) error { return errors.Join(errors.New("x"), err) },
		"around an error": func(err error) error { return fmt.Errorf("%w, %w", fresh.Fail(fresh.Refused, "x"), err) },
	}
	for name, wrap := range wraps {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b, c, x := &source{name: "a", life: time.Hour, takes: 2 * time.Second}, &source{name: "b"}, &source{name: "c", life: time.Hour}, &source{name: "x", life: time.Hour}
				la := fresh.New(a.fetch, fresh.Policy{Name: "a"})
				lb := fresh.From(la, b.from(func(from fresh.Lease[fresh.Token]) error {
					return wrap(fresh.Blame(from, fresh.Fail(fresh.Refused, "401")))
				}), fresh.Policy{Name: "b"})
				lc := fresh.From(lb, c.from(nil), fresh.Policy{Name: "c"})
				lx := fresh.New(func(ctx context.Context, now time.Time) (fresh.Credential[fresh.Token], error) {
					if _, err := lb.Get(ctx); err != nil {
						return fresh.Credential[fresh.Token]{}, fmt.Errorf("aside: %w", err)
					}
					return x.fetch(ctx, now)
				}, fresh.Policy{Name: "x"})
				for _, l := range []*fresh.Layer[fresh.Token]{lc, lx} {
					if _, err := l.Get(t.Context()); !errors.Is(err, fresh.Refused) || strings.Count(err.Error(), "next attempt") != 1 {
						t.Errorf("%v: %v, want %v and one next attempt", l, err, fresh.Refused)
					}
				}
				if na, nb := a.since(), b.since(); na != 2 || nb != 2 {
					t.Errorf("%d and %d fetches, want 2 and 2", na, nb)
				}
			})
		})
	}
}

// The first parent's lease may end while the second's is waited for.
func TestJoinHandsOutNothingThatIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, c := &source{name: "a", life: 5 * time.Second}, &source{name: "b", life: time.Hour, takes: 10 * time.Second}, &source{name: "c", life: time.Hour}
		l := fresh.Join(fresh.New(a.fetch, fresh.Policy{}), fresh.New(b.fetch, fresh.Policy{}),
			func(ctx context.Context, one, two fresh.Lease[fresh.Token], now time.Time) (fresh.Credential[fresh.Token], error) {
				if !one.Expires.After(time.Now()) || !two.Expires.After(time.Now()) {
					t.Errorf("handed out %v and %v at %s", one, two, time.Now())
				}
				return c.fetch(ctx, now)
			}, fresh.Policy{})
		get(t, l)
		if na, nb, nc := a.since(), b.since(), c.since(); na != 2 || nb != 1 || nc != 1 {
			t.Errorf("%d, %d and %d fetches, want 2, 1 and 1", na, nb, nc)
		}
	})
}

func TestJoinOfParentsThatNeverLiveTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &source{name: "a", life: 3 * time.Second, takes: 2 * time.Second}, &source{name: "b", life: 12 * time.Second, takes: 10 * time.Second}
		l := fresh.Join(fresh.New(a.fetch, fresh.Policy{Name: "a"}), fresh.New(b.fetch, fresh.Policy{Name: "b"}),
			func(context.Context, fresh.Lease[fresh.Token], fresh.Lease[fresh.Token], time.Time) (fresh.Credential[fresh.Token], error) {
				t.Error("asked with what is over")
				return fresh.Credential[fresh.Token]{}, nil
			}, fresh.Policy{Name: "j", Timeout: time.Hour})
		_, err := l.Get(t.Context())
		if !errors.Is(err, fresh.Unavailable) || !strings.HasPrefix(err.Error(), "j: no lease of a lived until there was one of b; next attempt at ") {
			t.Errorf("Get = %v", err)
		}
		time.Sleep(time.Minute) // what is under way ends
	})
}

// The child has no time at all, but its parent has failed and says why.
func TestErrorOfAParentNamesItOnceAlsoWhereTimeIsUp(t *testing.T) {
	for range 30 {
		la := fresh.New((&source{err: fresh.Fail(fresh.Refused, "no")}).fetch, fresh.Policy{Name: "parent"})
		_, _ = la.Get(t.Context())
		lb := fresh.From(la, (&source{name: "b", life: time.Hour}).from(nil), fresh.Policy{Name: "child", Timeout: 1})
		_, err := lb.Get(t.Context())
		if err == nil || strings.Count(err.Error(), "parent") > 1 {
			t.Fatalf("Get = %v", err)
		}
	}
}

// A provider that did not return in time began before the refusal.
func TestWhatComesLateIsNotWhatWasRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, calls := make(chan struct{}), 0
		l := fresh.New(func(context.Context, time.Time) (fresh.Credential[fresh.Token], error) {
			if calls++; calls == 2 {
				<-release
			}
			return fresh.Credential[fresh.Token]{Value: bearer(fmt.Sprint("a", calls/3)), Life: time.Hour}, nil
		}, fresh.Policy{})
		old := get(t, l)
		time.Sleep(56 * time.Minute)
		get(t, l) // begins the renewal
		time.Sleep(time.Minute)
		l.Invalidate(old)
		close(release)
		synctest.Wait()
		time.Sleep(time.Minute)
		if lease := get(t, l); lease.Value == old.Value {
			t.Errorf("got %+v, which was refused", lease)
		}
	})
}

// A child's error says when its parent is tried again, also after others tried
// the parent in vain.
func TestNextAttemptIsNeverInThePast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &source{name: "a", life: time.Hour, err: errors.New("down")}
		la := fresh.New(a.fetch, fresh.Policy{})
		lb := fresh.From(la, (&source{name: "b", life: time.Hour}).from(nil), fresh.Policy{})
		lc := fresh.From(lb, (&source{name: "c", life: time.Hour}).from(nil), fresh.Policy{})
		for range 100 {
			for _, l := range []*fresh.Layer[fresh.Token]{la, lb, lc} {
				_, err := l.Get(t.Context())
				var e *fresh.Error
				if !errors.As(err, &e) || !e.Next.Equal(la.Status().Next) || !e.Next.After(time.Now()) {
					t.Fatalf("%v; the parent is tried again at %s, and it is %s", err, la.Status().Next, time.Now())
				}
			}
			time.Sleep(700 * time.Millisecond)
		}
	})
}

func TestSecretsStayOutOfJSONAndLogs(t *testing.T) {
	secret := fresh.Token{Value: "hunter2", Type: "Bearer", Scope: "hunter2"}
	l := fresh.New(func(context.Context, time.Time) (fresh.Credential[string], error) {
		return fresh.Credential[string]{Value: "hunter2", Life: time.Hour}, nil
	}, fresh.Policy{Name: "role"})
	lease, err := l.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, h := range []slog.Handler{slog.NewJSONHandler(&out, nil), slog.NewTextHandler(&out, nil)} {
		for _, v := range []any{secret, &secret, lease, &lease, l, []fresh.Token{secret}, fresh.Credential[fresh.Token]{Value: secret}} {
			slog.New(h).Info("x", "v", v)
		}
	}
	b, err := json.Marshal([]any{secret, lease, l})
	if said := out.String() + string(b); err != nil || strings.Contains(said, "hunter2") || strings.Count(said, "[token]") < 5 {
		t.Errorf("%v, said %s", err, said)
	}
}

// One root, two children, joined: the root's session is killed, and with it all
// that was got with it. Each layer is renewed once.
func TestDiamondRenewsItsRootOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		policy := func(name string) fresh.Policy { return fresh.Policy{Name: name, Observe: d.note} }
		root, a, b, j := &source{name: "root", life: time.Hour}, &source{name: "a", life: time.Hour}, &source{name: "b", life: time.Hour}, &source{name: "j", life: time.Hour}
		killed := map[string]bool{}
		dead := func(leases ...fresh.Lease[fresh.Token]) error {
			for _, lease := range leases {
				if killed[lease.Value.Value] {
					return fresh.Blame(lease, fresh.Fail(fresh.Refused, "401"))
				}
			}
			return nil
		}
		use := func(from fresh.Lease[fresh.Token]) error { return dead(from) }
		lr := fresh.New(root.fetch, policy("root"))
		la, lb := fresh.From(lr, a.from(use), policy("a")), fresh.From(lr, b.from(use), policy("b"))
		lj := fresh.Join(la, lb, func(ctx context.Context, one, two fresh.Lease[fresh.Token], now time.Time) (fresh.Credential[fresh.Token], error) {
			if err := dead(one, two); err != nil {
				return fresh.Credential[fresh.Token]{}, err
			}
			return j.fetch(ctx, now)
		}, policy("j"))
		old := get(t, lj)
		d.read()
		for _, v := range []string{"root1", "a1", "b1", "j1"} {
			killed[v] = true
		}
		lj.Invalidate(old)
		crowd(lj, 100)
		time.Sleep(2 * time.Second)
		get(t, lj)
		synctest.Wait()
		heard := slices.DeleteFunc(d.read(), func(k string) bool { return k == "j failed" })
		slices.Sort(heard)
		want := []string{"a healed", "a refused", "b healed", "b refused", "j healed", "j refused", "root healed", "root refused"}
		if !slices.Equal(heard, want) {
			t.Errorf("heard %q, want %q", heard, want)
		}
	})
}
