// Package early knows what ended before its own end: the entries of an issuer's
// feed, in memory, bounded, found by what they name.
//
// It reads no clock and follows no feed. An issuer and its gates put what they
// hear into one, each with the longest life of what may still be shown to them:
//
//	x := early.New(1_000_000)
//	news, room := x.Add(entry, longestLife, now)
//	err := x.Ended(kid, &claims) // nil, or *token.Error
//
// How long an entry is kept is counted from its arrival, by the monotonic clock
// where now carries one: a wall clock that is wrong, or is set while the entry
// is kept, makes nobody forget it.
package early

import (
	"fmt"
	"sync"
	"time"

	"github.com/longcase/longcase/token"
)

// Kind says what an Entry ends.
type Kind = token.Ending

// The kinds, as the feed spells them.
const (
	Token   = token.EndsToken
	Session = token.EndsSession
	Client  = token.EndsClient  // what began before Before
	Subject = token.EndsSubject // what began before Before
	Key     = token.EndsKey
)

// Entry is one early end.
type Entry struct {
	Kind   Kind
	Value  string
	Before time.Time // compared with the instant of issue, never with now; zero but for Client and Subject
	End    time.Time // after it the entry says nothing any more
}

// maxValue bounds the Value of an Entry, in bytes.
const maxValue = 4096

// Check refuses what cannot be enforced: to pass over an early end is worse than
// to know that one is missing.
func (e Entry) Check() error {
	switch e.Kind {
	case Token, Session, Key:
	case Client, Subject:
		if e.Before.IsZero() {
			return fmt.Errorf("early end: %s without before", e.Kind)
		}
	default:
		return fmt.Errorf("early end: unknown kind %.80q; this program is older than the issuer", string(e.Kind))
	}
	if e.Value == "" || len(e.Value) > maxValue {
		return fmt.Errorf("early end: %s with a value of %d bytes", e.Kind, len(e.Value))
	}
	if e.End.IsZero() {
		return fmt.Errorf("early end: %s without end", e.Kind)
	}
	return nil
}

// forever is longer than any program runs; sums with it do not overflow.
const forever = 100 * 365 * 24 * time.Hour

type name struct {
	kind  Kind
	value string
}

// kept is what is known of a name: the latest instants of its entries, and how
// long it stays, counted from the index's beginning.
type kept struct {
	before, end time.Time
	until       time.Duration
}

// Index holds early ends. Make one with New; methods may be called concurrently.
type Index struct {
	most int

	mu      sync.RWMutex
	began   time.Time // the first now; time is counted from it
	names   map[name]kept
	minutes map[int64][]name // each name once, by the minute it is to be looked at
	dropped int64            // the minute of the last drop
}

// New returns an empty Index of at most most names.
func New(most int) *Index {
	return &Index{most: most, names: map[name]kept{}, minutes: map[int64][]name{}}
}

// Add keeps e until its End by the clock of now, and for floor at least if it
// says anything new: the longest life that what it names may still have. It
// reports whether it did, and false for room if the index is full.
func (x *Index) Add(e Entry, floor time.Duration, now time.Time) (news, room bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	named := name{e.Kind, e.Value}
	old, known := x.names[named]
	if !known && !x.roomFor(now) {
		return false, false
	}
	merged := kept{before: later(old.before, e.Before), end: later(old.end, e.End)}
	news = !known || !merged.before.Equal(old.before) || !merged.end.Equal(old.end)
	stays := e.End.Sub(now)
	if news {
		stays = max(stays, floor)
	}
	merged.until = max(old.until, x.elapsed(now)+min(stays, forever))
	x.names[named] = merged
	if !known {
		x.lookAt(named, merged.until)
	}
	return news, true
}

// elapsed is the time since the index's beginning; x.mu is held.
func (x *Index) elapsed(now time.Time) time.Duration {
	if x.began.IsZero() {
		x.began = now
	}
	return now.Sub(x.began)
}

// lookAt notes named for the minute of until; x.mu is held.
func (x *Index) lookAt(named name, until time.Duration) {
	minute := int64(until / time.Minute)
	x.minutes[minute] = append(x.minutes[minute], named)
}

// roomFor reports whether one more name fits; x.mu is held.
func (x *Index) roomFor(now time.Time) bool {
	if len(x.names) >= x.most {
		x.drop(now)
	}
	return len(x.names) < x.most
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Drop forgets what was kept long enough. It works once a minute.
func (x *Index) Drop(now time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.drop(now)
}

// drop looks at the names of all minutes that are over; x.mu is held. One that
// was prolonged moves on.
func (x *Index) drop(now time.Time) {
	at := x.elapsed(now)
	this := int64(at / time.Minute)
	if this <= x.dropped {
		return
	}
	x.dropped = this
	for minute, names := range x.minutes {
		if minute >= this {
			continue
		}
		delete(x.minutes, minute)
		for _, named := range names {
			if until := x.names[named].until; until > at {
				x.lookAt(named, until)
			} else {
				delete(x.names, named)
			}
		}
	}
}

// Len is how many names are kept.
func (x *Index) Len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.names)
}

// Ended is nil, or an *token.Error with Revoked or KeyRevoked for a token of
// claims c that was signed with kid.
func (x *Index) Ended(kid string, c *token.Claims) error {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if len(x.names) == 0 {
		return nil
	}
	switch {
	case x.has(Key, kid):
		return token.Refuse(token.KeyRevoked, "its issuer withdrew key %.80q", kid)
	case x.has(Token, c.ID):
		return token.Refuse(token.Revoked, "this token was ended early")
	case x.has(Session, c.Session):
		return token.Refuse(token.Revoked, "its session was ended early")
	case x.before(Client, c.ClientID, c.IssuedAt):
		return token.Refuse(token.Revoked, "tokens that its client got earlier were ended")
	case x.before(Subject, c.Subject, c.IssuedAt):
		return token.Refuse(token.Revoked, "tokens that its subject got earlier were ended")
	}
	return nil
}

// Has reports whether the token, session or key of this value was ended.
func (x *Index) Has(kind Kind, value string) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.has(kind, value)
}

// HasBefore reports whether what a client or subject began at began was ended.
func (x *Index) HasBefore(kind Kind, value string, began time.Time) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.before(kind, value, began)
}

func (x *Index) has(kind Kind, value string) bool {
	_, ok := x.names[name{kind, value}]
	return ok && value != ""
}

// before compares the instant of issue, never now (CVE-2020-26892). What does
// not say when it began counts as begun before.
func (x *Index) before(kind Kind, value string, began time.Time) bool {
	e, ok := x.names[name{kind, value}]
	return ok && value != "" && began.Before(e.before)
}
