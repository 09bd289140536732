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
	Unchanged     Kind = "unchanged"       // fetched again, and it is the same lease
	RefusedLease  Kind = "refused"         // someone said that the lease does not work (Invalidate, Blame)
	Failed        Kind = "failed"          // a renewal failed; Err says why
	ExpiredInHand Kind = "expired_in_hand" // the lease ended before it could be renewed
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
