package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/longcase/longcase/store"
)

func movableFacts() []fact {
	return []fact{
		{name: "an export has every live record once, in one order", check: exportWhole},
		{name: "an export goes on behind every place", check: exportGoesOn},
		{name: "an export ends at an error and with its context", check: exportEnds},
		{name: "what is imported is what was exported and lives on", check: importLives},
		{name: "an import twice is once and overwrites nothing", check: importIdempotent},
		{name: "what is over is not imported", check: importEnded},
		{name: "an import keeps the bounds", check: importBounds},
		{name: "a read only store refuses every write and reads on", check: readOnlyRefuses},
		{name: "no write takes effect once the store is read only", check: readOnlyWaits},
		{name: "a read only store retires, and an export goes on", check: readOnlyRetires},
	}
}

func (s *subject) movable() store.Movable {
	s.Helper()
	m, ok := s.Engine.(store.Movable)
	if !ok {
		s.Fatalf("%T is not a store.Movable", s.Engine)
	}
	return m
}

// moved is one record of an export and the place behind it.
type moved struct {
	store.Record
	place store.Place
}

func sameRecord(a, b store.Record) bool {
	switch {
	case a.String() != b.String():
		return false
	case a.Session != nil:
		return a.Session.Equal(*b.Session)
	case a.Document != nil:
		return a.Document.Equal(*b.Document)
	case a.Revocation != nil:
		return a.Revocation.Equal(*b.Revocation)
	case a.Entry != nil:
		return a.Entry.Equal(*b.Entry)
	}
	return true
}

func (s *subject) export(after store.Place) (all []moved) {
	s.Helper()
	s.must(s.movable().Export(s.Context(), after, func(r store.Record, p store.Place) error {
		all = append(all, moved{r, p})
		return nil
	}))
	return all
}

func (s *subject) imported(r store.Record) {
	s.Helper()
	if err := s.movable().Import(s.Context(), r); err != nil {
		s.Fatalf("Import of %s: %v", r.String(), err)
	}
}

// filledLives are one of each class and one that is over when filled returns.
func filledLives() []time.Duration {
	return []time.Duration{time.Minute, 50 * time.Minute, 7 * time.Hour, 9 * 24 * time.Hour}
}

const filledAgo = 10 * time.Minute

// filled writes records of every kind, some that are over at the end of it, and
// returns those that are not.
func (s *subject) filled() []store.Record {
	s.Helper()
	var all []store.Record
	for i, life := range filledLives() {
		one := s.created(life)
		for g := range store.Generation(i) {
			s.must(s.rotate(one, g+1))
		}
		one.Generation = store.Generation(i + 1)
		doc := s.document(store.Code, life)
		login := doc
		login.Kind, login.Data = store.Login, nil
		s.must(s.Documents().Put(s.Context(), doc))
		s.must(s.Documents().Put(s.Context(), login))
		s.must(s.Documents().Replace(s.Context(), doc, 1))
		doc.Version, login.Version = 2, 1
		m := s.mark(life.String(), min(life, store.MaxMark))
		s.wantFirst(m, true)
		id := m.ID()
		r := s.revocation(life.String(), life)
		r.Before = s.now().Add(-time.Millisecond)
		s.must(s.Revocations().Add(s.Context(), r))
		if i > 0 {
			all = append(all, store.Record{Session: &one}, store.Record{Document: &doc}, store.Record{Document: &login},
				store.Record{Mark: &id}, store.Record{Revocation: &r})
		}
	}
	s.advance(filledAgo)
	return append(all, s.filledForGood()...)
}

// filledMark is the mark of filled that lies at id.
func (s *subject) filledMark(id store.ID) (m store.Mark) {
	s.Helper()
	for _, life := range filledLives() {
		m = s.mark(life.String(), min(life, store.MaxMark)-filledAgo)
		if m.ID() == id {
			return m
		}
	}
	s.Fatalf("no mark was made at %s", id)
	return m
}

// filledForGood writes a revoked session and entries, one of them removed.
func (s *subject) filledForGood() (all []store.Record) {
	s.Helper()
	revoked := s.created(12 * time.Hour)
	s.must(s.Sessions().Revoke(s.Context(), revoked.ID))
	revoked.Ended = true
	all = append(all, store.Record{Session: &revoked})
	for key, values := range map[string][][]byte{"ring": {[]byte("a"), []byte("b")}, "client/a": {{}}, "client/\xff": {[]byte("c"), nil}} {
		e := store.Entry{Key: key}
		for _, e.Value = range values {
			s.must(s.Registry().Put(s.Context(), key, e.Value, e.Version))
			e.Version++
		}
		all = append(all, store.Record{Entry: &e})
	}
	return all
}

// wantRecords compares an export with what should be in it.
func (s *subject) wantRecords(got []moved, want []store.Record) {
	s.Helper()
	seen := map[string]store.Record{}
	for _, m := range got {
		if _, twice := seen[m.String()]; twice && m.Revocation == nil {
			s.Errorf("%s is exported twice", m)
		}
		seen[m.String()] = m.Record
	}
	for _, r := range want {
		if found := seen[r.String()]; !sameRecord(found, r) {
			s.Errorf("exported %s, want %s", shown(found), shown(r))
		}
		delete(seen, r.String())
	}
	for name := range seen {
		s.Errorf("%s is exported and should not be", name)
	}
}

func shown(r store.Record) string {
	for _, field := range []any{r.Session, r.Document, r.Revocation, r.Entry} {
		if v := reflect.ValueOf(field); !v.IsNil() {
			return fmt.Sprintf("%s: %+v", r.String(), v.Elem())
		}
	}
	return r.String()
}

func exportWhole(s *subject) {
	if all := s.export(""); len(all) != 0 {
		s.Errorf("an empty store exports %v", all)
	}
	want := s.filled()
	s.wantRecords(s.export(""), want)
	s.must(s.movable().SetReadOnly(s.Context(), "moving"))
	first, second := s.export(""), s.export("")
	s.wantRecords(first, want)
	s.wantSame(second, first)
}

// wantSame compares two exports, order and places included.
func (s *subject) wantSame(got, want []moved) {
	s.Helper()
	if len(got) != len(want) {
		s.Errorf("exported %d records, want %d: %v, want %v", len(got), len(want), got, want)
		return
	}
	for i := range want {
		if got[i].place != want[i].place || !sameRecord(got[i].Record, want[i].Record) {
			s.Errorf("record %d is %s at %q, want %s at %q", i, got[i], got[i].place, want[i], want[i].place)
		}
	}
}

func exportGoesOn(s *subject) {
	s.filled()
	s.must(s.movable().SetReadOnly(s.Context(), "moving"))
	whole := s.export("")
	for i, m := range whole {
		s.wantSame(s.export(m.place), whole[i+1:])
	}
}

func exportEnds(s *subject) {
	s.filled()
	stop := errors.New("stop")
	visits := 0
	err := s.movable().Export(s.Context(), "", func(store.Record, store.Place) error {
		visits++
		return stop
	})
	s.want("Export whose visit failed", err, stop)
	ctx, cancel := context.WithCancel(s.Context())
	err = s.movable().Export(ctx, "", func(store.Record, store.Place) error {
		visits++
		cancel()
		return nil
	})
	s.want("Export whose context ended", err, context.Canceled)
	if visits != 2 {
		s.Errorf("%d visits, want one of each", visits)
	}
}

func importLives(s *subject) {
	want := s.filled()
	whole := s.export("")
	there, back := s.elsewhere(), s.elsewhere()
	for _, m := range whole {
		there.imported(m.Record)
	}
	for _, m := range there.export("") {
		back.imported(m.Record)
	}
	back.wantRecords(back.export(""), want)
	for _, r := range want {
		there.lives(r)
	}
}

// elsewhere is another empty store at the same time.
func (s *subject) elsewhere() *subject {
	s.Helper()
	o := newSubject(s.TB, s.open, s.traits)
	o.clock.set(s.now())
	return o
}

// lives uses an imported record as one does that was written here.
func (s *subject) lives(r store.Record) {
	s.Helper()
	switch {
	case r.Session != nil && r.Session.Ended:
		s.wantSession(*r.Session)
		s.want("Replace of an ended one", s.rotate(*r.Session, r.Session.Generation), store.ErrConflict)
	case r.Session != nil:
		s.wantSession(*r.Session)
		s.want("Replace of an older generation", s.rotate(*r.Session, r.Session.Generation-1), store.ErrConflict)
		s.must(s.rotate(*r.Session, r.Session.Generation))
	case r.Document != nil:
		s.wantDocument(*r.Document)
		s.must(s.Documents().Replace(s.Context(), *r.Document, r.Document.Version))
	case r.Mark != nil:
		s.wantFirst(s.filledMark(*r.Mark), false)
	case r.Revocation != nil:
		if got, _ := s.follow(""); !slices.Contains(got, r.Revocation.Value) {
			s.Errorf("the feed has %q, want %q", got, r.Revocation.Value)
		}
	case r.Entry != nil:
		s.wantEntry(r.Entry.Key, r.Entry.Version, r.Entry.Value)
		s.must(s.Registry().Put(s.Context(), r.Entry.Key, []byte("next"), r.Entry.Version))
	}
}

func importIdempotent(s *subject) {
	want := s.filled()
	whole := s.export("")
	there := s.elsewhere()
	for range 2 {
		for _, m := range whole {
			there.imported(m.Record)
			s.imported(m.Record) // where it came from it is there already
		}
	}
	there.wantRecords(there.export(""), want)
	s.wantRecords(s.export(""), want)
	for _, m := range whole {
		for _, r := range differing(m.Record) {
			s.want("Import of a different "+r.String(), s.movable().Import(s.Context(), r), store.ErrConflict)
		}
	}
	s.wantRecords(s.export(""), want)
}

// differing returns records in the place of r that are not r.
func differing(r store.Record) (all []store.Record) {
	switch {
	case r.Session != nil:
		gen, ended, data, end := *r.Session, *r.Session, *r.Session, *r.Session
		gen.Generation++
		ended.Ended = !ended.Ended
		data.Data = []byte("other")
		end.End = end.End.Add(-time.Second)
		for _, one := range []store.Session{gen, ended, data, end} {
			all = append(all, store.Record{Session: &one})
		}
	case r.Document != nil:
		version, data := *r.Document, *r.Document
		version.Version++
		data.Data = []byte("other")
		all = append(all, store.Record{Document: &version}, store.Record{Document: &data})
	case r.Entry != nil:
		version, value := *r.Entry, *r.Entry
		version.Version++
		value.Value = []byte("other")
		all = append(all, store.Record{Entry: &version}, store.Record{Entry: &value})
	}
	return all
}

func importEnded(s *subject) {
	s.filled()
	whole := s.export("")
	there := s.elsewhere()
	there.advance(365 * 24 * time.Hour)
	for _, m := range whole {
		there.imported(m.Record)
	}
	for _, m := range there.export("") {
		if m.Entry == nil {
			s.Errorf("%s is over and was imported", m)
		}
	}
	there.clock.set(s.now())
	for _, m := range there.export("") {
		if m.Entry == nil {
			s.Errorf("%s came back with the clock", m)
		}
	}
}

func importBounds(s *subject) {
	one, doc, r := s.session(time.Hour), s.document(store.Code, time.Hour), s.revocation("r", time.Hour)
	late, end := one, doc
	one.Data, doc.Data, r.Value = make([]byte, store.MaxData+1), make([]byte, store.MaxData+1), string(make([]byte, store.MaxText+1))
	late.End, end.End = late.ID.Bucket().Add(time.Second), end.ID.Bucket().Add(time.Second)
	entry := store.Entry{Key: "k", Version: 1, Value: make([]byte, store.MaxData+1)}
	for _, tt := range []struct {
		r    store.Record
		want error
	}{
		{store.Record{Session: &one}, store.ErrTooLarge},
		{store.Record{Document: &doc}, store.ErrTooLarge},
		{store.Record{Revocation: &r}, store.ErrTooLarge},
		{store.Record{Entry: &entry}, store.ErrTooLarge},
		{store.Record{Session: &late}, store.ErrTooLate},
		{store.Record{Document: &end}, store.ErrTooLate},
	} {
		s.want("Import of "+tt.r.String(), s.movable().Import(s.Context(), tt.r), tt.want)
	}
	if err := s.movable().Import(s.Context(), store.Record{}); err == nil {
		s.Errorf("an empty record was imported")
	}
	if all := s.export(""); len(all) != 0 {
		s.Errorf("the store exports %v, want nothing", all)
	}
}

func readOnlyRefuses(s *subject) {
	want := s.filled()
	one, doc, m := s.created(time.Hour), s.document(store.Code, time.Hour), s.mark("before", time.Hour)
	s.must(s.Documents().Put(s.Context(), doc))
	doc.Version = 1
	s.wantFirst(m, true)
	id := m.ID()
	want = append(want, store.Record{Session: &one}, store.Record{Document: &doc}, store.Record{Mark: &id})
	s.must(s.movable().SetReadOnly(s.Context(), "moving to another engine"))
	s.must(s.movable().SetReadOnly(s.Context(), "moving to another engine")) // twice is once
	for name, err := range s.everyWrite(one, doc) {
		s.want(name, err, store.ErrReadOnly)
	}
	s.readsGoOn(one, doc)
	s.wantRecords(s.export(""), want)
	s.must(s.movable().SetReadOnly(s.Context(), ""))
	if reason, err := s.movable().ReadOnly(s.Context()); err != nil || reason != "" {
		s.Errorf("ReadOnly = %q, %v; want none", reason, err)
	}
	for name, err := range s.everyWrite(one, doc) {
		s.want(name, err, nil)
	}
}

// everyWrite tries each call that writes; of one and doc it is the first change.
func (s *subject) everyWrite(one store.Session, doc store.Document) map[string]error {
	_, first := s.Marks().First(s.Context(), s.mark("after", time.Hour))
	other := s.session(time.Hour)
	return map[string]error{
		"First":             first,
		"Replace":           s.rotate(one, 1),
		"Revoke":            s.Sessions().Revoke(s.Context(), one.ID),
		"Create":            s.Sessions().Create(s.Context(), s.session(time.Hour)),
		"Put":               s.Documents().Put(s.Context(), s.document(store.Login, time.Hour)),
		"Documents.Replace": s.Documents().Replace(s.Context(), doc, 1),
		"Add":               s.Revocations().Add(s.Context(), s.revocation("r", time.Hour)),
		"Registry.Put":      s.Registry().Put(s.Context(), "k", []byte("v"), 0),
		"Import":            s.movable().Import(s.Context(), store.Record{Session: &other}),
	}
}

func (s *subject) readsGoOn(one store.Session, doc store.Document) {
	s.Helper()
	s.wantSession(one)
	s.wantDocument(doc)
	s.wantEntry("ring", 2, []byte("b"))
	_, err := s.Sessions().List(s.Context(), store.ID{}, 10)
	s.want("List", err, nil)
	_, _, err = s.Revocations().Since(s.Context(), "")
	s.want("Since", err, nil)
	reason, err := s.movable().ReadOnly(s.Context())
	s.must(err)
	if reason != "moving to another engine" {
		s.Errorf("ReadOnly = %q, want the reason given", reason)
	}
}

func readOnlyWaits(s *subject) {
	var sessions []store.Session
	for range 8 {
		sessions = append(sessions, s.created(time.Hour))
	}
	var all writers
	for _, one := range sessions {
		all.start(s, one)
	}
	all.began.Wait()
	s.must(s.movable().SetReadOnly(s.Context(), "moving"))
	first := s.export("")
	all.refused(s)
	s.wantSame(s.export(""), first)
}

// writers rotate sessions again and again, each until an error and at most once
// after set.
type writers struct {
	began, ended sync.WaitGroup
	set          atomic.Bool
}

func (w *writers) start(s *subject, one store.Session) {
	w.began.Add(1)
	w.ended.Go(func() {
		err, last := s.rotate(one, 1), false
		w.began.Done()
		for g := store.Generation(2); err == nil && !last; g++ {
			last = w.set.Load()
			err = s.rotate(one, g)
		}
		s.want("Replace once the store is read only", err, store.ErrReadOnly)
	})
}

// refused waits until all are.
func (w *writers) refused(s *subject) {
	s.Helper()
	w.set.Store(true)
	w.ended.Wait()
}

func readOnlyRetires(s *subject) {
	s.filled()
	s.must(s.movable().SetReadOnly(s.Context(), "moving"))
	whole := s.export("")
	s.advance(2 * time.Hour)
	s.retire(s.now())
	rest := s.export("")
	if len(rest) >= len(whole) {
		s.Errorf("%d records of %d are left, want fewer", len(rest), len(whole))
	}
	for i, m := range whole {
		var want []store.Record
		for _, behind := range whole[i+1:] {
			if !behind.over(s.now()) {
				want = append(want, behind.Record)
			}
		}
		s.wantRecords(s.export(m.place), want)
	}
}

func (m moved) over(now time.Time) bool {
	switch {
	case m.Session != nil:
		return !m.Session.End.After(now)
	case m.Document != nil:
		return !m.Document.End.After(now)
	case m.Mark != nil:
		return !m.Mark.Bucket().After(now)
	case m.Revocation != nil:
		return !m.Revocation.End.After(now)
	}
	return false
}
