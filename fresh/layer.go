package fresh

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/longcase/longcase/token"
)

const (
	maxDepth = 16              // of a chain
	tries    = 4               // renewals that one Get waits for, where each is refused or over at once
	patience = 5 * time.Second // for a renewal while the lease in hand still serves, at most
)

// node is a layer of any type, as its children see it. A child may hold its own
// lock when it calls; a layer never calls a child.
type node interface {
	name() string
	depth() int
	ready(now token.Instant) bool
	nextTry() token.Instant
	look(now token.Instant)
	watch(chan<- struct{})
	unwatch(chan<- struct{})
}

// Layer keeps one lease fresh. Its methods may be called concurrently. A layer
// that nobody asks does nothing, unless Run keeps it warm.
type Layer[T comparable] struct {
	held  atomic.Pointer[held[T]] // nil: none yet, or the last one was refused or is over
	clock clock

	policy  Policy
	wrong   error // why this layer can never work
	level   int
	parents []node
	fetch   func(ctx context.Context, begin func() time.Time) (Credential[T], error) // begin is called when nothing is waited for any more

	mu         sync.Mutex // guards what follows, and every Store to held
	flight     *flight[T] // the renewal under way
	stuck      *flight[T] // its fetch did not return in time and still runs
	last       *held[T]   // the newest lease, although refused or over
	generation uint64     // of the newest lease
	refused    uint64     // the newest generation that was refused
	guard      guard
	failure    failure
	stats      stats

	watchers   []chan<- struct{} // of those who Run
	warm       int               // Runs of this layer
	events     []Event           // not yet told
	delivering bool
}

// failure is how a layer stands after renewals that failed.
type failure struct {
	count int           // in a row, of this layer's own; those of a parent do not count
	err   *Error        // the last one's; nil: none
	retry token.Instant // no attempt before
	by    node          // the parent that failed: no attempt before it is ready
}

// held is the lease in hand.
type held[T comparable] struct {
	quick
	lease Lease[T]
	schedule
	idle bool // a fetch brought nothing newer
}

func hold[T comparable](lease Lease[T], s schedule) *held[T] {
	if !s.endless {
		lease.Expires = s.end.Wall
	}
	return &held[T]{quick: s.quick(), lease: lease, schedule: s}
}

// New returns a layer that stands on no other.
func New[T comparable](fetch Root[T], policy Policy) *Layer[T] {
	return newLayer(nil, func(ctx context.Context, begin func() time.Time) (Credential[T], error) {
		return fetch(ctx, begin())
	}, policy)
}

// From returns a layer whose renewals take a lease of parent.
func From[P, T comparable](parent *Layer[P], fetch Fetch[P, T], policy Policy) *Layer[T] {
	return newLayer([]node{parent}, func(ctx context.Context, begin func() time.Time) (Credential[T], error) {
		from, err := of(ctx, parent)
		if err != nil {
			return Credential[T]{}, err
		}
		return fetch(ctx, from, begin())
	}, policy)
}

// Join returns a layer whose renewals take a lease of each of two parents, such
// as a subject token and an actor token (RFC 8693).
func Join[P, Q, T comparable](first *Layer[P], second *Layer[Q],
	fetch func(ctx context.Context, first Lease[P], second Lease[Q], now time.Time) (Credential[T], error), policy Policy) *Layer[T] {
	return newLayer([]node{first, second}, func(ctx context.Context, begin func() time.Time) (Credential[T], error) {
		one, two, err := pair(ctx, first, second)
		if err != nil {
			return Credential[T]{}, err
		}
		return fetch(ctx, one, two, begin())
	}, policy)
}

// pair is a lease of each of two parents. The one may end while the other is
// waited for.
func pair[P, Q comparable](ctx context.Context, first *Layer[P], second *Layer[Q]) (one Lease[P], two Lease[Q], err error) {
	for range tries {
		if one, err = of(ctx, first); err != nil {
			return one, two, err
		}
		if two, err = of(ctx, second); err != nil {
			return one, two, err
		}
		if h := first.alive(); h != nil && h.lease.Generation == one.Generation {
			return one, two, nil
		}
	}
	return one, two, Fail(Unavailable, "no lease of %s lived until there was one of %s", first.name(), second.name())
}

// of is a lease of a parent, for the length of a renewal.
func of[P comparable](ctx context.Context, parent *Layer[P]) (Lease[P], error) {
	lease, err := parent.Get(ctx)
	if err != nil {
		return lease, met(ctx, parent, err)
	}
	return lease, nil
}

// parental is the failure of a parent, met by a child.
type parental struct {
	by   node
	err  error
	late bool // the parent had not failed, but the child's time was up
}

// met is what a child says of err, which a Get of its parent returned.
func met(ctx context.Context, by node, err error) *parental {
	late := err == ctx.Err() //nolint:errorlint // what the parent says of its own time is no such error
	if late {
		err = &Error{Reason: Unavailable, Detail: "waited too long for " + by.name(), Err: err}
	}
	return &parental{by, err, late}
}

func (p *parental) Error() string { return p.err.Error() }
func (p *parental) Unwrap() error { return p.err }

func newLayer[T comparable](parents []node, fetch func(context.Context, func() time.Time) (Credential[T], error), policy Policy) *Layer[T] {
	l := &Layer[T]{policy: policy.withDefaults(), clock: clock{policy.Now}, parents: parents, fetch: fetch}
	wrong := policy.Check()
	for _, p := range parents {
		l.level = max(l.level, p.depth()+1)
	}
	if l.level >= maxDepth {
		wrong = Fail(Misconfigured, "a chain of more than %d layers", maxDepth)
	}
	if wrong != nil {
		l.wrong = &Error{Layer: l.policy.Name, Reason: Misconfigured, Err: wrong}
	}
	return l
}

func (l *Layer[T]) name() string { return l.policy.Name }
func (l *Layer[T]) depth() int   { return l.level }

// String names the layer.
func (l *Layer[T]) String() string { return "layer " + l.policy.Name }

// Format implements fmt.Formatter: a layer prints its name, whatever the verb.
func (l *Layer[T]) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, l.String()) }

// Get returns a lease that is not over by its last reading of the clock, right
// before it returns: who keeps a lease, or is held up, asks again rather than look
// at Expires. A lease in hand costs one reading; else Get waits for the one renewal under way, or until ctx ends, which
// ends nothing for others. While renewals fail, Get returns the lease in hand
// until its end, and then the last failure at once. The error is an *Error or
// ctx's.
func (l *Layer[T]) Get(ctx context.Context) (Lease[T], error) {
	if h := l.held.Load(); h != nil && h.hit(l.clock.numbers()) {
		return h.lease, nil
	}
	return l.get(ctx)
}

// get is Get where the lease in hand has to be looked at closely.
func (l *Layer[T]) get(ctx context.Context) (Lease[T], error) {
	now := l.clock.now()
	if h := l.inHand(now); h != nil {
		switch h.decide(now) {
		case use:
			return h.lease, nil
		case renewAhead:
			_, _ = l.board(now, false)
			return h.lease, nil
		}
	}
	return l.wait(ctx, now)
}

// inHand is the lease in hand, its schedule drawn again if the clocks parted.
func (l *Layer[T]) inHand(now token.Instant) *held[T] {
	h := l.held.Load()
	if h == nil || !h.drifted(now) {
		return h
	}
	again := hold(h.lease, h.redrawn(now))
	again.idle = h.idle
	if l.held.CompareAndSwap(h, again) {
		return again
	}
	return l.held.Load()
}

// alive is the lease in hand if it is not over.
func (l *Layer[T]) alive() *held[T] {
	now := l.clock.now()
	if h := l.inHand(now); h != nil && h.decide(now) != ended {
		return h
	}
	return nil
}

// wait joins the renewal under way, or begins one, until there is a lease.
func (l *Layer[T]) wait(ctx context.Context, now token.Instant) (Lease[T], error) {
	for range tries {
		f, err := l.board(now, true)
		if f != nil {
			err = f.await(ctx, l.patience(now))
		}
		if h := l.alive(); h != nil {
			return h.lease, nil
		}
		if err != nil {
			return Lease[T]{}, err
		}
		now = l.clock.now()
	}
	return Lease[T]{}, named(l.policy.Name, Fail(Unavailable, "each of %d credentials was refused or over at once", tries))
}

// patience is how long a caller waits for a renewal: zero means as long as it
// takes.
func (l *Layer[T]) patience(now token.Instant) time.Duration {
	h := l.held.Load()
	switch {
	case h == nil || h.decide(now) == ended:
		return 0
	case h.endless:
		return patience
	}
	return min(max(now.Until(h.end)/2, 1), patience)
}
