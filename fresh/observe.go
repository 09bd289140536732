package fresh

import "time"

// Kind is what happened to a layer.
type Kind string

// The transitions of a layer.
const (
	Obtained      Kind = "obtained"        // the first lease, or the first after the last one ended
	RenewedAhead  Kind = "renewed_ahead"   // before anyone had to wait
	RenewedLate   Kind = "renewed_late"    // someone waited
	Healed        Kind = "healed"          // renewed because the lease was refused or blamed
	Unchanged     Kind = "unchanged"       // fetched again, and it is the same lease; or the same value although it was refused, as another lease
	RefusedLease  Kind = "refused"         // someone said that the lease does not work (Invalidate, Blame)
	Failed        Kind = "failed"          // a renewal failed; Err says why
	ExpiredInHand Kind = "expired_in_hand" // the lease ended before it could be renewed: that was tried in vain, or someone kept it warm
)

// Event is one transition of one layer. It holds no secret.
type Event struct {
	Layer      string
	Kind       Kind
	Generation uint64        // of the lease in hand after the transition; 0: none
	Expires    time.Time     // its end; zero: none
	Took       time.Duration // the renewal; zero where none ran
	Wait       time.Duration // Failed: until the next attempt
	Err        error         // Failed: why
}

// record notes a transition, to be told when the lock is free.
func (l *Layer[T]) record(e Event) {
	if l.policy.Observe != nil {
		e.Layer = l.policy.Name
		l.events = append(l.events, e)
	}
}

// unlock frees the lock and tells what happened, in order: one goroutine at a
// time, so that the observer may ask the layer.
func (l *Layer[T]) unlock() {
	defer l.mu.Unlock()
	if l.delivering {
		return
	}
	l.delivering = true
	defer func() { l.delivering = false }()
	for len(l.events) > 0 {
		e := l.events[0]
		l.events = l.events[1:]
		l.tell(e)
	}
	l.events = nil
}

// tell frees the lock for a call of the observer. Its panic is nobody else's, and
// where it ends its goroutine, the lock is held again.
func (l *Layer[T]) tell(e Event) {
	l.mu.Unlock()
	defer l.mu.Lock()
	defer func() { _ = recover() }()
	l.policy.Observe(e)
}
