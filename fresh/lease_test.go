package fresh_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/longcase/longcase/fresh"
)

func TestTokenDoesNotPrint(t *testing.T) {
	token := fresh.Token{Value: "hunter2", Type: "Bearer", Scope: "hunter2"}
	l := fresh.New(func(context.Context, time.Time) (fresh.Credential[fresh.Token], error) {
		return fresh.Credential[fresh.Token]{Value: token, Life: time.Hour}, nil
	}, fresh.Policy{Name: "role"})
	lease := get(t, l)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%t", "%T %v"} {
		for _, v := range []any{token, &token, lease, &lease, l, []any{lease, l}, fresh.Credential[fresh.Token]{Value: token}, []fresh.Token{token}} {
			if said := fmt.Sprintf(verb, v, v); strings.Contains(said, "hunter2") || strings.Contains(said, fmt.Sprintf("%x", "hunter2")) {
				t.Errorf("%s of %T says %q", verb, v, said)
			}
		}
	}
}

func TestCheckNamesEveryFieldThatCannotWork(t *testing.T) {
	wrong := fresh.Policy{
		Ahead: fresh.Span{Part: 1.1}, Buffer: fresh.Span{Part: math.NaN()}, Jitter: fresh.Span{Length: -1},
		Timeout: -1, Backoff: -1, MaxWait: -1,
	}
	err := wrong.Check()
	for _, field := range []string{"ahead", "buffer", "jitter", "timeout", "backoff", "max wait"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("Check = %v, want it to name %s", err, field)
		}
	}
	if err := (fresh.Policy{Ahead: fresh.Span{Part: 1}, Buffer: fresh.Span{Length: math.MaxInt64}}).Check(); err != nil {
		t.Errorf("Check = %v for what can work", err)
	}
}

// Services count in seconds, and some give the same credential until a fresher
// one is there.
func TestWhatIsTheSameLease(t *testing.T) {
	tests := []struct {
		name    string
		value   string
		life    time.Duration // stated 56 minutes after an hour's lease
		kind    fresh.Kind
		expires time.Duration // after the first fetch
	}{
		{"the same value and end", "a", 4 * time.Minute, fresh.Unchanged, 60 * time.Minute},
		{"a second later", "a", 4*time.Minute + time.Second, fresh.Unchanged, 60 * time.Minute},
		{"a second earlier", "a", 4*time.Minute - time.Second, fresh.Unchanged, 60*time.Minute - time.Second},
		{"the same value, and an hour more", "a", time.Hour, fresh.RenewedAhead, 116 * time.Minute},
		{"another value and the same end", "b", 4 * time.Minute, fresh.RenewedAhead, 60 * time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin, answer := time.Now(), fresh.Credential[fresh.Token]{Value: bearer("a"), Life: time.Hour}
				l := fresh.New(func(context.Context, time.Time) (fresh.Credential[fresh.Token], error) { return answer, nil }, fresh.Policy{})
				get(t, l)
				time.Sleep(56 * time.Minute)
				answer.Value.Value, answer.Life = tt.value, tt.life
				get(t, l)
				synctest.Wait()
				lease, want := get(t, l), uint64(2)
				if tt.kind == fresh.Unchanged {
					want = 1
				}
				if st := l.Status(); st.Last != tt.kind || lease.Generation != want || lease.Expires.Sub(begin) != tt.expires {
					t.Errorf("%s, generation %d, ends after %s, want %s, %d, %s", st.Last, lease.Generation, lease.Expires.Sub(begin), tt.kind, want, tt.expires)
				}
			})
		})
	}
}

func TestWindowOfALeaseIsByThisHostsClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h host
		h.shift(-time.Hour, 0) // slow
		truth := h.truth()
		l := fresh.New(func(context.Context, time.Time) (fresh.Credential[fresh.Token], error) {
			return fresh.Credential[fresh.Token]{Value: bearer("a"), NotBefore: truth, Expires: truth.Add(time.Hour), Date: truth.Truncate(time.Second)}, nil
		}, fresh.Policy{Now: h.now})
		lease, now := get(t, l), h.now().Wall
		if lease.NotBefore.Sub(now).Abs() > time.Second || lease.Expires.Sub(now) > time.Hour || lease.Expires.Sub(now) < time.Hour-time.Second {
			t.Errorf("the lease lives from %s to %s from now, want from 0 to an hour", lease.NotBefore.Sub(now), lease.Expires.Sub(now))
		}
		h.shift(time.Hour, 0) // set right: the end is where it was
		if left := get(t, l).Expires.Sub(h.now().Wall); left > time.Hour {
			t.Errorf("%s left", left)
		}
	})
}
