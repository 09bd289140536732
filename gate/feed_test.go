package gate

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/longcase/longcase/internal/gatetest"
	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify"
	"github.com/longcase/longcase/verify/early"
)

// liveConfig is a gate by the clock of the bubble, fed by feed.
func liveConfig(key token.Signer, feed Feed) Config {
	cfg := config(key)
	cfg.Now, cfg.Revocations = time.Now, feed
	return cfg
}

// inBubble runs g in the bubble of t, and stop ends it there.
func inBubble(t *testing.T, g *Gate) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- g.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	}
}

func reasonAt(g *Gate, raw string) string {
	h := g.Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	return do(h, get("/x", raw)).Header.Get("X-Token-Reason")
}

func TestASilentFeedIsStale(t *testing.T) {
	key := newSigner(t, "k1")
	for _, when := range []WhenStale{RefuseStale, AcceptStale} {
		synctest.Test(t, func(t *testing.T) {
			var speak atomic.Bool
			speak.Store(true)
			feed := func(ctx context.Context, apply func(Event), live func()) error {
				apply(Event{Kind: early.Token, Value: "gone", End: time.Now().Add(time.Hour)})
				for sleep(ctx, 2*time.Second) {
					if speak.Load() {
						live()
					}
				}
				return ctx.Err()
			}
			cfg := liveConfig(key, feed)
			cfg.WhenStale = when
			g := mustNew(t, cfg)
			defer inBubble(t, g)()
			stale := string(token.RevocationsStale)
			if when == AcceptStale {
				stale = ""
			}
			want := func(what, reason string) {
				t.Helper()
				synctest.Wait()
				raw := sign(t, key, gatetest.Good(time.Now()))
				if got := reasonAt(g, raw); got != reason {
					t.Errorf("%s, %s: reason %q, want %q", when, what, got, reason)
				}
			}
			want("before anything was heard", stale)
			if g.Ready() == nil {
				t.Error("ready before the feed is loaded")
			}
			time.Sleep(2 * time.Second)
			want("loaded", "")
			if err := g.Ready(); err != nil {
				t.Errorf("Ready = %v", err)
			}
			time.Sleep(time.Minute)
			want("after a minute of heartbeats", "")
			speak.Store(false)
			time.Sleep(10 * time.Second)
			want("after 10 s of silence", "")
			time.Sleep(time.Second)
			want("after 11 s of silence", stale)
			if when == AcceptStale {
				if got := reasonAt(g, sign(t, key, gatetest.Good(time.Now()).With(claims{"jti": "gone"}))); got != string(token.Revoked) {
					t.Errorf("what is known still counts: %q", got)
				}
			}
			if ready := g.Ready() == nil; ready != (when == AcceptStale) {
				t.Errorf("ready with a stale feed: %t", ready)
			}
			speak.Store(true)
			time.Sleep(2 * time.Second)
			want("heard again", "")
		})
	}
}

func TestAFeedThatStaysAwayIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var away atomic.Bool
		feed := func(ctx context.Context, _ func(Event), live func()) error {
			if away.Load() {
				return errors.New("connection refused")
			}
			for live(); !away.Load(); live() {
				if !sleep(ctx, time.Second) {
					return ctx.Err()
				}
			}
			return errors.New("reset")
		}
		cfg := liveConfig(newSigner(t, "k1"), feed)
		var log bytes.Buffer // read when nothing runs
		cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
		defer inBubble(t, mustNew(t, cfg))()
		for range 2 {
			time.Sleep(time.Minute)
			away.Store(true)
			time.Sleep(time.Hour)
			away.Store(false)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		broke, whole := strings.Count(log.String(), "early ends broke"), strings.Count(log.String(), "whole again")
		if broke != 2 || whole != 2 {
			t.Errorf("two outages are told %d times, their ends %d times:\n%.2000s", broke, whole, &log)
		}
	})
}

// A feed that was opened again is not fresh until it has caught up: what it
// repeats first may be old.
func TestEventsDoNotProveFreshness(t *testing.T) {
	key := newSigner(t, "k1")
	synctest.Test(t, func(t *testing.T) {
		opened := 0
		feed := func(ctx context.Context, apply func(Event), live func()) error {
			opened++
			if opened == 1 {
				live()
				return errors.New("broken")
			}
			for sleep(ctx, time.Second) {
				apply(Event{Kind: early.Token, Value: "t9", End: time.Now().Add(time.Hour)})
			}
			return ctx.Err()
		}
		g := mustNew(t, liveConfig(key, feed))
		defer inBubble(t, g)()
		time.Sleep(15 * time.Second)
		if got := reasonAt(g, sign(t, key, gatetest.Good(time.Now()))); got != string(token.RevocationsStale) {
			t.Errorf("reason %q while the past is still being told", got)
		}
	})
}

func TestABrokenFeedIsOpenedAgainSoon(t *testing.T) {
	key := newSigner(t, "k1")
	synctest.Test(t, func(t *testing.T) {
		var opened []time.Time
		broken := 0
		feed := func(context.Context, func(Event), func()) error {
			opened = append(opened, time.Now())
			return errors.New("connection refused")
		}
		cfg := liveConfig(key, feed)
		cfg.Hooks.FeedBroken = func(error) { broken++ }
		g := mustNew(t, cfg)
		stop := inBubble(t, g)
		time.Sleep(time.Minute)
		stop()
		if n := len(opened); n < 15 || n > 60 || broken < n-1 {
			t.Errorf("opened %d times in a minute, %d told", n, broken)
		}
		for i := 1; i < len(opened); i++ {
			if gap := opened[i].Sub(opened[i-1]); gap > 5*time.Second || gap < leastWait/2 {
				t.Errorf("gap %d is %s", i, gap)
			}
		}
	})
}

func TestAFullIndexIsStaleUntilThereIsRoom(t *testing.T) {
	key := newSigner(t, "k1")
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		past := []Event{
			{Kind: early.Token, Value: "a", End: begun.Add(90 * time.Second)},
			{Kind: early.Token, Value: "b", End: begun.Add(time.Hour)},
			{Kind: early.Token, Value: "c", End: begun.Add(time.Hour)},
		}
		cfg := liveConfig(key, func(ctx context.Context, apply func(Event), live func()) error {
			for _, e := range past {
				if time.Now().Before(e.End.Add(time.Minute)) { // then it is retired
					apply(e)
				}
			}
			for live(); sleep(ctx, 2*time.Second); live() { // after the gate gave up it must not count
			}
			return ctx.Err()
		})
		cfg.MaxRevocations, cfg.Issuers[0].MaxLifetime = 2, 5*time.Minute
		g := mustNew(t, cfg)
		defer inBubble(t, g)()
		time.Sleep(time.Minute)
		if got := reasonAt(g, sign(t, key, gatetest.Good(time.Now()))); got != string(token.RevocationsStale) {
			t.Errorf("full: reason %q", got)
		}
		time.Sleep(7 * time.Minute)
		for jti, want := range map[string]string{"b": "revoked", "c": "revoked", "d": ""} {
			if got := reasonAt(g, sign(t, key, gatetest.Good(time.Now()).With(claims{"jti": jti}))); got != want {
				t.Errorf("%s: reason %q, want %q", jti, got, want)
			}
		}
	})
}

func TestWhatCannotBeEnforcedIsNotPassedOver(t *testing.T) {
	key := newSigner(t, "k1")
	for name, e := range map[string]Event{
		"an unknown kind":         {Kind: "tenant", Value: "x", End: at(900)},
		"no value":                {Kind: early.Token, End: at(900)},
		"no end":                  {Kind: early.Token, Value: "x"},
		"a client without before": {Kind: early.Client, Value: "x", End: at(900)},
		"a huge value":            {Kind: early.Token, Value: strings.Repeat("x", 5000), End: at(900)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := mustNew(t, liveConfig(key, still(e)))
				defer inBubble(t, g)()
				time.Sleep(5 * time.Second)
				if err := g.Ready(); err == nil || !strings.Contains(err.Error(), "gate: feed: early end") {
					t.Errorf("Ready = %v, want what broke the feed", err)
				}
			})
		})
	}
}

// A feed speaks for its own issuer only: another one may have a key, a client
// or a subject of the same name.
func TestAFeedEndsOnlyItsIssuersTokens(t *testing.T) {
	a, b := newSigner(t, "k1"), newSigner(t, "k1")
	const issuerB = "https://b.test"
	cfg := config(a)
	cfg.Issuers = append(cfg.Issuers, verify.Issuer{URL: issuerB, Audience: orders, Keys: verify.Fixed{b.Key()}})
	cfg.Revocations, cfg.RevocationsFrom = still(Event{Kind: early.Key, Value: "k1", End: at(900)}), issuerA
	g := mustNew(t, cfg)
	run(t, g)
	eventually(t, "the feed is loaded", func() bool { return g.Ready() == nil })
	if got := reasonAt(g, sign(t, a, good())); got != string(token.KeyRevoked) {
		t.Errorf("A's token: reason %q", got)
	}
	if got := reasonAt(g, sign(t, b, good().With(claims{"iss": issuerB}))); got != "" {
		t.Errorf("B's token: reason %q", got)
	}
}

// The clock of a gate is a day ahead for three minutes; what came meanwhile
// looks long over, and the tokens it ends are accepted again afterwards.
func TestAClockThatIsWrongForAWhileHidesNoEarlyEnd(t *testing.T) {
	key := newSigner(t, "k1")
	synctest.Test(t, func(t *testing.T) {
		var ahead atomic.Int64
		cfg := liveConfig(key, func(ctx context.Context, apply func(Event), live func()) error {
			live()
			sleep(ctx, time.Second)
			apply(Event{Kind: early.Token, Value: "gone", End: time.Now().Add(15 * time.Minute)})
			for live(); sleep(ctx, 2*time.Second); live() {
			}
			return ctx.Err()
		})
		cfg.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		g := mustNew(t, cfg)
		defer inBubble(t, g)()
		synctest.Wait()
		ahead.Store(int64(24 * time.Hour))
		time.Sleep(3 * time.Minute)
		ahead.Store(0)
		time.Sleep(3 * time.Second)
		for jti, want := range map[string]string{"gone": "revoked", "other": ""} {
			if got := reasonAt(g, sign(t, key, gatetest.Good(time.Now()).With(claims{"jti": jti}))); got != want {
				t.Errorf("%s: reason %q, want %q", jti, got, want)
			}
		}
	})
}
