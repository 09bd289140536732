package jwks

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Step is one change of state on a ring's timeline and why it happens then.
type Step struct {
	At    time.Time `json:"at"`
	KeyID string    `json:"kid,omitempty"` // empty: a key that does not exist yet
	State State     `json:"state"`
	Why   string    `json:"why"`
}

// Next is every step after now that is known or planned, in the order of time.
func (r Ring) Next(now time.Time, p Policy) []Step {
	var steps []Step
	for _, k := range r {
		for _, s := range r.Steps(k.ID, p) {
			if s.At.After(now) {
				steps = append(steps, s)
			}
		}
	}
	if at, ok := r.publishAt(now, p); ok && at.After(now) {
		steps = append(steps, Step{At: at, State: Published, Why: planned(p)})
	}
	slices.SortStableFunc(steps, func(a, b Step) int { return a.At.Compare(b.At) })
	return steps
}

// Steps is the timeline of one key, past steps included.
func (r Ring) Steps(id string, p Policy) []Step {
	i := r.index(id)
	if i < 0 {
		return nil
	}
	k := r[i]
	steps := []Step{{k.Published, k.ID, Published, "caches learn the key before it signs"}}
	if !k.Revoked.IsZero() && k.Revoked.Before(k.Active) {
		return append(steps, r.last(k)...)
	}
	steps = append(steps, Step{k.Active, k.ID, Active, whyActive(k)})
	if !k.Retiring.IsZero() && (k.Revoked.IsZero() || !k.Revoked.Before(k.Retiring)) {
		steps = append(steps, Step{k.Retiring, k.ID, Retiring, "its successor signs from here on"})
	}
	if k.Retiring.IsZero() && k.Revoked.IsZero() {
		at := k.Active.Add(max(p.Rotate, p.PublishAhead))
		steps = append(steps, Step{at, k.ID, Retiring, "planned: a key signs for " + span(p.Rotate)})
	}
	return append(steps, r.last(k)...)
}

// last is how a key ends.
func (r Ring) last(k RingKey) []Step {
	switch {
	case !k.Revoked.IsZero():
		return []Step{
			{k.Revoked, k.ID, Revoked, "taken out of the set at once"},
			{k.Removed, k.ID, Removed, "the last token it may have signed is over: " + span(k.Overlap) + " after it was revoked"},
		}
	case !k.Removed.IsZero():
		return []Step{{k.Removed, k.ID, Removed,
			"the last token it signed is over: longest life, leeway and cache time are " + span(k.Overlap)}}
	}
	return nil
}

func whyActive(k RingKey) string {
	if !k.Active.After(k.Published) {
		return "signs at once: no other key could"
	}
	return "published " + span(k.Active.Sub(k.Published)) + " before"
}

func planned(p Policy) string {
	return fmt.Sprintf("planned: the next key is published %s before it signs, and a key signs for %s", span(p.PublishAhead), span(p.Rotate))
}

// span writes a duration as the configuration does: "30d", "10m", "1h30m".
func span(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// publishAt is when the next key is to be published; false while one waits.
func (r Ring) publishAt(now time.Time, p Policy) (time.Time, bool) {
	if _, ok := r.Waiting(now); ok {
		return time.Time{}, false
	}
	signing, ok := r.Signing(now)
	if !ok {
		return now, true
	}
	at := signing.Active.Add(p.Rotate - p.PublishAhead)
	if at.Before(signing.Active) {
		at = signing.Active
	}
	if room := r.room(now); at.Before(room) {
		at = room
	}
	return at, true
}

// room is when a full ring has room for one more key; the zero time if it has.
func (r Ring) room(now time.Time) (at time.Time) {
	published := r.Published(now)
	if len(published) < maxRing {
		return at
	}
	for _, k := range published {
		if !k.Removed.IsZero() && (at.IsZero() || k.Removed.Before(at)) {
			at = k.Removed
		}
	}
	return at
}

// PublishDue reports whether a new key is to be published at now.
func (r Ring) PublishDue(now time.Time, p Policy) bool {
	at, ok := r.publishAt(now, p)
	return ok && !at.After(now)
}

// Due is the first instant at which the ring has to be written: a key is to be
// published, or one is removed. It is not before now.
func (r Ring) Due(now time.Time, p Policy) time.Time {
	due, ok := r.publishAt(now, p)
	for _, k := range r {
		if s := k.State(now); k.Overlap < p.Overlap && (s == Active || s == Published) {
			return now // to be adopted
		}
		if !k.Removed.IsZero() && (!ok || k.Removed.Before(due)) {
			due, ok = k.Removed, true
		}
	}
	if w, waits := r.Waiting(now); waits && (!ok || w.Active.Before(due)) {
		due, ok = w.Active, true
	}
	if !ok || due.Before(now) {
		return now
	}
	return due
}

// MaxAge is how long a set that is shown at now may be cached: at most half of
// p.PublishAhead, so that every cache knows a key before it signs, at most
// MaxCache, and only to the next step where that is near.
func (r Ring) MaxAge(now time.Time, p Policy) time.Duration {
	most := maxCache(p.PublishAhead)
	age := most
	if steps := r.Next(now, p); len(steps) > 0 {
		age = min(most, max(steps[0].At.Sub(now), min(most, minCache)))
	}
	return age.Truncate(time.Second)
}
