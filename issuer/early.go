package issuer

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/verify/early"
)

// How the early ends of a store are followed.
const (
	pollEach   = 200 * time.Millisecond
	staleAfter = 10 * time.Second // older than this is loaded anew before it is relied on
	maxEnds    = 10_000_000       // live early ends; more and nothing that asks for them is answered
)

var (
	errNotLoaded = errors.New("issuer: the early ends are not loaded yet")
	errTooMany   = errors.New("issuer: the store holds more early ends than fit into memory")
)

// earlyEnds is the live revocations of the store, in memory. The zero value is
// not usable; see newEarlyEnds.
type earlyEnds struct {
	*early.Index
	life func(store.RevocationKind) time.Duration // the longest life of what a kind ends

	mu     sync.RWMutex
	cursor store.Cursor
	loaded bool
	synced time.Time

	poke    chan struct{} // holds one word: look now
	changed chan struct{} // closed and replaced at each change
}

func newEarlyEnds(most int, life func(store.RevocationKind) time.Duration) *earlyEnds {
	return &earlyEnds{Index: early.New(most), life: life, poke: make(chan struct{}, 1), changed: make(chan struct{})}
}

// longestLife is how long what a revocation of this kind ends may live on: its
// access tokens and codes, and the sign-ins of a subject. Sessions are ended one
// by one.
func (is *Issuer) longestLife(kind store.RevocationKind) time.Duration {
	life := max(is.cfg.Lifetimes.MaxAccess, is.cfg.Lifetimes.Code)
	if kind == store.RevokedSubject {
		life = max(life, is.loginLife())
	}
	return life
}

func (e *earlyEnds) ready() error {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if !e.loaded {
		return errNotLoaded
	}
	return nil
}

// apply remembers entries and wakes the followers if one of them is new: a
// store may repeat itself. Without room for all, what is known cannot be relied
// on. e.mu is held.
func (e *earlyEnds) apply(entries []store.Revocation, now time.Time) error {
	news, room := false, true
	for _, r := range entries {
		one := early.Entry{Kind: r.Kind, Value: r.Value, Before: r.Before, End: r.End}
		isNew, fits := e.Add(one, e.life(r.Kind)+maxLeeway, now)
		news, room = news || isNew, room && fits
	}
	if news {
		close(e.changed)
		e.changed = make(chan struct{})
	}
	if !room {
		e.loaded = false
		return errTooMany
	}
	return nil
}

// change is closed at the next change.
func (e *earlyEnds) change() <-chan struct{} {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.changed
}

// sync reads what was added to the store since the last time.
func (e *earlyEnds) sync(ctx context.Context, from store.Revocations, now time.Time) error {
	e.mu.RLock()
	cursor := e.cursor
	e.mu.RUnlock()
	entries, next, err := from.Since(ctx, cursor)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.Drop(now)
	if err := e.apply(entries, now); err != nil {
		return err
	}
	e.cursor, e.loaded, e.synced = next, true, now
	return nil
}

// fresh makes sure that the index is loaded and not stale.
func (e *earlyEnds) fresh(ctx context.Context, from store.Revocations, now time.Time) error {
	e.mu.RLock()
	ok := e.loaded && now.Sub(e.synced) < staleAfter
	e.mu.RUnlock()
	if ok {
		return nil
	}
	return e.sync(ctx, from, now)
}

// endedSession reports whether a session that began at begun was ended early.
func (e *earlyEnds) endedSession(s store.Session, begun time.Time) bool {
	return e.Has(early.Session, s.ID.String()) ||
		e.HasBefore(early.Client, s.Client, begun) || e.HasBefore(early.Subject, s.Subject, begun)
}

// add records r durably and applies it here at once; the other nodes see it in
// the feed.
func (is *Issuer) add(ctx context.Context, r store.Revocation) error {
	if err := is.cfg.Engine.Revocations().Add(ctx, r); err != nil {
		return err
	}
	is.early.mu.Lock()
	defer is.early.mu.Unlock()
	select {
	case is.early.poke <- struct{}{}:
	default:
	}
	_ = is.early.apply([]store.Revocation{r}, is.cfg.Now()) // it is recorded; whoever relies on an index that is full is told
	return nil
}

// watch keeps the index fresh until ctx ends. A store that fails is asked again
// at the next turn; Ready and the callers of fresh tell.
func (is *Issuer) watch(ctx context.Context) {
	tick := time.NewTicker(pollEach)
	defer tick.Stop()
	failing := false
	for ctx.Err() == nil {
		err := is.early.sync(ctx, is.cfg.Engine.Revocations(), is.cfg.Now())
		if err != nil && !failing && ctx.Err() == nil {
			is.cfg.Log.LogAttrs(ctx, levelError, "the store's revocations cannot be read", reasonOf(err))
		}
		failing = err != nil
		select {
		case <-ctx.Done():
		case <-tick.C:
		case <-is.early.poke:
		}
	}
}
