package gate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/longcase/longcase/verify/early"
)

// Feed tells of early ends until ctx ends or it breaks. It calls apply for each
// one, those of the past first, and live whenever nothing is missing: after the
// past, and then at least every few seconds. Each call begins anew or where the
// last one stopped; it may repeat, never skip. An Event during whose apply ctx
// ended was not taken. Both funcs must be called from one goroutine, before
// the Feed returns.
type Feed func(ctx context.Context, apply func(Event), live func()) error

const (
	leastWait = 100 * time.Millisecond // before the feed is opened again
	mostWait  = 3 * time.Second
)

// followFeed keeps the feed open until ctx ends.
func (g *Gate) followFeed(ctx context.Context) {
	wait := leastWait
	var out outage
	for ctx.Err() == nil {
		caughtUp, err := g.readFeed(ctx, &out)
		if ctx.Err() != nil {
			return
		}
		if caughtUp {
			wait = leastWait
		}
		g.feedBroke(err, &out)
		if !sleep(ctx, wait/2+rand.N(wait/2)) {
			return
		}
		wait = min(2*wait, mostWait)
	}
}

// outage is how long the feed has not been whole, told once when it begins and
// once when it is over.
type outage struct{ since time.Time } // zero: there is none

func (g *Gate) feedBroke(err error, out *outage) {
	if err == nil {
		err = errors.New("gate: feed: ended by the other side")
	}
	g.index.breaks(err)
	if out.since.IsZero() {
		out.since = g.cfg.Now()
		g.cfg.Log.Warn("the feed of early ends broke; opening it again until it is whole", "issuer", g.cfg.RevocationsFrom, "err", err)
	}
	if g.cfg.Hooks.FeedBroken != nil {
		g.cfg.Hooks.FeedBroken(err)
	}
}

func (g *Gate) feedIsWhole(out *outage) {
	if !out.since.IsZero() {
		g.cfg.Log.Info("the feed of early ends is whole again", "issuer", g.cfg.RevocationsFrom, "after", g.cfg.Now().Sub(out.since).Round(time.Millisecond))
		*out = outage{}
	}
}

// readFeed runs the feed once and reports whether it ever caught up. Only then
// does an event prove that nothing is missing.
func (g *Gate) readFeed(ctx context.Context, out *outage) (caughtUp bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	apply := func(e Event) {
		if err := g.take(e); err != nil {
			cancel(err)
		} else if caughtUp {
			g.index.hear(g.cfg.Now())
		}
	}
	live := func() {
		if ctx.Err() == nil {
			caughtUp = true
			g.feedIsWhole(out)
			g.index.hear(g.cfg.Now())
		}
	}
	err = g.cfg.Revocations(ctx, apply, live)
	if cause := context.Cause(ctx); cause != nil {
		return caughtUp, cause
	}
	return caughtUp, err
}

var errFull = errors.New("gate: feed: more early ends than this gate may keep; raise MaxRevocations")

// take keeps one event. The news that a key was withdrawn sends for the
// issuer's keys at once.
func (g *Gate) take(e Event) error {
	if err := e.Check(); err != nil {
		return fmt.Errorf("gate: feed: %w", err)
	}
	news, room := g.index.Add(e, g.verifier.LongestLife(g.cfg.RevocationsFrom), g.cfg.Now())
	if !room {
		return errFull
	}
	if news && e.Kind == early.Key {
		g.refreshKeys()
	}
	return nil
}

func (g *Gate) refreshKeys() {
	for _, is := range g.cfg.Issuers {
		if k, ok := is.Keys.(interface{ Refresh() }); ok && is.URL == g.cfg.RevocationsFrom {
			k.Refresh()
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
