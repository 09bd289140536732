package gate

import (
	"fmt"
	"sync"
	"time"

	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify/early"
)

// Event is one early end.
type Event = early.Entry

// EventKind says what an Event ends.
type EventKind = early.Kind

// index is the early ends that the gate was told of, and how fresh they are.
type index struct {
	*early.Index
	after time.Duration

	mu     sync.RWMutex
	loaded bool
	heard  time.Time // the last instant at which nothing was missing
	broken error     // why the feed ended last; nil since it was heard
}

func newIndex(most int, staleAfter time.Duration) *index {
	return &index{Index: early.New(most), after: staleAfter}
}

// hear notes that at now nothing was missing, and drops what is over.
func (x *index) hear(now time.Time) {
	x.mu.Lock()
	x.loaded, x.heard, x.broken = true, now, nil
	x.mu.Unlock()
	x.Drop(now)
}

// breaks notes why the feed ended.
func (x *index) breaks(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.broken = err
}

// ready is nil, or why too little is known, with what broke the feed. Where
// staleIsFine, a feed that was loaded once is enough.
func (x *index) ready(from string, staleIsFine bool, now time.Time) error {
	err := x.stale(now)
	x.mu.RLock()
	defer x.mu.RUnlock()
	if err == nil || staleIsFine && x.loaded {
		return nil
	}
	if x.broken != nil {
		return fmt.Errorf("gate: early ends of %s: %w: %w", from, err, x.broken)
	}
	return fmt.Errorf("gate: early ends of %s: %w", from, err)
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
