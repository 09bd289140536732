package fresh

import (
	"time"

	"github.com/longcase/longcase/token"
)

const (
	maxAhead  = 5 * time.Minute
	maxBuffer = 30 * time.Second
	maxLife   = 10 * 365 * 24 * time.Hour
	// checkOften is how often what has no end is fetched again by default.
	longest = time.Duration(1<<63 - 1)
)

// schedule is when what happens to a lease. Each is over when either clock says so.
type schedule struct {
	ahead   token.Instant // renew in the background
	must    token.Instant // wait for a renewal; the lease still serves if that fails
	end     token.Instant // never hand it out again
	endless bool          // there is no end, only ahead
}

// action is what a Get does with the lease in hand.
type action int

const (
	use        action = iota // hand it out
	renewAhead               // hand it out and renew in the background
	mustRenew                // wait for a renewal; hand it out if that fails
	ended                    // wait for a renewal
)

// decide is the one place that judges a lease.
func (s *schedule) decide(now token.Instant) action {
	switch {
	case !now.Reached(s.ahead):
		return use
	case s.endless || !now.Reached(s.must):
		return renewAhead
	case !now.Reached(s.end):
		return mustRenew
	}
	return ended
}

// plan makes the schedule of a lease that was asked for at sent and lives for
// life from then on; random is in [0, 1).
func (p Policy) plan(sent token.Instant, life time.Duration, random float64) schedule {
	ahead := min(p.Ahead.of(life, maxAhead), life/2)
	buffer := min(p.Buffer.of(life, maxBuffer), life/4)
	jitter := min(p.Jitter.of(ahead, longest), life/4)
	early := max(ahead, buffer) + time.Duration(random*float64(jitter))
	return schedule{ahead: sent.Add(life - early), must: sent.Add(life - buffer), end: sent.Add(life)}
}

func (s Span) of(whole, most time.Duration) time.Duration {
	if s.Part != 0 {
		return min(time.Duration(s.Part*float64(whole)), most)
	}
	return s.Length
}

// lifeOf is how long a credential lives from sent on, by this host's clocks, and
// whether it has an end at all. Where the issuer's clock is known and disagrees
// with ours by more than the exchange explains, its own clock counts.
func lifeOf[T comparable](c Credential[T], sent, received token.Instant) (life time.Duration, ends bool) {
	life = longest
	if !c.Expires.IsZero() {
		life, ends = c.Expires.Sub(sent.Wall)-skew(c.Date, sent, received), true
	}
	if c.Life != 0 {
		life, ends = min(life, c.Life), true
	}
	return min(life, maxLife), ends
}

// skew is how far the issuer's clock is ahead of ours: zero if the two can
// agree, else the bound that makes a lease shorter. Date has a resolution of a
// second.
func skew(date time.Time, sent, received token.Instant) time.Duration {
	if date.IsZero() {
		return 0
	}
	most, least := date.Add(time.Second).Sub(sent.Wall), date.Sub(received.Wall)
	if least <= 0 && most >= 0 {
		return 0
	}
	return most
}
