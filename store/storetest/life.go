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
		{name: "a clock set back brings nothing back", check: clockSetBack},
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

func clockSetBack(s *subject) {
	begin := s.now()
	one, m := s.created(time.Hour), s.mark("m", time.Hour)
	later := s.created(4 * time.Hour)
	s.wantFirst(m, true)
	r := s.revocation("r", time.Hour)
	s.must(s.Revocations().Add(s.Context(), r))
	fresh := s.session(time.Hour)
	s.clock.set(one.ID.Bucket().Add(store.RetireDelay))
	s.retire(s.now().Add(-store.RetireDelay))
	s.clock.set(begin)
	_, err := s.Sessions().Load(s.Context(), one.ID)
	s.want("Load", err, store.ErrNotFound)
	s.want("Create again", s.Sessions().Create(s.Context(), one), store.ErrEnded)
	s.want("Create beside it", s.Sessions().Create(s.Context(), fresh), store.ErrEnded)
	s.want("Replace", s.rotate(one, 1), store.ErrEnded)
	s.want("Add", s.Revocations().Add(s.Context(), r), store.ErrEnded)
	_, err = s.Marks().First(s.Context(), m)
	s.want("First", err, store.ErrEnded)
	s.must(s.rotate(later, 1))
}

func closedSays(s *subject) {
	other := newSubject(s.TB, s.open)
	one := other.created(time.Hour)
	ended, watching := make(chan error, 1), make(chan struct{}, 1)
	other.must(other.Registry().Put(other.Context(), "k", []byte("v"), 0))
	go func() {
		ended <- other.Registry().Watch(other.Context(), "", func(store.Entry) { watching <- struct{}{} })
	}()
	<-watching
	other.must(other.Close())
	s.want("Watch", <-ended, store.ErrClosed)
	_, err := other.Sessions().Load(other.Context(), one.ID)
	s.want("Load", err, store.ErrClosed)
	s.want("Replace", other.rotate(one, 1), store.ErrClosed)
	_, err = other.Retire(other.Context(), other.now())
	s.want("Retire", err, store.ErrClosed)
	s.must(other.Close())
}

// likeModel runs random calls against the engine and a picture of it in plain
// maps: nothing that is live is lost, nothing that is over is seen.
func likeModel(s *subject) {
	rapid.Check(s.TB, func(t *rapid.T) {
		tb := &drawn{TB: s.TB, t: t}
		defer tb.end()
		m := &model{subject: newSubject(tb, s.open), t: t, sessions: map[store.ID]store.Session{}}
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
	t        *rapid.T
	cleanups []func()
}

func (d *drawn) Errorf(format string, args ...any) { d.t.Errorf(format, args...) }
func (d *drawn) Fatalf(format string, args ...any) { d.t.Fatalf(format, args...) }
func (d *drawn) Fatal(args ...any)                 { d.t.Fatal(args...) }
func (d *drawn) Cleanup(f func())                  { d.cleanups = append(d.cleanups, f) }

func (d *drawn) end() {
	for _, f := range slices.Backward(d.cleanups) {
		f()
	}
}

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
