package fresh

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/longcase/longcase/token"
)

// maxDepth bounds a chain: each level may double the requests of a renewal.
const maxDepth = 16

// node is a layer of any type.
type node interface {
	name() string
	depth() int
	invalidate(generation uint64) bool
}

// Layer keeps one lease fresh. Its methods may be called concurrently. A layer
// that nobody asks does nothing, unless Run keeps it warm.
type Layer[T comparable] struct {
	policy  Policy
	wrong   error // why this layer can never work
	level   int
	parents []node
	fetch   Root[T]

	held atomic.Pointer[held[T]] // nil: none yet, or the last one was refused

	mu         sync.Mutex
	flight     *flight[T] // the renewal under way
	generation uint64
	refused    uint64        // the newest generation that was refused
	failures   int           // in a row
	retry      token.Instant // no attempt before
	lastErr    error
}

// held is the lease in hand.
type held[T comparable] struct {
	lease Lease[T]
	schedule
}

// flight is one renewal; lease and err are set before done is closed.
type flight[T comparable] struct {
	done  chan struct{}
	lease Lease[T]
	err   error
}

// New returns a layer that stands on no other.
func New[T comparable](fetch Root[T], policy Policy) *Layer[T] {
	return newLayer(nil, fetch, policy)
}

// From returns a layer whose renewals take a lease of parent.
func From[P, T comparable](parent *Layer[P], fetch Fetch[P, T], policy Policy) *Layer[T] {
	return newLayer([]node{parent}, func(ctx context.Context, now time.Time) (Credential[T], error) {
		from, err := parent.Get(ctx)
		if err != nil {
			return Credential[T]{}, err
		}
		return fetch(ctx, from, now)
	}, policy)
}

// Join returns a layer whose renewals take a lease of each of two parents, such
// as a subject token and an actor token (RFC 8693).
func Join[P, Q, T comparable](first *Layer[P], second *Layer[Q],
	fetch func(ctx context.Context, first Lease[P], second Lease[Q], now time.Time) (Credential[T], error), policy Policy) *Layer[T] {
	return newLayer([]node{first, second}, func(ctx context.Context, now time.Time) (Credential[T], error) {
		one, err := first.Get(ctx)
		if err != nil {
			return Credential[T]{}, err
		}
		two, err := second.Get(ctx)
		if err != nil {
			return Credential[T]{}, err
		}
		return fetch(ctx, one, two, now)
	}, policy)
}

func newLayer[T comparable](parents []node, fetch Root[T], policy Policy) *Layer[T] {
	l := &Layer[T]{policy: policy.withDefaults(), wrong: policy.Check(), parents: parents, fetch: fetch}
	for _, p := range parents {
		l.level = max(l.level, p.depth()+1)
	}
	if l.level >= maxDepth {
		l.wrong = Fail(Misconfigured, "a chain of more than %d layers", maxDepth)
	}
	return l
}

func (l *Layer[T]) name() string { return l.policy.Name }
func (l *Layer[T]) depth() int   { return l.level }

// Get returns a lease that is not over. A lease in hand costs one reading of the
// clock; else Get waits for the one renewal under way, or until ctx ends, which
// ends nothing for others. The error is an *Error or ctx's.
func (l *Layer[T]) Get(ctx context.Context) (Lease[T], error) {
	now := l.policy.Now()
	h := l.held.Load()
	if h != nil {
		switch h.decide(now) {
		case use:
			return h.lease, nil
		case renewAhead:
			l.board(now, true)
			return h.lease, nil
		}
	}
	return l.wait(ctx, now)
}

// wait joins the renewal under way, or begins one, and waits.
func (l *Layer[T]) wait(ctx context.Context, now token.Instant) (Lease[T], error) {
	f, err := l.board(now, false)
	if err != nil {
		return l.stillGood(err)
	}
	select {
	case <-f.done:
		if f.err != nil {
			return l.stillGood(f.err)
		}
		return f.lease, nil
	case <-ctx.Done():
		return l.stillGood(ctx.Err())
	}
}

// stillGood is the lease in hand, if it is not over, where a renewal failed.
func (l *Layer[T]) stillGood(err error) (Lease[T], error) {
	if h := l.held.Load(); h != nil && h.decide(l.policy.Now()) != ended {
		return h.lease, nil
	}
	return Lease[T]{}, err
}

// board returns the renewal under way, or begins one. During a backoff it
// returns the last failure.
func (l *Layer[T]) board(now token.Instant, ahead bool) (*flight[T], error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wrong != nil {
		return nil, &Error{Layer: l.policy.Name, Reason: Misconfigured, Err: l.wrong}
	}
	if l.flight != nil {
		return l.flight, nil
	}
	if l.failures > 0 && !now.Reached(l.retry) {
		return nil, l.lastErr
	}
	l.flight = &flight[T]{done: make(chan struct{})}
	go l.fly(l.flight, ahead)
	return l.flight, nil
}

// Invalidate says that lease was refused although it is not over. The next Get
// renews it. It reports whether another lease can be had: false for one that
// this layer did not make, and while too many have been refused in a row.
func (l *Layer[T]) Invalidate(lease Lease[T]) bool {
	if lease.of != node(l) {
		return false
	}
	return l.invalidate(lease.Generation)
}

func (l *Layer[T]) invalidate(generation uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if generation < l.generation || l.refused == generation {
		return true // replaced, or about to be
	}
	l.refused = generation
	l.held.Store(nil)
	l.observe(Event{Kind: RefusedLease})
	return true
}

// fly makes one renewal.
func (l *Layer[T]) fly(f *flight[T], ahead bool) {
	ctx, cancel := context.WithTimeout(context.Background(), l.policy.Timeout)
	defer cancel()
	sent := l.policy.Now()
	c, err := l.attempt(ctx, sent)
	if b := blamed(err); b != nil && b.node.invalidate(b.generation) {
		sent = l.policy.Now()
		c, err = l.attempt(ctx, sent)
	}
	l.land(f, c, err, sent, ahead)
}

// attempt fetches once. A panic of the provider is an error of this layer.
func (l *Layer[T]) attempt(ctx context.Context, sent token.Instant) (c Credential[T], err error) {
	defer func() {
		if p := recover(); p != nil {
			err = Fail(Panicked, "the provider panicked: %v", p)
		}
	}()
	return l.fetch(ctx, sent.Wall)
}

// land records the outcome of a renewal and lets the waiting go.
func (l *Layer[T]) land(f *flight[T], c Credential[T], err error, sent token.Instant, ahead bool) {
	received := l.policy.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	defer close(f.done)
	l.flight = nil
	if err == nil {
		f.lease, err = l.take(c, sent, received, ahead)
	}
	if err == nil {
		l.failures, l.lastErr = 0, nil
		return
	}
	l.failures++
	wait := min(l.policy.Backoff<<min(l.failures-1, 16), l.policy.MaxWait)
	l.retry = received.Add(wait)
	f.err = l.explain(err)
	l.lastErr = f.err
	l.observe(Event{Kind: Failed, Err: f.err, Wait: wait})
}

func (l *Layer[T]) explain(err error) error {
	var e *Error
	if errors.As(err, &e) && e.Layer == "" {
		named := *e
		named.Layer = l.policy.Name
		return &named
	}
	return &Error{Layer: l.policy.Name, Reason: reasonOf(err), Err: err}
}

// take makes a lease of what was got.
func (l *Layer[T]) take(c Credential[T], sent, received token.Instant, ahead bool) (Lease[T], error) {
	life, ends := lifeOf(c, sent, received)
	s := l.policy.plan(sent, life, l.policy.Rand())
	if c.Recheck > 0 {
		s.endless = !ends
		if next := sent.Add(c.Recheck); !ends || !next.Reached(s.ahead) {
			s.ahead = next
		}
	} else if !ends {
		return Lease[T]{}, Fail(Malformed, "the service did not say when the credential ends")
	}
	if ends && received.Reached(s.end) {
		return Lease[T]{}, Fail(Ended, "the credential ended %s ago", -received.Until(s.end))
	}
	l.generation++
	lease := Lease[T]{Value: c.Value, NotBefore: c.NotBefore, Generation: l.generation, end: s.end, of: l}
	if ends {
		lease.Expires = s.end.Wall
	}
	l.held.Store(&held[T]{lease, s})
	kind := RenewedLate
	if ahead {
		kind = RenewedAhead
	}
	l.observe(Event{Kind: kind, Generation: lease.Generation, Expires: lease.Expires, Took: received.Mono - sent.Mono})
	return lease, nil
}

func (l *Layer[T]) observe(e Event) {
	if l.policy.Observe != nil {
		e.Layer = l.policy.Name
		l.policy.Observe(e)
	}
}

// String names the layer.
func (l *Layer[T]) String() string { return fmt.Sprintf("layer %s", l.policy.Name) }
