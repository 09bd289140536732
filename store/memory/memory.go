// Package memory is the engine for tests: everything in one process's memory,
// under one lock, gone at Close. It keeps the whole contract of package store
// but durability, and is the plain picture of it that the suite compares others
// with.
package memory

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/longcase/longcase/store"
)

// Config is what an Engine needs; the zero Config is good.
type Config struct {
	Now      func() time.Time // the store's clock; default time.Now
	MaxMarks int              // live marks at most; default 4,000,000
}

// Engine is one node on a store of maps. It implements store.Movable.
type Engine struct {
	*state
	now    func() time.Time
	closed chan struct{} // under mu
}

// state is the store that nodes share.
type state struct {
	maxMarks int
	epoch    string
	watchers store.Watchers

	mu          sync.Mutex
	readOnly    string    // why; empty: the store takes writes
	retired     time.Time // buckets that end then or before are gone for good
	sessions    map[store.ID]store.Session
	documents   map[documentKey]store.Document
	marks       map[time.Time]map[store.ID]struct{} // by bucket
	revocations []revocation
	sequence    uint64
	entries     map[string]store.Entry
}

// New returns an empty engine.
func New(cfg Config) *Engine {
	if cfg.MaxMarks <= 0 {
		cfg.MaxMarks = 4_000_000
	}
	return newNode(cfg.Now, &state{
		maxMarks:  cfg.MaxMarks,
		epoch:     rand.Text(),
		sessions:  map[store.ID]store.Session{},
		documents: map[documentKey]store.Document{},
		marks:     map[time.Time]map[store.ID]struct{}{},
		entries:   map[string]store.Entry{},
	})
}

// Again returns one more node on the same store, with a clock of its own (nil:
// time.Now). Each is closed for itself.
func (e *Engine) Again(now func() time.Time) *Engine { return newNode(now, e.state) }

func newNode(now func() time.Time, s *state) *Engine {
	if now == nil {
		now = time.Now
	}
	return &Engine{state: s, now: now, closed: make(chan struct{})}
}

// Sessions implements store.Engine.
func (e *Engine) Sessions() store.Sessions { return sessions{e} }

// Documents implements store.Engine.
func (e *Engine) Documents() store.Documents { return documents{e} }

// Marks implements store.Engine.
func (e *Engine) Marks() store.Marks { return marks{e} }

// Revocations implements store.Engine.
func (e *Engine) Revocations() store.Revocations { return revocations{e} }

// Registry implements store.Engine.
func (e *Engine) Registry() store.Registry { return registry{e} }

// Clock implements store.Engine.
func (e *Engine) Clock(ctx context.Context) (time.Time, error) {
	now, err := e.begin(ctx)
	if err == nil {
		e.mu.Unlock()
	}
	return now, err
}

// Close implements store.Engine. Closing twice is once.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.isClosed() {
		close(e.closed)
	}
	return nil
}

func (e *Engine) isClosed() bool {
	select {
	case <-e.closed:
		return true
	default:
		return false
	}
}

// begin takes the lock and the time for one call.
func (e *Engine) begin(ctx context.Context) (now time.Time, err error) {
	if err := ctx.Err(); err != nil {
		return time.Time{}, err
	}
	e.mu.Lock()
	if e.isClosed() {
		e.mu.Unlock()
		return time.Time{}, store.ErrClosed
	}
	return e.now(), nil
}

// beginWrite is begin for a call that changes something.
func (e *Engine) beginWrite(ctx context.Context) (now time.Time, err error) {
	now, err = e.begin(ctx)
	if err == nil && e.readOnly != "" {
		e.mu.Unlock()
		return now, fmt.Errorf("%s: %w", e.readOnly, store.ErrReadOnly)
	}
	return now, err
}

// writable refuses a bucket that has been dropped: the clock was set back.
func (e *Engine) writable(id store.ID) error {
	if !id.Bucket().After(e.retired) {
		return fmt.Errorf("bucket %s was retired: %w", id.Bucket().Format(time.RFC3339), store.ErrEnded)
	}
	return nil
}

// Retire implements store.Engine.
func (e *Engine) Retire(ctx context.Context, before time.Time) (int, error) {
	now, err := e.begin(ctx)
	if err != nil {
		return 0, err
	}
	defer e.mu.Unlock()
	if before.After(now) {
		before = now
	}
	if before.After(e.retired) {
		e.retired = before
	}
	dropped := map[bucket]struct{}{}
	e.dropKeyed(dropped)
	e.dropRevocations(dropped)
	return len(dropped), nil
}

// bucket names what Retire drops at once.
type bucket struct {
	kind string
	end  time.Time
}

func (e *Engine) dropKeyed(dropped map[bucket]struct{}) {
	over := func(kind string, id store.ID) bool {
		if id.Bucket().After(e.retired) {
			return false
		}
		dropped[bucket{kind, id.Bucket()}] = struct{}{}
		return true
	}
	for id := range e.sessions {
		if over("session", id) {
			delete(e.sessions, id)
		}
	}
	for key := range e.documents {
		if over("document", key.id) {
			delete(e.documents, key)
		}
	}
	for end := range e.marks {
		if !end.After(e.retired) {
			dropped[bucket{"mark", end}] = struct{}{}
			delete(e.marks, end)
		}
	}
}

func (e *Engine) dropRevocations(dropped map[bucket]struct{}) {
	var kept []revocation
	for _, r := range e.revocations {
		if r.bucket.After(e.retired) {
			kept = append(kept, r)
		} else {
			dropped[bucket{"revocation", r.bucket}] = struct{}{}
		}
	}
	e.revocations = kept
}

// wholeSeconds cuts off the fraction, as every engine does.
func wholeSeconds(t time.Time) time.Time { return time.Unix(t.Unix(), 0).UTC() }
