package fresh

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/longcase/longcase/token"
)

var (
	start = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	zero  = at(0, 0)
)

// at is an instant so far from start on each clock.
func at(wall, mono time.Duration) token.Instant {
	return token.Instant{Wall: start.Add(wall), Mono: time.Hour + mono}
}

func both(d time.Duration) token.Instant { return at(d, d) }

// hourly is an hour's lease: ahead at 55 min, must at 59 min 30 s.
func hourly(t *testing.T) schedule {
	t.Helper()
	s, err := Policy{}.withDefaults().draw(ending{stated: time.Hour}, zero, zero, 0)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDecide(t *testing.T) {
	const min, sec = time.Minute, time.Second
	tests := []struct {
		name string
		now  token.Instant
		want action
	}{
		{"just got", zero, use},
		{"one nanosecond before the window", both(55*min - 1), use},
		{"the window is inclusive", both(55 * min), renewAhead},
		{"one nanosecond before the buffer", both(59*min + 30*sec - 1), renewAhead},
		{"the buffer is inclusive", both(59*min + 30*sec), mustRenew},
		{"one nanosecond left", both(60*min - 1), mustRenew},
		{"the end is exclusive", both(60 * min), ended},
		{"long over", both(1000 * time.Hour), ended},
		{"the machine slept through the end", at(60*min, min), ended},
		{"the machine slept into the buffer", at(59*min+31*sec, min), mustRenew},
		{"the machine slept into the window", at(56*min, min), renewAhead},
		{"the wall was set forward by an hour", at(61*min, min), ended},
		{"the wall was set back by an hour, in the middle", at(-30*min, 30*min), use},
		{"the wall was set back by an hour, in the window", at(-4*min, 56*min), renewAhead},
		{"the wall was set back by an hour, in the buffer", at(-sec, 60*min-sec), mustRenew},
		{"the wall was set back by an hour, at the end", at(0, 60*min), ended},
		{"the wall was set back by a century", at(-876000*time.Hour, 59*min), renewAhead},
		{"the wall reads the year 1", token.Instant{Mono: time.Hour}, use},
	}
	s := hourly(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := s.decide(tt.now); got != tt.want {
				t.Errorf("decide = %d, want %d", got, tt.want)
			}
		})
	}
}

func TestDecideWithoutAnEnd(t *testing.T) {
	s, err := Policy{}.withDefaults().draw(ending{recheck: time.Minute}, zero, zero, 0.9)
	if err != nil {
		t.Fatal(err)
	}
	for after, want := range map[time.Duration]action{
		0: use, time.Minute - 1: use, time.Minute: renewAhead, 2*time.Minute - 1: renewAhead, 2 * time.Minute: mustRenew, 1000 * time.Hour: mustRenew,
	} {
		if got := s.decide(both(after)); got != want {
			t.Errorf("%s after a read each minute: decide = %d, want %d", after, got, want)
		}
	}
}

func TestWindows(t *testing.T) {
	part, length := func(p float64) Span { return Span{Part: p} }, func(d time.Duration) Span { return Span{Length: d} }
	tests := []struct {
		name          string
		policy        Policy
		life          time.Duration
		random        float64
		ahead, buffer time.Duration // before the end
	}{
		{"parts of an hour are capped", Policy{}, time.Hour, 0, 5 * time.Minute, 30 * time.Second},
		{"parts of 10 minutes", Policy{}, 10 * time.Minute, 0, 198 * time.Second, 30 * time.Second},
		{"parts of a minute", Policy{}, time.Minute, 0, 19800 * time.Millisecond, 3 * time.Second},
		{"parts of a second", Policy{}, time.Second, 0, 330 * time.Millisecond, 50 * time.Millisecond},
		{"jitter is a part of ahead", Policy{}, time.Hour, 0.5, 5*time.Minute + 15*time.Second, 30 * time.Second},
		{"durations stand as they are", Policy{Ahead: length(20 * time.Minute), Buffer: length(2 * time.Minute)}, time.Hour, 0, 20 * time.Minute, 2 * time.Minute},
		{"a duration longer than the life is cut to half", Policy{Ahead: length(10 * time.Minute)}, 10 * time.Second, 0, 5 * time.Second, 500 * time.Millisecond},
		{"a buffer longer than the life is cut to a quarter", Policy{Buffer: length(time.Hour)}, 8 * time.Second, 0, 2640 * time.Millisecond, 2 * time.Second},
		{"a jitter longer than the life is cut to a quarter", Policy{Jitter: length(time.Hour)}, 100 * time.Second, 0.999999999, 58 * time.Second, 5 * time.Second},
		{"a buffer beyond ahead moves ahead", Policy{Ahead: length(time.Second), Buffer: length(10 * time.Second)}, time.Minute, 0, 10 * time.Second, 10 * time.Second},
		{"all of the life", Policy{Ahead: part(1), Buffer: part(1), Jitter: part(1)}, 100 * time.Second, 0.999999999, 75 * time.Second, 25 * time.Second},
		{"no window at all", Policy{Ahead: length(1), Buffer: length(1), Jitter: length(1)}, time.Hour, 0, 1, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := tt.policy.withDefaults().plan(zero, tt.life, tt.random)
			ahead, buffer := s.end.Mono-s.ahead.Mono, s.end.Mono-s.must.Mono
			if (ahead-tt.ahead).Abs() > time.Microsecond || (buffer-tt.buffer).Abs() > time.Microsecond {
				t.Errorf("ahead %s and buffer %s before the end, want %s and %s", ahead, buffer, tt.ahead, tt.buffer)
			}
		})
	}
}

// For every policy and every life: the thresholds are in order, and a quarter of
// the life passes before the first renewal.
func TestNoLifeIsTooShort(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		span := rapid.Custom(func(t *rapid.T) Span {
			return Span{Part: rapid.SampledFrom([]float64{0, 1e-9, 0.05, 0.33, 1}).Draw(t, "part"), Length: time.Duration(rapid.Int64Range(0, math.MaxInt64).Draw(t, "length"))}
		})
		p := Policy{Ahead: span.Draw(t, "ahead"), Buffer: span.Draw(t, "buffer"), Jitter: span.Draw(t, "jitter")}.withDefaults()
		life := time.Duration(rapid.Int64Range(4, int64(maxLife)).Draw(t, "life"))
		s := p.plan(zero, life, rapid.Float64Range(0, 0.9999999).Draw(t, "random"))
		if s.ahead.Mono-zero.Mono < life/4-1 || s.must.Mono < s.ahead.Mono || s.end.Mono < s.must.Mono {
			t.Fatalf("a life of %s is ahead after %s, must after %s, over after %s", life,
				s.ahead.Mono-zero.Mono, s.must.Mono-zero.Mono, s.end.Mono-zero.Mono)
		}
		if s.decide(zero) != use {
			t.Fatalf("a life of %s is renewed at once", life)
		}
	})
}

func TestEndOfACredential(t *testing.T) {
	const hour, sec = time.Hour, time.Second
	tests := []struct {
		name     string
		e        ending
		received time.Duration // after sent, on both clocks
		left     time.Duration // when received
		err      error
	}{
		{"life counts from before the fetch", ending{stated: hour}, 2 * sec, hour - 2*sec, nil},
		{"the issuer does not say its time", ending{expires: start.Add(hour)}, sec, hour - sec, nil},
		{"the issuer's time is within the exchange", ending{expires: start.Add(hour), date: start.Add(sec)}, 2 * sec, hour - 2*sec, nil},
		{"the issuer's time has whole seconds", ending{expires: start.Add(hour), date: start.Add(-sec)}, 0, hour, nil},
		{"an exchange that took a minute", ending{expires: start.Add(hour), date: start.Add(time.Minute)}, time.Minute, hour - 2*time.Minute - sec, nil},
		{"this host is an hour slow", ending{expires: start.Add(2 * hour), date: start.Add(hour)}, 0, hour - sec, nil},
		{"this host is an hour fast", ending{expires: start, date: start.Add(-hour)}, 0, hour - sec, nil},
		{"this host is a year slow", ending{expires: start.Add(8761 * hour), date: start.Add(8760 * hour)}, 0, hour - sec, nil},
		{"this host began in 1970", ending{expires: start.Add(490561 * hour), date: start.Add(490560 * hour)}, 0, hour - sec, nil},
		{"a Date that would add years", ending{expires: start.Add(hour), date: time.Time{}.Add(hour)}, 0, hour, nil},
		{"the first end counts", ending{expires: start.Add(hour), stated: 10 * sec}, 0, 10 * sec, nil},
		{"the first end counts, the other way round", ending{expires: start.Add(10 * sec), stated: hour}, 0, 10 * sec, nil},
		{"the year 9999", ending{expires: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)}, 0, maxLife, nil},
		{"the year 9999 and a Date of the year 1", ending{expires: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), date: time.Time{}.Add(1)}, 0, maxLife, nil},
		{"the longest life there is", ending{stated: math.MaxInt64}, 0, maxLife, nil},
		{"the year 1970", ending{expires: time.Unix(0, 0)}, 0, 0, Ended},
		{"the year 1", ending{expires: time.Time{}.Add(1)}, 0, 0, Ended},
		{"the year 1 and a Date of the year 9999", ending{expires: time.Time{}.Add(1), date: time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)}, 0, 0, Ended},
		{"a life below zero", ending{stated: -1}, 0, 0, Ended},
		{"the shortest life there is", ending{stated: math.MinInt64}, 0, 0, Ended},
		{"over before it came", ending{stated: sec}, sec, 0, Ended},
		{"no end", ending{}, 0, 0, Malformed},
		{"no end and a negative recheck", ending{recheck: -1}, 0, 0, Malformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := Policy{}.withDefaults().draw(tt.e, zero, both(tt.received), 0)
			if !errors.Is(err, tt.err) || err == nil && tt.err != nil {
				t.Fatalf("draw = %v, want %v", err, tt.err)
			}
			if err != nil {
				return
			}
			if left := both(tt.received).Until(s.end); left != tt.left {
				t.Errorf("%s left, want %s", left, tt.left)
			}
		})
	}
}

func TestClocksThatPartDuringTheFetch(t *testing.T) {
	const hour, sec = time.Hour, time.Second
	tests := []struct {
		name     string
		e        ending
		received token.Instant
		left     time.Duration
	}{
		{"the machine slept an hour of a stated life", ending{stated: 2 * hour}, at(hour, sec), hour},
		{"the machine slept an hour of an absolute life", ending{expires: start.Add(2 * hour)}, at(hour, sec), hour},
		{"the wall was set back an hour", ending{stated: hour}, at(-hour, sec), hour - sec},
		{"the wall was an hour fast and was set right", ending{expires: start, date: start.Add(-hour)}, at(-hour+sec, sec), hour - 2*sec},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := Policy{}.withDefaults().draw(tt.e, zero, tt.received, 0)
			if err != nil {
				t.Fatal(err)
			}
			if left := tt.received.Until(s.end); left != tt.left {
				t.Errorf("%s left, want %s", left, tt.left)
			}
		})
	}
}

// What one clock has counted stays counted when it is set back.
func TestRedrawnRemembersBothClocks(t *testing.T) {
	const min = time.Minute
	s := hourly(t)
	now := at(-50*min, 10*min) // set back by an hour after 10 minutes
	if !s.drifted(now) {
		t.Fatal("nobody noticed that the wall was set back")
	}
	s = s.redrawn(now)
	slept := at(0, 10*min) // and then the machine sleeps 50 minutes
	if got := s.decide(slept); got != ended {
		t.Errorf("decide = %d after 10 minutes awake and 50 asleep, want %d", got, ended)
	}
	if s.drifted(at(-49*min, 11*min)) {
		t.Error("clocks that go together drift")
	}
}

func TestWallSetByCenturiesRevivesNothing(t *testing.T) {
	for _, years := range []int{1, 56, 290, 300, 1000} {
		far, back := token.Instant{Wall: start.AddDate(years, 0, 0), Mono: time.Hour + time.Minute}, both(2*time.Minute)
		s := hourly(t)
		if s = s.redrawn(far).redrawn(back); s.decide(back) != ended {
			t.Errorf("set forward by %d years and back, %s are left", years, back.Until(s.end))
		}
	}
}

func TestNothingNewIsAskedAgainWhenHalfOfTheRestHasPassed(t *testing.T) {
	s := hourly(t)
	now := both(58 * time.Minute)
	var pauses []time.Duration
	for s.decide(now) != ended {
		s = s.again(now, s, 0)
		pauses = append(pauses, s.ahead.Mono-now.Mono)
		now = s.ahead
	}
	want := []time.Duration{45e9, 22.5e9, 11.25e9, 5.625e9, 2.8125e9, 1.40625e9, 1e9}
	for i, w := range want {
		if pauses[i] != w {
			t.Fatalf("pauses %v, want %v and so on", pauses, want)
		}
	}
	for _, p := range pauses {
		if p < time.Second {
			t.Errorf("a pause of %s", p)
		}
	}
	if len(pauses) > 20 {
		t.Errorf("%d fetches in the last two minutes", len(pauses))
	}
}

func TestBackoff(t *testing.T) {
	const ms, sec, min = time.Millisecond, time.Second, time.Minute
	tests := []struct {
		name   string
		policy Policy
		n      int
		life   time.Duration
		wish   time.Duration
		random float64
		want   time.Duration
	}{
		{"the first", Policy{}, 1, 0, 0, 0, sec},
		{"the first of an hour's lease", Policy{}, 1, time.Hour, 0, 0, sec},
		{"the third", Policy{}, 3, 0, 0, 0, 4 * sec},
		{"the millionth", Policy{}, 1e6, 0, 0, 0, 30 * sec},
		{"jitter takes up to a quarter", Policy{}, 3, 0, 0, 0.999999999, 3 * sec},
		{"short for short lives", Policy{}, 1, 2 * sec, 0, 0, 200 * ms},
		{"short for short lives, the tenth", Policy{}, 10, 10 * sec, 0, 0, 5 * sec},
		{"never shorter than 10 ms", Policy{}, 1, ms, 0, 0, 10 * ms},
		{"the service's wish", Policy{}, 1, 0, min, 0.5, min},
		{"a wish shorter than the backoff", Policy{}, 5, 0, sec, 0, 16 * sec},
		{"a wish without bounds", Policy{}, 1, 0, 1000 * time.Hour, 0, 5 * min},
		{"a negative wish", Policy{}, 1, 0, -time.Hour, 0, sec},
		{"a policy without bounds", Policy{Backoff: math.MaxInt64 / 3, MaxWait: math.MaxInt64}, 100, 0, 0, 0, math.MaxInt64},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.policy.withDefaults().after(tt.n, tt.life, tt.wish, tt.random)
			if (got - tt.want).Abs() > time.Microsecond {
				t.Errorf("wait %s, want %s", got, tt.want)
			}
		})
	}
}

func TestGuardDoublesUntilItIsCalm(t *testing.T) {
	const sec = time.Second
	var g guard
	now := zero
	var granted []time.Duration
	for now.Mono < zero.Mono+time.Hour { // refused each quarter of a second
		if g.allow(now, time.Hour) {
			granted = append(granted, now.Mono-zero.Mono)
		}
		now = now.Add(sec / 4)
	}
	want := []time.Duration{0, sec, 3 * sec, 7 * sec, 15 * sec, 31 * sec, 63 * sec, 123 * sec, 183 * sec}
	for i, w := range want {
		if granted[i] != w {
			t.Fatalf("granted after %v, want %v and so on", granted[:len(want)], want)
		}
	}
	if g.allow(now.Add(59*sec), time.Hour) && g.pause != time.Minute {
		t.Errorf("pause %s after a minute's rest, want a minute", g.pause)
	}
	now = now.Add(11 * time.Minute)
	if !g.allow(now, time.Hour) || g.pause != sec {
		t.Errorf("after eleven minutes of calm the pause is %s, want to begin anew", g.pause)
	}
}

// A caller that decided to renew when another's renewal landed finds that lease.
func TestLateBoarderBeginsNothing(t *testing.T) {
	calls := 0
	l := New(func(context.Context, time.Time) (Credential[int], error) {
		calls++
		return Credential[int]{Value: calls, Life: time.Hour}, nil
	}, Policy{})
	before := Now()
	if _, err := l.Get(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, now := range []token.Instant{before, Now()} {
		if f, err := l.board(now, true); f != nil || err != nil || calls != 1 {
			t.Errorf("board = %v, %v after %d calls, want nothing to do", f, err, calls)
		}
	}
}

// A hit is a use by both clocks, and every use well before the window of clocks
// that did not part is a hit.
func TestHitNeverSaysMoreThanDecide(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Policy{}.withDefaults().plan(zero, time.Duration(rapid.Int64Range(1, int64(48*time.Hour)).Draw(t, "life")), 0)
		if rapid.Bool().Draw(t, "postponed") {
			s = s.postponed(zero.Add(time.Duration(rapid.Int64Range(0, int64(48*time.Hour)).Draw(t, "until"))))
		}
		near := func(name string) time.Duration {
			return time.Duration(rapid.Int64Range(-int64(2*s.life)-1e9, int64(2*s.life)+1e9).Draw(t, name))
		}
		mono := near("mono")
		wall := mono
		if rapid.Bool().Draw(t, "parted") {
			wall = near("wall")
		}
		now, q := at(wall, mono), s.quick()
		hit := q.hit(now.Wall.UnixNano(), int64(now.Mono))
		if hit && s.decide(now) != use {
			t.Fatalf("hit at %s/%s, where decide says %d", wall, mono, s.decide(now))
		}
		if soon := now.Add(s.slack()); !hit && wall == mono && s.decide(soon) == use {
			t.Fatalf("no hit at %s", wall)
		}
	})
}
