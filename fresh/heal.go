package fresh

import (
	"context"
	"time"

	"github.com/longcase/longcase/token"
)

// blame is an error with the way to another lease than the one that caused it.
type blame struct {
	err        error
	of         node
	invalidate func() bool
	replace    func(context.Context) (bool, error)
}

func (b *blame) Error() string { return b.err.Error() }
func (b *blame) Unwrap() error { return b.err }

// Blame says that err happened because of lease: its layer is to be renewed, and
// what failed may then be repeated. The lease is one that a fetch was given, or
// one of any other layer that it used.
//
// The runtime renews the layer to blame once, and repeats the fetch once if that
// brought another value. What the repetition blames is invalidated, and renewed
// by the next attempt.
func Blame[P comparable](lease Lease[P], err error) error {
	if lease.of == nil || err == nil {
		return err
	}
	return &blame{
		err:        err,
		of:         lease.of,
		invalidate: func() bool { return lease.of.Invalidate(lease) },
		replace:    func(ctx context.Context) (bool, error) { return lease.of.replace(ctx, lease) },
	}
}

// blamed is the blame in err, but not in what another layer said: that has met
// its blame itself.
func blamed(err error) *blame {
	switch e := err.(type) { //nolint:errorlint // the chain is walked here
	case *blame:
		return e
	case *Error:
		if e.Layer != "" {
			return nil
		}
	case interface{ Unwrap() error }:
		return blamed(e.Unwrap())
	}
	if e, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // the chain is walked here
		for _, err := range e.Unwrap() {
			if b := blamed(err); b != nil {
				return b
			}
		}
	}
	return nil
}

// replace gets another lease than the one that is to blame, and reports whether
// that has another value.
func (l *Layer[T]) replace(ctx context.Context, to Lease[T]) (bool, error) {
	if !l.Invalidate(to) {
		return false, nil
	}
	now, err := l.Get(ctx)
	return err == nil && now.Value != to.Value, err
}

// Invalidate says that lease was refused although it is not over. No later Get
// returns it; the next one renews. Invalidate reports whether another lease can
// be had: true also for one that was replaced already, however many say so;
// false for one that this layer did not make, and while the leases that replace
// refused ones are refused in their turn: then a renewal is granted at once,
// after 1 s, 2 s, 4 s and so on to a minute (less for short lives), until a
// lease has gone unrefused for ten times the last pause. Meanwhile the lease in
// hand stays. An issuer that has nothing else gives the refused value again, as
// another lease: who repeats what was refused compares the values.
func (l *Layer[T]) Invalidate(lease Lease[T]) bool {
	if lease.of != l || lease.Generation == 0 {
		return false
	}
	now := l.clock.now()
	l.mu.Lock()
	defer l.unlock()
	h := l.held.Load()
	switch {
	case h == nil || h.lease.Generation != lease.Generation:
		return true // replaced, or about to be
	case h.decide(now) == ended:
		return true // and nobody needed to say so
	case !l.guard.allow(now, h.life):
		return false
	}
	l.held.Store(nil)
	l.refused = lease.Generation
	for _, f := range []*flight[T]{l.flight, l.stuck} {
		if f != nil {
			f.suspect = true
		}
	}
	l.stats.refusals++
	l.record(Event{Kind: RefusedLease})
	l.wake()
	return true
}

// guard spaces the renewals that refusals cause.
type guard struct {
	pause time.Duration // from the last one granted to the next
	next  token.Instant // none is granted before
	calm  token.Instant // unrefused until then, the pauses begin anew
}

// allow reports whether the refusal at now of a lease with such a life is
// granted a renewal.
func (g *guard) allow(now token.Instant, life time.Duration) bool {
	if g.pause > 0 && now.Reached(g.calm) {
		g.pause = 0
	}
	granted := g.pause == 0 || now.Reached(g.next)
	if granted {
		unit := min(time.Second, max(life/10, shortest))
		g.pause = min(max(2*g.pause, unit), min(time.Minute, max(life/2, unit)))
		g.next = now.Add(g.pause)
	}
	g.calm = now.Add(10 * g.pause)
	return granted
}
