package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/longcase/longcase/store"
)

func lifeFacts() []fact {
	return []fact{
		{name: "retiring drops what is over and nothing else", check: retireExactly},
		{name: "retiring before a time in the future counts as now", check: retireFuture},
		{name: "a clock set back brings nothing back and lets no late write in", check: clockSetBack},
		{name: "nothing that is written in its last second stays for ever", check: nothingForEver},
		{name: "a call whose context is over does nothing", check: cancelled},
		{name: "a closed engine says so", check: closedSays},
		{name: "any sequence of calls does what the model does", check: likeModel},
	}
}

func retireExactly(s *subject) {
	lives := []time.Duration{time.Minute, 50 * time.Minute, 3 * time.Hour, 40 * time.Hour, 30 * 24 * time.Hour}
	var sessions []store.Session
	var docs []store.Document
	for _, life := range lives {
		sessions = append(sessions, s.created(life))
		doc := s.document(store.Code, life)
		s.must(s.Documents().Put(s.Context(), doc))
		doc.Version = 1
		docs = append(docs, doc)
		s.add(life.String(), life)
	}
	s.wantFirst(s.mark("m", store.MaxMark), true)
	for i, over := range sessions {
		s.clock.set(over.ID.Bucket().Add(-time.Second))
		s.retire(s.now())
		s.clock.set(over.ID.Bucket())
		s.retire(s.now())
		if n := s.retire(s.now()); n != 0 {
			s.Errorf("retiring twice dropped %d buckets the second time", n)
		}
		for j := range i + 1 {
			_, err := s.Sessions().Load(s.Context(), sessions[j].ID)
			s.want("Load of what was retired", err, store.ErrNotFound)
		}
		for j := i + 1; j < len(lives); j++ {
			s.wantSession(sessions[j])
			s.wantDocument(docs[j])
			if all, _ := s.follow(""); !slices.Contains(all, lives[j].String()) {
				s.Errorf("the feed has %q; %v is missing", all, lives[j])
			}
		}
	}
}

func (s *subject) retire(before time.Time) int {
	s.Helper()
	n, err := s.Retire(s.Context(), before)
	s.must(err)
	return n
}

func retireFuture(s *subject) {
	one := s.created(time.Hour)
	m := s.mark("m", time.Minute)
	s.wantFirst(m, true)
	s.retire(s.now().Add(100 * 365 * 24 * time.Hour))
	s.wantSession(one)
	s.wantFirst(m, false)
	s.must(s.rotate(one, 1))
	s.must(s.Sessions().Create(s.Context(), s.session(time.Minute)))
}

// clockSetBack retires with a clock that is right and comes back with one that
// is late: what was dropped stays so, whoever writes.
func clockSetBack(s *subject) {
	begin := s.now()
	one, m := s.created(time.Hour), s.mark("m", time.Hour)
	doc := s.document(store.Code, time.Hour)
	s.must(s.Documents().Put(s.Context(), doc))
	later := s.created(4 * time.Hour)
	s.wantFirst(m, true)
	r := s.revocation("r", time.Hour)
	s.must(s.Revocations().Add(s.Context(), r))
	s.clock.set(one.ID.Bucket().Add(store.RetireDelay))
	s.retire(s.now().Add(-store.RetireDelay))
	s.clock.set(begin)
	_, err := s.Sessions().Load(s.Context(), one.ID)
	s.want("Load", err, store.ErrNotFound)
	_, err = s.Documents().Get(s.Context(), doc.Kind, doc.ID)
	s.want("Get", err, store.ErrNotFound)
	for name, err := range s.lateWrites(one, doc, m, r) {
		s.want(name, err, store.ErrEnded)
	}
	s.want("Revoke", s.Sessions().Revoke(s.Context(), one.ID), store.ErrNotFound)
	for _, m := range s.export("") {
		if m.Session != nil && m.Session.ID != later.ID || m.Document != nil || m.Mark != nil || m.Revocation != nil {
			s.Errorf("%s was retired and is exported", m)
		}
	}
	s.must(s.rotate(later, 1))
}

// lateWrites tries every write into buckets that were dropped.
func (s *subject) lateWrites(one store.Session, doc store.Document, m store.Mark, r store.Revocation) map[string]error {
	_, first := s.Marks().First(s.Context(), m)
	_, other := s.Marks().First(s.Context(), s.mark("other", time.Hour))
	id := m.ID()
	late := map[string]error{
		"Create again":           s.Sessions().Create(s.Context(), one),
		"Create beside it":       s.Sessions().Create(s.Context(), s.session(time.Hour)),
		"Replace":                s.rotate(one, 1),
		"Put again":              s.Documents().Put(s.Context(), doc),
		"Put beside it":          s.Documents().Put(s.Context(), s.document(store.Login, time.Hour)),
		"Replace a document":     s.Documents().Replace(s.Context(), doc, 1),
		"First again":            first,
		"First beside it":        other,
		"Add":                    s.Revocations().Add(s.Context(), r),
		"Import of a session":    s.movable().Import(s.Context(), store.Record{Session: &one}),
		"Import of a document":   s.movable().Import(s.Context(), store.Record{Document: &doc}),
		"Import of a mark":       s.movable().Import(s.Context(), store.Record{Mark: &id}),
		"Import of a revocation": s.movable().Import(s.Context(), store.Record{Revocation: &r}),
	}
	return late
}

// nothingForEver writes everything as late as it may be written: nothing of it
// may outlive its bucket.
func nothingForEver(s *subject) {
	one, revoked := s.created(time.Hour), s.created(time.Hour)
	doc, m := s.document(store.Code, time.Hour), s.mark("m", time.Hour)
	s.must(s.Documents().Put(s.Context(), doc))
	s.clock.set(one.End.Add(-time.Second))
	for g := range store.Generation(3) {
		s.must(s.rotate(one, g+1))
	}
	s.must(s.Sessions().Revoke(s.Context(), revoked.ID))
	s.must(s.Documents().Replace(s.Context(), doc, 1))
	s.wantFirst(m, true)
	s.add("r", time.Second)
	late := s.session(time.Second)
	s.imported(store.Record{Session: &late})
	s.clock.set(one.End)
	s.want("Replace at the end", s.rotate(one, 4), store.ErrEnded)
	s.want("Replace of a document at the end", s.Documents().Replace(s.Context(), doc, 2), store.ErrEnded)
	s.want("Revoke at the end", s.Sessions().Revoke(s.Context(), one.ID), store.ErrNotFound)
	if s.traits.Forever != nil {
		for _, row := range s.traits.Forever(s.TB, s.Engine) {
			s.Errorf("%s stays for ever", row)
		}
	}
	s.clock.set(one.ID.Bucket().Add(store.RetireDelay))
	s.retire(s.now().Add(-store.RetireDelay))
	s.advance(100 * 365 * 24 * time.Hour)
	if n := s.retire(s.now()); n != 0 {
		s.Errorf("%d buckets outlived the one that everything lay in", n)
	}
}

// cancelled is every method with a context that is over.
func cancelled(s *subject) {
	one, doc := s.created(time.Hour), s.document(store.Code, time.Minute)
	s.must(s.Documents().Put(s.Context(), doc))
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	for name, err := range s.everyCall(ctx, one, doc) {
		s.want(name, err, context.Canceled)
	}
	doc.Version = 1
	s.wantSession(one)
	s.wantDocument(doc)
	s.wantEntry("k", 0, nil)
	s.wantFirst(s.mark("m", time.Minute), true)
	if got, _ := s.follow(""); len(got) != 0 {
		s.Errorf("the feed has %q, want nothing", got)
	}
	if all := s.export(""); len(all) != 3 {
		s.Errorf("the store has %v, want a session, a document and a mark", all)
	}
}

// everyCall calls each method once.
func (s *subject) everyCall(ctx context.Context, one store.Session, doc store.Document) map[string]error {
	all := map[string]error{}
	_, all["Load"] = s.Sessions().Load(ctx, one.ID)
	_, all["List of sessions"] = s.Sessions().List(ctx, store.ID{}, 1)
	all["Create"] = s.Sessions().Create(ctx, s.session(time.Hour))
	next := one
	next.Generation = 2
	all["Replace"] = s.Sessions().Replace(ctx, next, 1)
	all["Revoke"] = s.Sessions().Revoke(ctx, one.ID)
	all["Put"] = s.Documents().Put(ctx, s.document(store.Code, time.Minute))
	_, all["Get"] = s.Documents().Get(ctx, doc.Kind, doc.ID)
	all["Replace of a document"] = s.Documents().Replace(ctx, doc, 1)
	_, all["First"] = s.Marks().First(ctx, s.mark("m", time.Minute))
	all["Add"] = s.Revocations().Add(ctx, s.revocation("r", time.Hour))
	_, _, all["Since"] = s.Revocations().Since(ctx, "")
	_, all["Get of an entry"] = s.Registry().Get(ctx, "k")
	all["Put of an entry"] = s.Registry().Put(ctx, "k", []byte("v"), 0)
	_, all["List of entries"] = s.Registry().List(ctx, "")
	all["Watch"] = s.Registry().Watch(ctx, "", func(store.Entry) {})
	_, all["Clock"] = s.Clock(ctx)
	_, all["Retire"] = s.Retire(ctx, s.now())
	other := s.session(time.Hour)
	all["Export"] = s.movable().Export(ctx, "", func(store.Record, store.Place) error { return nil })
	all["Import"] = s.movable().Import(ctx, store.Record{Session: &other})
	all["SetReadOnly"] = s.movable().SetReadOnly(ctx, "never")
	_, all["ReadOnly"] = s.movable().ReadOnly(ctx)
	return all
}

func closedSays(s *subject) {
	other := newSubject(s.TB, s.open, s.traits)
	one := other.created(time.Hour)
	ended, watching := make(chan error, 1), make(chan struct{}, 1)
	other.must(other.Registry().Put(other.Context(), "k", []byte("v"), 0))
	go func() {
		ended <- other.Registry().Watch(other.Context(), "", func(store.Entry) { watching <- struct{}{} })
	}()
	<-watching
	other.must(other.Close())
	s.want("Watch", <-ended, store.ErrClosed)
	for name, err := range other.everyCall(other.Context(), one, other.document(store.Code, time.Minute)) {
		s.want(name, err, store.ErrClosed)
	}
	s.must(other.Close())
}

// likeModel runs random calls against the engine and a picture of it in plain
// maps: nothing that is live is lost, nothing that is over is seen. The runs
// follow one another on one engine, each on a day on which all before is over.
func likeModel(s *subject) {
	const day = 24 * time.Hour
	rapid.Check(s.TB, func(t *rapid.T) {
		s.clock.set(s.now().Truncate(day).Add(day + 10*time.Hour + 67*time.Second))
		own := *s
		own.TB = &drawn{TB: s.TB, t: t}
		m := &model{subject: &own, t: t, sessions: map[store.ID]store.Session{}}
		t.Repeat(map[string]func(*rapid.T){
			"":        func(*rapid.T) { m.compare() },
			"create":  func(t *rapid.T) { m.create(t) },
			"rotate":  func(t *rapid.T) { m.rotate(t) },
			"revoke":  func(t *rapid.T) { m.revoke(t) },
			"advance": func(t *rapid.T) { m.advance(drawTime(t, "advance", 2*time.Hour)) },
			"retire":  func(t *rapid.T) { m.retire(m.now().Add(-drawTime(t, "behind", time.Hour))) },
		})
	})
}

// drawn is a testing.TB whose failures belong to one run of rapid.
type drawn struct {
	testing.TB
	t *rapid.T
}

func (d *drawn) Errorf(format string, args ...any) { d.t.Errorf(format, args...) }
func (d *drawn) Fatalf(format string, args ...any) { d.t.Fatalf(format, args...) }
func (d *drawn) Fatal(args ...any)                 { d.t.Fatal(args...) }

func drawTime(t *rapid.T, name string, most time.Duration) time.Duration {
	return time.Duration(rapid.Int64Range(0, int64(most/time.Second)).Draw(t, name)) * time.Second
}

type model struct {
	*subject
	t        *rapid.T
	sessions map[store.ID]store.Session
	order    []store.ID
}

func (m *model) create(t *rapid.T) {
	one := m.session(time.Second + drawTime(t, "life", 5*time.Hour))
	m.must(m.Sessions().Create(m.Context(), one))
	m.sessions[one.ID] = one
	m.order = append(m.order, one.ID)
}

func (m *model) draw(t *rapid.T) store.Session {
	if len(m.order) == 0 {
		m.create(t)
	}
	return m.sessions[rapid.SampledFrom(m.order).Draw(t, "session")]
}

func (m *model) rotate(t *rapid.T) {
	one := m.draw(t)
	old := store.Generation(rapid.Uint64Range(0, uint64(one.Generation)+1).Draw(t, "old"))
	next := one
	next.Generation, next.Data = old+1, []byte(fmt.Sprint("rotated from ", old))
	var want error
	switch {
	case !one.End.After(m.now()):
		want = store.ErrEnded
	case one.Ended || old != one.Generation:
		want = store.ErrConflict
	default:
		m.sessions[one.ID] = next
	}
	m.want("Replace", m.Sessions().Replace(m.Context(), next, old), want)
}

func (m *model) revoke(t *rapid.T) {
	one := m.draw(t)
	var want error
	if one.End.After(m.now()) {
		one.Ended = true
		m.sessions[one.ID] = one
	} else {
		want = store.ErrNotFound
	}
	m.want("Revoke", m.Sessions().Revoke(m.Context(), one.ID), want)
}

func (m *model) compare() {
	live := 0
	for id, want := range m.sessions {
		got, err := m.Sessions().Load(m.Context(), id)
		switch over := !want.End.After(m.now()); {
		case over && !errors.Is(err, store.ErrNotFound):
			m.Errorf("Load of what is over = %v, want ErrNotFound", err)
		case !over && (err != nil || !sameSession(got, want)):
			m.Errorf("Load = %+v, %v; want %+v", got, err, want)
		case !over:
			live++
		}
	}
	all, err := m.Sessions().List(context.Background(), store.ID{}, len(m.sessions)+1)
	m.must(err)
	if len(all) != live {
		m.Errorf("List has %d sessions, want %d", len(all), live)
	}
}
