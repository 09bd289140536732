package fresh

import (
	"time"

	"github.com/longcase/longcase/token"
)

const (
	maxAhead   = 5 * time.Minute           // of a part, not of a duration
	maxBuffer  = 30 * time.Second          // of a part, not of a duration
	maxLife    = 10 * 365 * 24 * time.Hour // a longer one is taken for this
	maxFast    = 26 * time.Hour            // a host further ahead than this is not believed to be wrong
	minRecheck = 100 * time.Millisecond
	maxAgree   = 5 * time.Second // an exchange that took longer proves little of the clocks
	maxDrift   = time.Second     // the two clocks may part so far before a schedule is drawn again
	longest    = time.Duration(1<<63 - 1)
)

// schedule is when what happens to a lease. Each is over when either clock says
// so. At is when it was drawn: at that instant both clocks agreed on all of it.
type schedule struct {
	at      token.Instant
	ahead   token.Instant // renew in the background
	must    token.Instant // wait for a renewal; the lease still serves if that fails
	end     token.Instant // never hand it out again
	endless bool          // there is no end, only ahead and must
	life    time.Duration // what was left when the lease was got
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
	case !s.endless && now.Reached(s.end):
		return ended
	case !now.Reached(s.ahead):
		return use
	case !now.Reached(s.must):
		return renewAhead
	}
	return mustRenew
}

// plan draws the schedule of a lease that lives for left from now on; random is
// in [0, 1). Whatever the policy says, a quarter of the life passes without a
// renewal, so that no life is too short.
func (p Policy) plan(now token.Instant, left time.Duration, random float64) schedule {
	ahead := min(p.Ahead.of(left, maxAhead), left/2)
	buffer := min(p.Buffer.of(left, maxBuffer), left/4)
	jitter := min(p.Jitter.of(ahead, longest), left/4)
	early := max(ahead, buffer) + time.Duration(random*float64(jitter))
	return schedule{at: now, ahead: now.Add(left - early), must: now.Add(left - buffer), end: now.Add(left), life: left}
}

func (s Span) of(whole, most time.Duration) time.Duration {
	if s.Part != 0 {
		return min(time.Duration(s.Part*float64(whole)), most)
	}
	return s.Length
}

// draw makes the schedule of a credential that was asked for at sent and came at
// received.
func (p Policy) draw(e ending, sent, received token.Instant, random float64) (schedule, error) {
	life, ends := e.life(sent, received)
	recheck := min(max(e.recheck, minRecheck), maxLife)
	switch {
	case !ends && e.recheck <= 0:
		return schedule{}, Fail(Malformed, "the service did not say when the credential ends")
	case !ends:
		return schedule{at: received, ahead: received.Add(recheck), must: received.Add(2 * recheck), endless: true, life: recheck}, nil
	}
	left := received.Until(sent.Add(life))
	if left <= 0 {
		return schedule{}, Fail(Ended, "the credential ended %s before it came, by this host's clock", -left.Truncate(time.Millisecond))
	}
	s := p.plan(received, left, random)
	if e.recheck > 0 {
		s.ahead, s.must = first(s.ahead, received.Add(recheck)), first(s.must, received.Add(2*recheck))
	}
	return s, nil
}

// again is the schedule after a fetch brought nothing new: the next one when
// half of what remains has passed, also where a caller would have to wait.
func (s schedule) again(now token.Instant, next schedule, recheck time.Duration) schedule {
	if s.endless || next.endless {
		return next
	}
	s.end = first(s.end, next.end)
	return s.postponed(now.Add(s.slot(now, recheck)))
}

// outlived reports whether next, drawn at now, ends later than s by more than
// the seconds in which services count.
func (s schedule) outlived(now token.Instant, next *schedule) bool {
	if s.endless || next.endless {
		return s.endless != next.endless
	}
	return now.Until(next.end)-now.Until(s.end) > min(2*time.Second, s.life/16)
}

func (s *schedule) slot(now token.Instant, recheck time.Duration) time.Duration {
	left := now.Until(s.must)
	if left <= 0 {
		left = now.Until(s.end)
	}
	slot := max(left/2, s.pace())
	if recheck > 0 {
		slot = min(slot, max(recheck, minRecheck))
	}
	return slot
}

// pace is how often something is looked at that is due and cannot be done.
func (s *schedule) pace() time.Duration { return min(time.Second, s.life/20) }

// postponed is the schedule without a renewal before t.
func (s schedule) postponed(t token.Instant) schedule {
	s.ahead, s.must = t, last(s.must, t)
	return s
}

// drifted reports whether the clocks parted since the schedule was drawn: one
// was set, or the machine slept.
func (s *schedule) drifted(now token.Instant) bool {
	d := now.Wall.Sub(s.at.Wall) - (now.Mono - s.at.Mono)
	return d >= s.slack() || d <= -s.slack()
}

func (s *schedule) slack() time.Duration { return min(maxDrift, s.life/8+1) }

// redrawn is the same schedule by what is left of it now. What either clock has
// counted stays counted, although that clock may be set back later.
func (s schedule) redrawn(now token.Instant) schedule {
	for _, t := range []*token.Instant{&s.ahead, &s.must, &s.end} {
		*t = now.Add(max(now.Until(*t), -maxLife))
	}
	s.at = now
	return s
}

// first and last are the earlier and the later of two instants of one schedule.
func first(a, b token.Instant) token.Instant {
	if b.Mono < a.Mono {
		return b
	}
	return a
}

func last(a, b token.Instant) token.Instant {
	if b.Mono > a.Mono {
		return b
	}
	return a
}

// ending is what an issuer said of a credential's end; see Credential.
type ending struct {
	expires, date time.Time
	stated        time.Duration // Life
	recheck       time.Duration
}

// life is how long the credential lives from sent on, by this host's clocks, and
// whether it has an end at all. Where the issuer's clock is known and disagrees
// with ours by more than the exchange explains, its own clock counts.
func (e ending) life(sent, received token.Instant) (life time.Duration, ends bool) {
	life = maxLife
	if !e.expires.IsZero() {
		life, ends = gap(e.expires, sent.Wall)-skew(e.date, sent, received), true
	}
	if e.stated != 0 {
		life, ends = min(life, e.stated), true
	}
	return bounded(life), ends
}

// skew is how far the issuer's clock is ahead of ours: zero if the two can agree
// within a short exchange, else the bound that makes a lease shorter. Date has a
// resolution of a second. A Date that makes a lease longer by days is more likely
// wrong than this host's clock.
func skew(date time.Time, sent, received token.Instant) time.Duration {
	if date.IsZero() {
		return 0
	}
	most, least := gap(date.Add(time.Second), sent.Wall), gap(date, received.Wall)
	if least <= 0 && most >= 0 && most <= maxAgree || most < -maxFast {
		return 0
	}
	return most
}

// gap is a minus b, at most half of what a Duration holds.
func gap(a, b time.Time) time.Duration { return min(max(a.Sub(b), -longest/2), longest/2) }

func bounded(d time.Duration) time.Duration { return min(max(d, -maxLife), maxLife) }
