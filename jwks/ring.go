package jwks

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/longcase/longcase/token"
)

// State is where a key stands on its timeline.
type State string

// The states, in the order in which a key meets them. A revoked key is revoked
// at any instant, whatever the clock of the node that looks.
const (
	Published State = "published" // in the set, so that caches learn it; does not sign yet
	Active    State = "active"    // the one key that signs
	Retiring  State = "retiring"  // in the set until the last token it signed is over
	Removed   State = "removed"   // gone
	Revoked   State = "revoked"   // taken out of the set before its time
)

// The errors of a ring.
var (
	ErrWaiting   = errors.New("jwks: a successor waits already")
	ErrNoSuchKey = errors.New("jwks: no such key in the ring")
	ErrFull      = errors.New("jwks: 24 keys are published: wait until the oldest is removed")
)

const (
	// MaxLeeway is the longest leeway a verifier may grant.
	MaxLeeway = 60 * time.Second
	// MaxCache is the longest time an issuer allows its set to be cached.
	MaxCache = 5 * time.Minute

	minCache = 10 * time.Second // shortest cache time while a step is near
	// maxRing is how many keys a ring publishes at once; where they rotate faster
	// than they may go, the next rotation waits. Verifiers bound sets, engines
	// records.
	maxRing = 24
	// slack dates a key that signs at once back, so that a node whose clock is
	// behind signs with it as well; nodes are within 5 s of their store.
	slack = 10 * time.Second
)

// Overlap is how long a key stays published after it signed its last token: the
// life of an access token, the longest leeway, and how long the set may be
// cached where a successor is published publishAhead before it signs.
func Overlap(access, publishAhead time.Duration) time.Duration {
	return access + MaxLeeway + maxCache(publishAhead)
}

// maxCache is how long a set may be cached: every cache knows a key before it
// signs.
func maxCache(publishAhead time.Duration) time.Duration { return min(MaxCache, publishAhead/2) }

// Policy is what a ring's timeline follows from.
type Policy struct {
	Rotate       time.Duration // how long a key signs
	PublishAhead time.Duration // how long a successor is published before it signs
	Overlap      time.Duration // how long a key stays published after it signed last
}

// RingKey is the timeline of one signing key. Instants are UTC, each the first
// of its state; a zero Retiring, Removed or Revoked is not known yet.
type RingKey struct {
	ID        string          `json:"kid"`
	Algorithm token.Algorithm `json:"algorithm"`
	Published time.Time       `json:"published"`
	Active    time.Time       `json:"active"`
	Retiring  time.Time       `json:"retiring,omitzero"`
	Removed   time.Time       `json:"removed,omitzero"`
	Revoked   time.Time       `json:"revoked,omitzero"`
	// Overlap is the longest Policy.Overlap in force while the key signed, in
	// nanoseconds: a shorter life of access tokens does not shorten those that
	// are out.
	Overlap time.Duration `json:"overlap"`
}

// State is where the key stands at now.
func (k RingKey) State(now time.Time) State {
	switch {
	case !k.Removed.IsZero() && !now.Before(k.Removed):
		return Removed
	case !k.Revoked.IsZero():
		return Revoked
	case now.Before(k.Active):
		return Published
	case k.Retiring.IsZero() || now.Before(k.Retiring):
		return Active
	default:
		return Retiring
	}
}

// Ring is the signing keys of an issuer, oldest first. A Ring is a value: its
// methods return a new one.
type Ring []RingKey

// Signing is the one key that signs at now; false only for a ring that is empty
// or whose keys are all revoked.
func (r Ring) Signing(now time.Time) (RingKey, bool) {
	return r.latest(now, Active)
}

// Waiting is the successor that is published and does not sign yet.
func (r Ring) Waiting(now time.Time) (RingKey, bool) {
	return r.latest(now, Published)
}

func (r Ring) latest(now time.Time, s State) (found RingKey, ok bool) {
	for _, k := range r {
		if k.State(now) == s && (!ok || k.Active.After(found.Active)) {
			found, ok = k, true
		}
	}
	return found, ok
}

// Published is the keys a set shows at now: those that will sign, sign, or
// signed tokens that may still live. Their order does not change.
func (r Ring) Published(now time.Time) []RingKey {
	var keys []RingKey
	for _, k := range r {
		if s := k.State(now); s == Published || s == Active || s == Retiring {
			keys = append(keys, k)
		}
	}
	return keys
}

// Publish adds a key. It signs after p.PublishAhead, when the key that signs now
// begins to retire; in a ring where none signs it signs at once. ErrWaiting if
// a successor waits already: its turn comes first. ErrFull if 24 keys are
// published.
func (r Ring) Publish(id string, alg token.Algorithm, now time.Time, p Policy) (Ring, error) {
	if _, ok := r.Waiting(now); ok {
		return nil, ErrWaiting
	}
	k := RingKey{ID: id, Algorithm: alg, Published: stamp(now), Active: stamp(now.Add(p.PublishAhead)), Overlap: p.Overlap}
	out := r.Adopt(now, p) // what signs until then may have been made for shorter lives
	if signing, ok := r.Signing(now); ok {
		if !r.room(now).IsZero() {
			return nil, ErrFull
		}
		out.retire(signing.ID, k.Active)
	} else {
		k.Active = stamp(now.Add(-slack))
		k.Published = k.Active
	}
	out = append(out, k)
	slices.SortStableFunc(out, func(a, b RingKey) int {
		if c := a.Published.Compare(b.Published); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out, nil
}

// Revoke takes a key out of the set at once. If it was the one that signs, the
// waiting successor signs at once; without one the new ring has no key that
// signs, and the caller publishes a new one in the same write. Revoking the
// successor leaves the signing key where it is. Twice is once; ErrNoSuchKey if
// there is no such key.
func (r Ring) Revoke(id string, now time.Time) (Ring, error) {
	i := r.index(id)
	if i < 0 || r[i].State(now) == Removed {
		return nil, ErrNoSuchKey
	}
	out, was := slices.Clone(r), r[i].State(now)
	if was == Revoked {
		return out, nil
	}
	out[i].Revoked = stamp(now)
	out[i].Removed = out[i].Revoked.Add(out[i].Overlap)
	if was == Published {
		if signing, ok := out.Signing(now); ok {
			j := out.index(signing.ID)
			out[j].Retiring, out[j].Removed = time.Time{}, time.Time{}
		}
		return out, nil
	}
	next, ok := out.Signing(now)
	if !ok {
		next, ok = out.Waiting(now)
	}
	if at := stamp(now.Add(-slack)); ok && next.Active.After(at) {
		out[out.index(next.ID)].Active = at
	}
	return out, nil
}

// Adopt makes keys that still sign, or will, stay published for p.Overlap at
// least: tokens they sign from now on may live that long.
func (r Ring) Adopt(now time.Time, p Policy) Ring {
	out := slices.Clone(r)
	for i, k := range out {
		s := k.State(now)
		if k.Overlap >= p.Overlap || s != Active && s != Published {
			continue
		}
		out[i].Overlap = p.Overlap
		if !k.Retiring.IsZero() {
			out.retire(k.ID, k.Retiring)
		}
	}
	return out
}

// Prune leaves out the keys that are removed at now.
func (r Ring) Prune(now time.Time) Ring {
	return slices.DeleteFunc(slices.Clone(r), func(k RingKey) bool { return k.State(now) == Removed })
}

func (r Ring) retire(id string, at time.Time) {
	i := r.index(id)
	r[i].Retiring = at
	r[i].Removed = at.Add(r[i].Overlap)
}

func (r Ring) index(id string) int {
	return slices.IndexFunc(r, func(k RingKey) bool { return k.ID == id })
}

// stamp is an instant as a ring keeps it: UTC, whole milliseconds, no monotonic
// reading.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }
