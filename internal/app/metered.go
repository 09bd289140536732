package app

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/longcase/longcase/internal/telemetry"
	"github.com/longcase/longcase/store"
)

// outcomes name the errors of a store for the metrics, in the order in which
// they are looked for. It is read only.
var outcomes = []struct {
	err  error
	name string
}{
	{store.ErrNotFound, "not_found"}, {store.ErrConflict, "conflict"}, {store.ErrEnded, "ended"},
	{store.ErrUnavailable, "unavailable"}, {store.ErrUnknown, "unknown"}, {store.ErrReadOnly, "read_only"},
	{store.ErrFull, "full"}, {store.ErrTooLate, "too_late"}, {store.ErrTooLarge, "too_large"}, {store.ErrSchema, "schema"},
	{store.ErrClosed, "closed"}, {context.Canceled, "canceled"}, {context.DeadlineExceeded, "canceled"},
}

// outcomeOf names err; empty: there is none.
func outcomeOf(err error) string {
	if err == nil {
		return ""
	}
	for _, o := range outcomes {
		if errors.Is(err, o.err) {
			return o.name
		}
	}
	return "error"
}

// reach is whether the store can be reached, told once per change.
type reach struct {
	log  *slog.Logger
	tell func(up bool)

	down atomic.Bool
	mu   sync.Mutex
	from time.Time // of the state; zero: not known yet
	said time.Time // when the log was last told that it is down
	mute bool      // this one was not told: they come too often
}

const reachTold = 10 * time.Second // between two lines that it is down

// heard takes over what the outcome of a call says. A call that was given up or
// whose outcome is unknown says nothing.
func (r *reach) heard(outcome string, err error) {
	switch outcome {
	case "canceled", "unknown", "closed":
		return
	}
	switch down := outcome == "unavailable"; {
	case down != r.down.Load():
		r.turn(down, err)
	case down:
		r.stays(err)
	}
}

// stays tells of a store that was lost too soon after it was told of to be told
// again, and did not come back.
func (r *reach) stays(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := time.Now(); r.mute && r.down.Load() && now.Sub(r.said) >= reachTold {
		r.lost(now, err)
	}
}

func (r *reach) lost(now time.Time, err error) {
	r.said, r.mute = now, false
	r.log.Error("the store cannot be reached; what needs it is refused until it can", "err", err)
}

func (r *reach) turn(down bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if down == r.down.Load() {
		return
	}
	r.down.Store(down)
	r.tell(!down)
	now := time.Now()
	switch {
	case down && now.Sub(r.said) < reachTold:
		r.mute = true
	case down:
		r.lost(now, err)
	case !r.mute:
		r.log.Info("the store can be reached again", "after", now.Sub(r.from).Round(time.Millisecond))
	}
	r.from = now
}

// meter counts the calls of one engine.
type meter struct {
	engine  string
	metrics *telemetry.Metrics
	reach   *reach
}

func (m *meter) done(method string, began time.Time, err error) {
	outcome := outcomeOf(err)
	m.metrics.StoreCall(m.engine, method, outcome, time.Since(began))
	m.reach.heard(outcome, err)
}

// metered is an engine whose calls are counted.
type metered struct {
	store.Movable
	m           *meter
	sessions    meteredSessions
	documents   meteredDocuments
	marks       meteredMarks
	revocations meteredRevocations
	registry    meteredRegistry
}

func newMetered(e store.Movable, m *meter) *metered {
	return &metered{Movable: e, m: m, sessions: meteredSessions{e.Sessions(), m}, documents: meteredDocuments{e.Documents(), m},
		marks: meteredMarks{e.Marks(), m}, revocations: meteredRevocations{e.Revocations(), m}, registry: meteredRegistry{e.Registry(), m}}
}

func (e *metered) Sessions() store.Sessions       { return &e.sessions }
func (e *metered) Documents() store.Documents     { return &e.documents }
func (e *metered) Marks() store.Marks             { return &e.marks }
func (e *metered) Revocations() store.Revocations { return &e.revocations }
func (e *metered) Registry() store.Registry       { return &e.registry }

func (e *metered) Clock(ctx context.Context) (now time.Time, err error) {
	defer func(began time.Time) { e.m.done("clock", began, err) }(time.Now())
	return e.Movable.Clock(ctx)
}

func (e *metered) Retire(ctx context.Context, before time.Time) (n int, err error) {
	defer func(began time.Time) { e.m.done("retire", began, err) }(time.Now())
	return e.Movable.Retire(ctx, before)
}

type meteredSessions struct {
	store.Sessions
	m *meter
}

func (s *meteredSessions) Load(ctx context.Context, id store.ID) (found store.Session, err error) {
	defer func(began time.Time) { s.m.done("session_load", began, err) }(time.Now())
	return s.Sessions.Load(ctx, id)
}

func (s *meteredSessions) Create(ctx context.Context, one store.Session) (err error) {
	defer func(began time.Time) { s.m.done("session_create", began, err) }(time.Now())
	return s.Sessions.Create(ctx, one)
}

func (s *meteredSessions) Replace(ctx context.Context, one store.Session, old store.Generation) (err error) {
	defer func(began time.Time) { s.m.done("session_replace", began, err) }(time.Now())
	return s.Sessions.Replace(ctx, one, old)
}

func (s *meteredSessions) Revoke(ctx context.Context, id store.ID) (err error) {
	defer func(began time.Time) { s.m.done("session_revoke", began, err) }(time.Now())
	return s.Sessions.Revoke(ctx, id)
}

func (s *meteredSessions) List(ctx context.Context, after store.ID, limit int) (all []store.Session, err error) {
	defer func(began time.Time) { s.m.done("session_list", began, err) }(time.Now())
	return s.Sessions.List(ctx, after, limit)
}

type meteredDocuments struct {
	store.Documents
	m *meter
}

func (d *meteredDocuments) Put(ctx context.Context, one store.Document) (err error) {
	defer func(began time.Time) { d.m.done("document_put", began, err) }(time.Now())
	return d.Documents.Put(ctx, one)
}

func (d *meteredDocuments) Get(ctx context.Context, kind store.DocumentKind, id store.ID) (found store.Document, err error) {
	defer func(began time.Time) { d.m.done("document_get", began, err) }(time.Now())
	return d.Documents.Get(ctx, kind, id)
}

func (d *meteredDocuments) Replace(ctx context.Context, one store.Document, old uint64) (err error) {
	defer func(began time.Time) { d.m.done("document_replace", began, err) }(time.Now())
	return d.Documents.Replace(ctx, one, old)
}

type meteredMarks struct {
	store.Marks
	m *meter
}

func (k *meteredMarks) First(ctx context.Context, one store.Mark) (first bool, err error) {
	defer func(began time.Time) { k.m.done("mark_first", began, err) }(time.Now())
	return k.Marks.First(ctx, one)
}

type meteredRevocations struct {
	store.Revocations
	m *meter
}

func (v *meteredRevocations) Add(ctx context.Context, one store.Revocation) (err error) {
	defer func(began time.Time) { v.m.done("revocation_add", began, err) }(time.Now())
	return v.Revocations.Add(ctx, one)
}

func (v *meteredRevocations) Since(ctx context.Context, c store.Cursor) (all []store.Revocation, next store.Cursor, err error) {
	defer func(began time.Time) { v.m.done("revocation_since", began, err) }(time.Now())
	return v.Revocations.Since(ctx, c)
}

type meteredRegistry struct {
	store.Registry
	m *meter
}

func (g *meteredRegistry) Get(ctx context.Context, key string) (found store.Entry, err error) {
	defer func(began time.Time) { g.m.done("registry_get", began, err) }(time.Now())
	return g.Registry.Get(ctx, key)
}

func (g *meteredRegistry) Put(ctx context.Context, key string, value []byte, old uint64) (err error) {
	defer func(began time.Time) { g.m.done("registry_put", began, err) }(time.Now())
	return g.Registry.Put(ctx, key, value, old)
}

func (g *meteredRegistry) List(ctx context.Context, prefix string) (all []store.Entry, err error) {
	defer func(began time.Time) { g.m.done("registry_list", began, err) }(time.Now())
	return g.Registry.List(ctx, prefix)
}
