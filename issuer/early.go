package issuer

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/token"
)

// How the early ends of a store are followed.
const (
	pollEach   = 200 * time.Millisecond
	staleAfter = 10 * time.Second // older than this is loaded anew before it is relied on
	sweepEach  = time.Minute      // how often what is over is forgotten
)

var errNotLoaded = errors.New("issuer: the early ends are not loaded yet")

// early is the live revocations of the store, in memory: bounded by what the
// store holds. The zero value is not usable; see newEarly.
type early struct {
	mu      sync.RWMutex
	names   map[named]time.Time // tokens, sessions and keys, by when the entry is over
	befores map[named]before    // clients and subjects
	cursor  store.Cursor
	loaded  bool
	synced  time.Time
	swept   time.Time

	poke    chan struct{} // holds one word: look now
	changed chan struct{} // closed and replaced at each change
}

type named struct {
	kind  store.RevocationKind
	value string
}

// before ends what was issued before an instant.
type before struct {
	instant time.Time
	end     time.Time
}

func newEarly() *early {
	return &early{
		names:   map[named]time.Time{},
		befores: map[named]before{},
		poke:    make(chan struct{}, 1),
		changed: make(chan struct{}),
	}
}

func (e *early) ready() error {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if !e.loaded {
		return errNotLoaded
	}
	return nil
}

// apply remembers entries and wakes the followers if one of them is new: a
// store may repeat itself.
func (e *early) apply(entries []store.Revocation) {
	news := false
	for _, r := range entries {
		news = e.remember(r) || news
	}
	if news {
		close(e.changed)
		e.changed = make(chan struct{})
	}
}

// remember reports whether r says something new. The earlier of two instants of
// one client or subject is contained in the later.
func (e *early) remember(r store.Revocation) bool {
	name := named{r.Kind, r.Value}
	switch r.Kind {
	case store.RevokedClient, store.RevokedSubject:
		known := e.befores[name]
		e.befores[name] = before{later(known.instant, r.Before), later(known.end, r.End)}
		return e.befores[name] != known
	default:
		known := e.names[name]
		e.names[name] = later(known, r.End)
		return e.names[name] != known
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// change is closed at the next change.
func (e *early) change() <-chan struct{} {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.changed
}

// sync reads what was added to the store since the last time.
func (e *early) sync(ctx context.Context, from store.Revocations, now time.Time) error {
	e.mu.RLock()
	cursor := e.cursor
	e.mu.RUnlock()
	entries, next, err := from.Since(ctx, cursor)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.apply(entries)
	e.cursor, e.loaded, e.synced = next, true, now
	e.sweep(now)
	return nil
}

// sweep forgets what is over.
func (e *early) sweep(now time.Time) {
	if now.Sub(e.swept) < sweepEach {
		return
	}
	e.swept = now
	for name, end := range e.names {
		if !now.Before(end) {
			delete(e.names, name)
		}
	}
	for name, b := range e.befores {
		if !now.Before(b.end) {
			delete(e.befores, name)
		}
	}
}

// fresh makes sure that the index is loaded and not stale.
func (e *early) fresh(ctx context.Context, from store.Revocations, now time.Time) error {
	e.mu.RLock()
	ok := e.loaded && now.Sub(e.synced) < staleAfter
	e.mu.RUnlock()
	if ok {
		return nil
	}
	return e.sync(ctx, from, now)
}

// endedToken reports whether an access token with claims c, signed by kid, was
// ended early.
func (e *early) endedToken(kid string, c token.Claims, now time.Time) bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.named(store.RevokedKey, kid, now) || e.named(store.RevokedToken, c.ID, now) ||
		c.Session != "" && e.named(store.RevokedSession, c.Session, now) ||
		e.issuedBefore(store.RevokedClient, c.ClientID, c.IssuedAt, now) ||
		e.issuedBefore(store.RevokedSubject, c.Subject, c.IssuedAt, now)
}

// endedSession reports whether a session that began at begun was ended early.
func (e *early) endedSession(s store.Session, begun, now time.Time) bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.named(store.RevokedSession, s.ID.String(), now) ||
		e.issuedBefore(store.RevokedClient, s.Client, begun, now) ||
		e.issuedBefore(store.RevokedSubject, s.Subject, begun, now)
}

// holds reports whether the entry of kind and value is live at now.
func (e *early) holds(kind store.RevocationKind, value string, now time.Time) bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.named(kind, value, now)
}

func (e *early) named(kind store.RevocationKind, value string, now time.Time) bool {
	end, ok := e.names[named{kind, value}]
	return ok && now.Before(end)
}

func (e *early) issuedBefore(kind store.RevocationKind, value string, issued, now time.Time) bool {
	b, ok := e.befores[named{kind, value}]
	return ok && now.Before(b.end) && issued.Before(b.instant)
}

// add records r durably and applies it here at once; the other nodes see it in
// the feed.
func (is *Issuer) add(ctx context.Context, r store.Revocation) error {
	if err := is.cfg.Engine.Revocations().Add(ctx, r); err != nil {
		return err
	}
	is.early.mu.Lock()
	is.early.apply([]store.Revocation{r})
	is.early.mu.Unlock()
	select {
	case is.early.poke <- struct{}{}:
	default:
	}
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
