package gate

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/time/rate"
	"pgregory.net/rapid"

	"github.com/longcase/longcase/internal/gatetest"
	"github.com/longcase/longcase/verify"
)

func TestABucketFillsAtItsRate(t *testing.T) {
	tests := []struct {
		rate  float64
		burst int
		waits time.Duration // after the burst
	}{
		{10, 10, 100 * time.Millisecond},
		{1, 1, time.Second},
		{0.1, 1, 10 * time.Second},
		{2.5, 3, 400 * time.Millisecond},
	}
	for _, tt := range tests {
		l := newLimiter(tt.rate, 10)
		for i := range tt.burst {
			if wait := l.take(7, start); wait != 0 {
				t.Errorf("%g/s: request %d of the burst waits %s", tt.rate, i, wait)
			}
		}
		wait := l.take(7, start)
		if d := (wait - tt.waits).Abs(); d > time.Millisecond {
			t.Errorf("%g/s: wait %s, want %s", tt.rate, wait, tt.waits)
		}
		if early := l.take(7, start.Add(tt.waits/2)); early == 0 {
			t.Errorf("%g/s: a request after half the wait passes", tt.rate)
		}
		if after := l.take(7, start.Add(tt.waits+time.Millisecond)); after != 0 {
			t.Errorf("%g/s: after the wait there are %s more", tt.rate, after)
		}
		if other := l.take(8, start); other != 0 {
			t.Errorf("%g/s: another key waits", tt.rate)
		}
	}
	for _, none := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		if newLimiter(none, 1) != nil {
			t.Errorf("%g is a rate", none)
		}
	}
}

// Keys beyond the bound buy nobody more: neither the ones that are known nor the
// ones for whom there is no room.
func TestManyKeysAreNoWayAroundABound(t *testing.T) {
	const most = 50
	l := newLimiter(2, most)
	passed := map[uint64]int{}
	total := 0
	for i := range 200_000 {
		now := start.Add(time.Duration(i) * time.Microsecond) // a fifth of a second in all
		key := uint64(i % 100_000)
		if i%10 == 0 {
			key = 3
		}
		if l.take(key, now) == 0 {
			passed[key]++
			total++
		}
		if kept := len(l.young) + len(l.old); kept > most {
			t.Fatalf("%d buckets", kept)
		}
	}
	if passed[3] != 2 {
		t.Errorf("the one that asked most got %d, want 2", passed[3])
	}
	if atMost := 2*most + 3*stripes; total > atMost {
		t.Errorf("all together got %d; %d is the most", total, atMost)
	}
}

// What is forgotten was full: with any pauses, a limiter that forgets passes what
// one that never does passes.
func TestAForgottenBucketWasFull(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, never := newLimiter(2, 1000), rate.NewLimiter(2, 2)
		now := start
		for range 60 {
			now = now.Add(time.Duration(rapid.IntRange(0, 1500).Draw(t, "pause")) * time.Millisecond)
			if rapid.Bool().Draw(t, "somebody else") {
				l.take(2, now)
				continue
			}
			if got, want := l.take(1, now) == 0, never.AllowN(now, 1); got != want {
				t.Fatalf("at %s: passes %v, want %v", now.Sub(start), got, want)
			}
		}
	})
}

// A clock that is set back neither forgives nor locks anybody out until it has
// caught up.
func TestAClockSetBackStartsNothingAnew(t *testing.T) {
	l := newLimiter(1, 10)
	l.take(1, start)
	back := start.Add(-time.Hour)
	if l.take(1, back) == 0 {
		t.Error("a request passes because the clock was set back")
	}
	if l.take(1, back.Add(2*time.Second)) != 0 {
		t.Error("a request does not pass after two seconds of the new time")
	}
	passed, back := 0, back.Add(-time.Hour)
	for i := range 100 { // without a pause in which a bucket could be forgotten
		if l.take(1, back.Add(time.Duration(i)*100*time.Millisecond)) == 0 {
			passed++
		}
	}
	if passed < 9 || passed > 10 {
		t.Errorf("%d pass in ten seconds at 1/s", passed)
	}
}

// limited is the number of GETs of 10 that pass, and Retry-After of the last.
func limited(t *testing.T, g *Gate, r func(i int) *http.Request) (passed int, after string) {
	t.Helper()
	for i := range 10 {
		resp := do(g.Handler(), r(i))
		switch resp.StatusCode {
		case 200:
			passed++
		case 429:
			after = resp.Header.Get("Retry-After")
		default:
			t.Fatalf("status %d", resp.StatusCode)
		}
	}
	return passed, after
}

func TestAddressesAreBounded(t *testing.T) {
	key := newSigner(t, "k1")
	raw := sign(t, key, good())
	trusted := "10.1.1.1:1"
	tests := []struct {
		name   string
		peer   func(i int) string
		from   func(i int) string // X-Forwarded-For
		passed int
	}{
		{"one address", func(int) string { return "192.0.2.1:5" }, nil, 3},
		{"one address, other ports", func(i int) string { return fmt.Sprintf("192.0.2.1:%d", 1000+i) }, nil, 3},
		{"other addresses", func(i int) string { return fmt.Sprintf("192.0.2.%d:5", i) }, nil, 10},
		{"one /64", func(i int) string { return fmt.Sprintf("[2001:db8::%d]:5", i+1) }, nil, 3},
		{"other /64", func(i int) string { return fmt.Sprintf("[2001:db8:0:%d::1]:5", i+1) }, nil, 10},
		{"IPv4 in IPv6", func(i int) string { return []string{"192.0.2.1:5", "[::ffff:192.0.2.1]:5"}[i%2] }, nil, 3},
		{"a stranger's tales", func(int) string { return "192.0.2.1:5" }, func(i int) string { return fmt.Sprintf("198.51.100.%d", i) }, 3},
		{"clients of a proxy", func(int) string { return trusted }, func(i int) string { return fmt.Sprintf("198.51.100.%d", i) }, 10},
		{"a client's tales to a proxy", func(int) string { return trusted }, func(i int) string { return fmt.Sprintf("198.51.100.%d, 203.0.113.1", i) }, 3},
		{"a proxy that says nothing", func(int) string { return trusted }, nil, 3},
		{"no address", func(i int) string { return strings.Repeat("@", i) }, nil, 3},
	}
	for _, tt := range tests {
		cfg := config(key)
		cfg.Rates.Address = 3
		cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		passed, after := limited(t, mustNew(t, cfg), func(i int) *http.Request {
			r := get(verifyPath, raw)
			r.RemoteAddr = tt.peer(i)
			if tt.from != nil {
				r.Header.Set("X-Forwarded-For", tt.from(i))
			}
			return r
		})
		if passed != tt.passed || (passed < 10) != (after == "1") {
			t.Errorf("%s: %d of 10 pass, want %d; Retry-After %q", tt.name, passed, tt.passed, after)
		}
	}
}

func TestClientsAreBoundedOncePerIssuer(t *testing.T) {
	key := newSigner(t, "k1")
	const issuerB = "https://b.test"
	tests := []struct {
		name   string
		claims func(i int) claims
		passed int
	}{
		{"one client", func(i int) claims { return claims{"sub": strconv.Itoa(i), "jti": strconv.Itoa(i)} }, 2},
		{"other clients", func(i int) claims { return claims{"client_id": strconv.Itoa(i)} }, 10},
		{"one name at two issuers", func(i int) claims { return claims{"iss": []string{issuerA, issuerB}[i%2]} }, 4},
		{"tokens that are refused", func(int) claims { return claims{"aud": mail} }, 0},
	}
	for _, tt := range tests {
		cfg := config(key)
		cfg.Issuers = append(cfg.Issuers, verify.Issuer{URL: issuerB, Audience: orders, Keys: verify.Fixed{key.Key()}})
		cfg.Rates.Client = 2
		g := mustNew(t, cfg)
		passed, reasons := 0, map[string]int{}
		for i := range 10 {
			a := g.Judge(context.Background(), Request{Edge: EdgeGRPC, Method: "POST", Target: "/x", Header: http.Header{"Authorization": {"Bearer " + sign(t, key, good().With(tt.claims(i)))}}})
			if a.Allowed {
				passed++
			}
			reasons[a.Reason]++
		}
		if passed != tt.passed || tt.passed > 0 && reasons["rate_limited"] != 10-passed {
			t.Errorf("%s: %d of 10 pass, want %d: %v", tt.name, passed, tt.passed, reasons)
		}
		if other := g.Judge(context.Background(), Request{Edge: EdgeGRPC, Header: http.Header{"Authorization": {"Bearer " + sign(t, key, good().With(claims{"client_id": "someone else"}))}}}); !other.Allowed {
			t.Errorf("%s: somebody else is held up: %s", tt.name, other.Reason)
		}
	}
}

func TestRetryAfterIsInWholeSeconds(t *testing.T) {
	key := newSigner(t, "k1")
	cfg := config(key)
	cfg.Rates.Address = 0.3 // one in 3.3 s
	g := mustNew(t, cfg)
	do(g.Handler(), get(verifyPath, ""))
	resp := do(g.Handler(), get(verifyPath, sign(t, key, good())))
	if resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "4" || resp.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("%d, headers %v", resp.StatusCode, resp.Header)
	}
}

// A token that is good for one request is not used up by a refusal.
func TestATokenOverItsClientsRateIsNotUsedUp(t *testing.T) {
	key := newSigner(t, "k1")
	now := start
	cfg := config(key)
	cfg.Now = func() time.Time { return now }
	cfg.Rates.Client = 1
	cfg.Routes = []Route{{Path: "/", Once: true}}
	g := mustNew(t, cfg)
	ask := func(jti string) string {
		raw := sign(t, key, good().With(claims{"jti": jti}))
		return g.Judge(context.Background(), Request{Edge: EdgeGRPC, Target: "/x", Header: http.Header{"Authorization": {"Bearer " + raw}}}).Reason
	}
	for i, step := range []struct {
		at     int
		jti    string
		reason string
	}{
		{0, "a", ""}, {0, "b", "rate_limited"}, {0, "b", "rate_limited"}, {1, "b", ""}, {2, "b", "replayed"}, {3, "a", "replayed"}, {4, "c", ""},
	} {
		now = at(step.at)
		if got := ask(step.jti); got != step.reason {
			t.Errorf("step %d: %q, want %q", i, got, step.reason)
		}
	}
}

// Whoever repeats what a client sent, without a key or a token of its own, takes
// nothing of the client's share.
func TestAReplayTakesNothingOfAClientsShare(t *testing.T) {
	key, p := newSigner(t, "k1"), gatetest.NewProver(t)
	for _, tt := range []struct {
		name string
		sent func(jti string) Request
	}{
		{"a token", func(jti string) Request {
			return presenting("Bearer", sign(t, key, good().With(claims{"jti": jti})), "/once/1")
		}},
		{"a proof", func(string) Request {
			raw := p.Token(t, key)
			return presenting("DPoP", raw, "/any/1", p.Proof(t, "GET", called+"/any/1", raw, "", nil))
		}},
	} {
		g := bindingGate(t, key, func(c *Config) { c.Rates.Client = 3 })
		recorded := tt.sent("a")
		var got []string
		for _, r := range []Request{recorded, recorded, recorded, recorded, recorded, recorded, tt.sent("b"), tt.sent("c"), tt.sent("d")} {
			got = append(got, g.Judge(context.Background(), r).Reason)
		}
		if want := "[ replayed replayed replayed replayed replayed   rate_limited]"; fmt.Sprint(got) != want {
			t.Errorf("%s: %s, want %s", tt.name, got, want)
		}
	}
}

// A judgement that waited for keys or for an answer comes with an instant that is
// over: to go back to it would fill the bucket for the same time twice.
func TestNoTimeFillsABucketTwice(t *testing.T) {
	l := newLimiter(100, 10)
	passed := 0
	for i := range 10_000 { // within a second, each second one 90 ms late
		now := start.Add(time.Duration(i) * 100 * time.Microsecond)
		if i%2 == 1 {
			now = now.Add(-90 * time.Millisecond)
		}
		if l.take(7, now) == 0 {
			passed++
		}
	}
	if passed < 199 || passed > 201 {
		t.Errorf("%d pass in the first second at 100/s, want the burst and 100 more", passed)
	}
}
