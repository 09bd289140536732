package gate

import (
	"fmt"
	"sync"
	"time"

	"github.com/longcase/longcase/token"
)

// EventKind says what an Event ends.
type EventKind string

// The kinds of early ends, as they stand in the feed.
const (
	EndToken   EventKind = "token"   // Value is a jti
	EndSession EventKind = "session" // Value is a sid
	EndClient  EventKind = "client"  // Value is a client_id; tokens issued before Before
	EndSubject EventKind = "subject" // Value is a sub; tokens issued before Before
	EndKey     EventKind = "kid"     // Value is a kid
)

// Event is one early end.
type Event struct {
	Kind   EventKind
	Value  string
	Before time.Time // compared with iat, never with now; zero but for client and subject
	End    time.Time // after it the event says nothing any more and is dropped
}

// check refuses what cannot be enforced: to pass over an early end is worse
// than to say that the feed is stale.
func (e Event) check() error {
	switch e.Kind {
	case EndToken, EndSession, EndKey:
	case EndClient, EndSubject:
		if e.Before.IsZero() {
			return fmt.Errorf("gate: feed: %s without before", e.Kind)
		}
	default:
		return fmt.Errorf("gate: feed: unknown kind %q; this gate is older than its issuer", clip(string(e.Kind)))
	}
	if e.Value == "" || len(e.Value) > maxEventValue {
		return fmt.Errorf("gate: feed: %s with a value of %d bytes", e.Kind, len(e.Value))
	}
	if e.End.IsZero() {
		return fmt.Errorf("gate: feed: %s without end", e.Kind)
	}
	return nil
}

const maxEventValue = 4096 // bytes

type endKey struct {
	kind  EventKind
	value string
}

type endEntry struct{ before, end time.Time }

// index holds early ends in memory, bounded, and how fresh they are. Entries
// leave with the minute of their end.
type index struct {
	most  int
	after time.Duration

	mu      sync.RWMutex
	entries map[endKey]endEntry
	minutes map[int64][]endKey // by minute of the end
	dropped int64              // the minute of the last drop
	loaded  bool
	heard   time.Time // the last instant at which nothing was missing
}

func newIndex(most int, staleAfter time.Duration) *index {
	return &index{most: most, after: staleAfter, entries: make(map[endKey]endEntry), minutes: make(map[int64][]endKey)}
}

// add keeps e. It reports whether e said anything new, and false for room if
// the index is full.
func (x *index) add(e Event, now time.Time) (news, room bool) {
	if !now.Before(e.End) {
		return false, true
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	key := endKey{e.Kind, e.Value}
	old, known := x.entries[key]
	if !known && !x.roomFor(now) {
		return false, false
	}
	merged := endEntry{before: later(old.before, e.Before), end: later(old.end, e.End)}
	if known && merged == old {
		return false, true
	}
	x.entries[key] = merged
	minute := merged.end.Unix() / 60
	x.minutes[minute] = append(x.minutes[minute], key)
	return true, true
}

// roomFor reports whether one more entry fits; x.mu is held.
func (x *index) roomFor(now time.Time) bool {
	if len(x.entries) >= x.most {
		x.drop(now)
	}
	return len(x.entries) < x.most
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// hear notes that at now nothing was missing, and drops what is over.
func (x *index) hear(now time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.loaded, x.heard = true, now
	x.drop(now)
}

// drop forgets the entries of all minutes that are over, once a minute; x.mu
// is held. An entry that was prolonged stands in a later minute too.
func (x *index) drop(now time.Time) {
	this := now.Unix() / 60
	if this <= x.dropped {
		return
	}
	x.dropped = this
	for minute, keys := range x.minutes {
		if minute >= this {
			continue
		}
		for _, key := range keys {
			if e, ok := x.entries[key]; ok && e.end.Before(now) {
				delete(x.entries, key)
			}
		}
		delete(x.minutes, minute)
	}
}

func (x *index) len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.entries)
}

func (x *index) ready(from string, now time.Time) error {
	if err := x.stale(now); err != nil {
		return fmt.Errorf("gate: early ends of %s: %w", from, err)
	}
	return nil
}

// stale is nil, or RevocationsStale with how long nothing was heard.
func (x *index) stale(now time.Time) error {
	x.mu.RLock()
	loaded, heard := x.loaded, x.heard
	x.mu.RUnlock()
	if !loaded {
		return token.Refuse(token.RevocationsStale, "the list of ended tokens is not loaded yet")
	}
	if silent := now.Sub(heard); silent > x.after {
		return token.Refuse(token.RevocationsStale, "the issuer's feed of ended tokens was last heard %s ago (at most %s)", silent.Round(100*time.Millisecond), x.after)
	}
	return nil
}

// ended is nil, or Revoked or KeyRevoked for a token signed with kid.
func (x *index) ended(kid string, c *token.Claims) error {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if len(x.entries) == 0 {
		return nil
	}
	if x.has(EndKey, kid) {
		return token.Refuse(token.KeyRevoked, "its issuer withdrew key %q", clip(kid))
	}
	switch {
	case x.has(EndToken, c.ID):
		return token.Refuse(token.Revoked, "this token was ended early")
	case x.has(EndSession, c.Session):
		return token.Refuse(token.Revoked, "its session was ended early")
	case x.before(EndClient, c.ClientID, c.IssuedAt):
		return token.Refuse(token.Revoked, "tokens that its client got earlier were ended")
	case x.before(EndSubject, c.Subject, c.IssuedAt):
		return token.Refuse(token.Revoked, "tokens that its subject got earlier were ended")
	}
	return nil
}

func (x *index) has(kind EventKind, value string) bool {
	_, ok := x.entries[endKey{kind, value}]
	return ok && value != ""
}

// before compares the instant of issue, never now (CVE-2020-26892). A token
// that does not say when it was issued counts as issued before.
func (x *index) before(kind EventKind, value string, issued time.Time) bool {
	e, ok := x.entries[endKey{kind, value}]
	return ok && value != "" && issued.Before(e.before)
}
