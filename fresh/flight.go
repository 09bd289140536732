package fresh

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/longcase/longcase/token"
)

// flight is one renewal. Err is set before done is closed; the rest is guarded
// by the layer's lock.
type flight[T comparable] struct {
	done    chan struct{}
	err     error
	waited  bool // someone waits for it
	landed  bool // those who waited were let go
	suspect bool // a lease was refused while it was under way
}

// await waits for the end of the renewal, or of ctx, or until patience ends.
func (f *flight[T]) await(ctx context.Context, patience time.Duration) error {
	var enough <-chan time.Time
	if patience > 0 {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		enough = timer.C
	}
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	case <-enough:
		return nil
	}
}

// outcome is what a fetch brought.
type outcome[T comparable] struct {
	credential Credential[T]
	err        error
	sent       token.Instant
}

// board returns the renewal under way, or begins one. It returns neither a
// flight nor an error where another caller was faster, and the last failure
// while no attempt is to be made.
func (l *Layer[T]) board(now token.Instant, waits bool) (*flight[T], error) {
	l.mu.Lock()
	defer l.unlock()
	l.lapse(now)
	h := l.held.Load()
	switch {
	case l.wrong != nil:
		return nil, l.wrong
	case h != nil && h.decide(now) == use:
		return nil, nil
	case l.flight == nil && !l.mayTry(now):
		if h != nil {
			l.postpone(h, now.Add(h.pace()), now)
		}
		return nil, l.failed(now)
	case l.flight == nil:
		l.flight = &flight[T]{done: make(chan struct{})}
		if h != nil {
			l.postpone(h, last(h.ahead, h.must), now)
		}
		go l.fly(l.flight)
	}
	l.flight.waited = l.flight.waited || waits
	return l.flight, nil
}

// mayTry reports whether an attempt may be made: none while one is stuck, and
// after a failure none before its time, or before the parent that failed is
// ready.
func (l *Layer[T]) mayTry(now token.Instant) bool {
	switch {
	case l.stuck != nil:
		return false
	case l.failure.err == nil:
		return true
	case l.failure.by != nil && !l.failure.by.ready(now):
		return false
	}
	return now.Reached(l.failure.retry)
}

// postpone keeps the lease in hand from being renewed before t.
func (l *Layer[T]) postpone(h *held[T], t, now token.Instant) {
	if h.drifted(now) {
		h = hold(h.lease, h.redrawn(now))
	}
	again := hold(h.lease, h.postponed(t))
	again.idle = h.idle
	l.held.Store(again)
}

// fly makes one renewal. A provider that does not return leaves its goroutine
// behind, and those who wait are let go.
func (l *Layer[T]) fly(f *flight[T]) {
	ctx, cancel := context.WithTimeout(context.Background(), l.policy.Timeout)
	defer cancel()
	late := time.AfterFunc(l.policy.Timeout+l.policy.Timeout/8, func() { l.abandon(f) })
	defer late.Stop()
	o := outcome[T]{err: Fail(Panicked, "the provider ended its goroutine")}
	defer func() { l.land(f, o) }()
	o = l.renew(ctx)
	if l.again(f, o) {
		o = l.attempt(ctx)
	}
}

// renew fetches, and once more after the layer to blame has another value.
func (l *Layer[T]) renew(ctx context.Context) outcome[T] {
	o := l.attempt(ctx)
	b := blamed(o.err)
	if b == nil || b.of == node(l) {
		return o
	}
	better, err := b.replace(ctx)
	switch {
	case err != nil && b.of.depth() < l.level:
		o.err = met(ctx, b.of, err)
		return o
	case err != nil, !better:
		return o
	}
	if o = l.attempt(ctx); o.err != nil {
		if b := blamed(o.err); b != nil && b.of != node(l) {
			b.invalidate()
		}
	}
	return o
}

// attempt fetches once. A panic of the provider is an error of this layer.
func (l *Layer[T]) attempt(ctx context.Context) (o outcome[T]) {
	begin := func() time.Time {
		o.sent = l.clock.now()
		l.stats.fetches.Add(1)
		return o.sent.Wall
	}
	defer func() {
		if p := recover(); p != nil {
			o.err = Fail(Panicked, "the provider panicked: %s", about(p))
		}
	}()
	o.credential, o.err = l.fetch(ctx, begin)
	o.probe()
	return o
}

// probe panics where what was got would do so later, out of control: an error
// whose methods panic, such as a nil *Error, or a value that cannot be compared.
func (o *outcome[T]) probe() {
	if o.err != nil {
		_, _ = named("", o.err).Error(), blamed(o.err)
	}
	value := o.credential.Value
	_ = value == o.credential.Value
}

// about says what a panic was, without what it may hold.
func about(p any) string {
	if err, ok := p.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("%T", p)
}

// again reports whether the fetch has to be repeated because it began before its
// very value was refused.
func (l *Layer[T]) again(f *flight[T], o outcome[T]) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return o.err == nil && f.suspect && l.last != nil && l.last.lease.Value == o.credential.Value
}

// abandon lets those go who wait for a provider that does not return.
func (l *Layer[T]) abandon(f *flight[T]) {
	now := l.clock.now()
	l.mu.Lock()
	defer l.unlock()
	if f.landed {
		return
	}
	l.stuck = f
	l.release(f, l.fail(Fail(Unavailable, "the provider did not return within %s", l.policy.Timeout), now))
}

// land records what a renewal brought and lets those go who wait. What comes
// after all others gave up is taken if it is good.
func (l *Layer[T]) land(f *flight[T], o outcome[T]) {
	received := l.clock.now()
	l.mu.Lock()
	defer l.unlock()
	if f.landed {
		l.stuck = nil
		if o.err == nil {
			_ = l.take(f, o, received)
		}
		l.wake()
		return
	}
	err := o.err
	if err == nil {
		err = l.take(f, o, received)
	}
	if err != nil {
		err = l.fail(err, received)
	}
	l.release(f, err)
}

func (l *Layer[T]) release(f *flight[T], err error) {
	f.err, f.landed, l.flight = err, true, nil
	close(f.done)
	l.wake()
}

// take makes a lease of what was got.
func (l *Layer[T]) take(f *flight[T], o outcome[T], received token.Instant) error {
	var none T
	c := &o.credential
	if c.Value == none {
		return Fail(Malformed, "the credential is empty")
	}
	end := c.ending()
	s, err := l.policy.draw(end, o.sent, received, l.policy.random())
	if err != nil {
		return err
	}
	l.lapse(received)
	next := hold(Lease[T]{Value: c.Value, NotBefore: notBefore(c, o.sent, received), of: l}, s)
	kind := l.kind(f, next, received)
	now := l.held.Load()
	if kind == Unchanged && now != nil {
		next = hold(now.lease, now.redrawn(received).again(received, s, c.Recheck))
		next.idle = true
	} else {
		l.generation++
		next.lease.Generation = l.generation
	}
	l.last = next
	l.held.Store(next)
	l.failure = failure{}
	l.stats.renewed(kind, received)
	l.record(Event{Kind: kind, Generation: next.lease.Generation, Expires: next.lease.Expires, Took: received.Mono - o.sent.Mono})
	return nil
}

// kind names the transition to a lease that was just got.
func (l *Layer[T]) kind(f *flight[T], next *held[T], received token.Instant) Kind {
	now := l.held.Load()
	switch {
	case now != nil && next.lease.Value == now.lease.Value && !now.outlived(received, &next.schedule):
		return Unchanged
	case now != nil && f.waited:
		return RenewedLate
	case now != nil:
		return RenewedAhead
	case l.last == nil || l.refused != l.last.lease.Generation:
		return Obtained
	case l.last.lease.Value == next.lease.Value:
		return Unchanged // the service insists
	}
	return Healed
}

// fail records a failed renewal and returns it as all callers will see it.
func (l *Layer[T]) fail(err error, now token.Instant) error {
	l.lapse(now)
	own, wait := named(l.policy.Name, err), l.backoff(err, now)
	own.Next = now.Wall.Add(wait)
	l.failure.err = own
	l.stats.failures++
	event := Event{Kind: Failed, Err: own, Wait: wait}
	if h := l.held.Load(); h != nil {
		l.postpone(h, now.Add(wait), now)
		event.Generation, event.Expires = h.lease.Generation, h.lease.Expires
	}
	l.record(event)
	return own
}

// failed is the last failure, with the time of the next attempt as it is now: a
// parent may have failed again, or a clock may have been set.
func (l *Layer[T]) failed(now token.Instant) error {
	next := now.Wall.Add(now.Until(l.tryAt()))
	if next.Sub(l.failure.err.Next).Abs() > shortest {
		again := *l.failure.err
		again.Next = next
		l.failure.err = &again
	}
	return l.failure.err
}

// backoff decides when to try again. After a parent's failure that is when the
// parent is ready, and the parent alone backs off.
func (l *Layer[T]) backoff(err error, now token.Instant) time.Duration {
	var life time.Duration
	if l.last != nil {
		life = l.last.life
	}
	if p, ok := err.(*parental); ok { //nolint:errorlint // ours, not wrapped
		l.failure.by, l.failure.retry = p.by, now
		if p.late {
			l.failure.retry = now.Add(l.policy.after(1, life, 0, 0))
		}
		next := last(l.failure.retry, p.by.nextTry())
		return max(now.Until(next), 0)
	}
	l.failure.count++
	wait := l.policy.after(l.failure.count, life, wishOf(err), l.policy.random())
	l.failure.by, l.failure.retry = nil, now.Add(wait)
	return wait
}

// lapse lets go of a lease that is over. That is worth a word where a renewal was
// tried in vain, or someone keeps the layer warm.
func (l *Layer[T]) lapse(now token.Instant) {
	h := l.inHand(now)
	if h == nil || h.decide(now) != ended {
		return
	}
	l.held.Store(nil)
	if l.failure.err != nil || l.flight != nil || l.warm > 0 || h.idle {
		l.record(Event{Kind: ExpiredInHand})
	}
}

func notBefore[T comparable](c *Credential[T], sent, received token.Instant) time.Time {
	if c.NotBefore.IsZero() {
		return c.NotBefore
	}
	return c.NotBefore.Add(-skew(c.Date, sent, received)).UTC()
}
