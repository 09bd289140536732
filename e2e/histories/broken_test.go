package histories

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/longcase/longcase/store"
)

// defect is one way in which an engine can be wrong.
type defect int

const (
	sound              defect = iota
	checksThenWrites          // the compare-and-set is two steps (isolation lowered)
	findsThenConsumes         // so is the use of a document
	looksThenMarks            // so is a mark
	undoesRevoke              // a rotation writes the whole row as it read it before
	conflictButWritten        // says ErrConflict of a write that took effect
	absentButWritten          // says ErrUnavailable of one
	losesAcknowledged         // says done of one that did not
	readsStale                // reads a copy that lags
	forgetsMarks              // does not keep marks over a restart
	tearsRecords              // writes half of a record
	skipsLateCommits          // the cursor of the feed passes over what was numbered earlier and shown later
)

// toy is a small engine in memory with one defect. Without one it is sound, so
// that what is found in the others is the defect.
type toy struct {
	store.Engine // the rest of the contract, which no history asks for
	defect       defect

	mu        sync.Mutex
	rng       *rand.Rand
	sessions  map[store.ID][]store.Session // the newest is the last
	documents map[store.ID]store.Document
	marks     map[store.ID]bool
	entries   map[string]store.Entry
	feed      []numbered
	numbers   uint64
}

type numbered struct {
	store.Revocation
	number uint64
}

func newToy(d defect, seed uint64) *toy {
	return &toy{
		defect: d, rng: rand.New(rand.NewPCG(seed, 7)), sessions: map[store.ID][]store.Session{}, documents: map[store.ID]store.Document{},
		marks: map[store.ID]bool{}, entries: map[string]store.Entry{},
	}
}

func (e *toy) Sessions() store.Sessions       { return toySessions{e: e} }
func (e *toy) Documents() store.Documents     { return toyDocuments{e} }
func (e *toy) Marks() store.Marks             { return toyMarks{e} }
func (e *toy) Registry() store.Registry       { return toyRegistry{e: e} }
func (e *toy) Revocations() store.Revocations { return toyRevocations{e} }

// gap lets others in between two steps of an engine that has this defect.
func (e *toy) gap(d defect) {
	if e.defect != d {
		return
	}
	wait := time.Duration(e.rng.IntN(5000)) * time.Microsecond
	e.mu.Unlock()
	time.Sleep(wait)
	e.mu.Lock()
}

// strikes says now and then that the defect shows.
func (e *toy) strikes(d defect) bool { return e.defect == d && e.rng.IntN(10) == 0 }

// restart is a kill and a start: everything durable stays.
func (e *toy) restart() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.defect == forgetsMarks {
		clear(e.marks)
	}
}

type toySessions struct {
	store.Sessions
	e *toy
}

func (s toySessions) newest(id store.ID) (store.Session, bool) {
	all := s.e.sessions[id]
	if len(all) == 0 {
		return store.Session{}, false
	}
	return all[len(all)-1], true
}

func (s toySessions) Load(_ context.Context, id store.ID) (store.Session, error) {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	found, ok := s.newest(id)
	if !ok || !found.End.After(time.Now()) {
		return found, store.ErrNotFound
	}
	if all := s.e.sessions[id]; len(all) > 1 && s.e.strikes(readsStale) {
		return all[len(all)-2], nil
	}
	return found, nil
}

func (s toySessions) Create(_ context.Context, one store.Session) error {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	if err := one.Check(time.Now()); err != nil {
		return err
	}
	if _, ok := s.newest(one.ID); ok {
		return store.ErrConflict
	}
	one.Generation, one.Ended = 1, false
	s.e.sessions[one.ID] = []store.Session{one}
	return nil
}

func (s toySessions) Replace(_ context.Context, one store.Session, old store.Generation) error {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	if err := one.Check(time.Now()); err != nil {
		return err
	}
	found, ok := s.newest(one.ID)
	ended := found.Ended
	s.e.gap(undoesRevoke)
	if s.e.defect == undoesRevoke {
		found, ok = s.newest(one.ID)
	}
	if !ok || ended || found.Generation != old || one.Generation != old+1 {
		return store.ErrConflict
	}
	s.e.gap(checksThenWrites)
	found.Generation, found.Ended, found.Data = one.Generation, one.Ended, one.Data
	if s.e.strikes(tearsRecords) {
		found.Data = found.Data[:len(found.Data)/2]
	}
	if s.e.strikes(losesAcknowledged) {
		return nil
	}
	s.e.sessions[one.ID] = append(s.e.sessions[one.ID], found)
	switch {
	case s.e.strikes(conflictButWritten):
		return store.ErrConflict
	case s.e.strikes(absentButWritten):
		return store.ErrUnavailable
	default:
		return nil
	}
}

func (s toySessions) Revoke(_ context.Context, id store.ID) error {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	found, ok := s.newest(id)
	if !ok || !found.End.After(time.Now()) {
		return store.ErrNotFound
	}
	found.Ended = true
	s.e.sessions[id] = append(s.e.sessions[id], found)
	return nil
}

type toyDocuments struct{ e *toy }

func (d toyDocuments) Put(_ context.Context, one store.Document) error {
	d.e.mu.Lock()
	defer d.e.mu.Unlock()
	if _, ok := d.e.documents[one.ID]; ok {
		return store.ErrConflict
	}
	one.Version = 1
	d.e.documents[one.ID] = one
	return nil
}

func (d toyDocuments) Get(_ context.Context, _ store.DocumentKind, id store.ID) (store.Document, error) {
	d.e.mu.Lock()
	defer d.e.mu.Unlock()
	found, ok := d.e.documents[id]
	if !ok {
		return found, store.ErrNotFound
	}
	return found, nil
}

func (d toyDocuments) Replace(_ context.Context, one store.Document, old uint64) error {
	d.e.mu.Lock()
	defer d.e.mu.Unlock()
	found, ok := d.e.documents[one.ID]
	if !ok || found.Version != old {
		return store.ErrConflict
	}
	d.e.gap(findsThenConsumes)
	found.Version, found.Data = old+1, one.Data
	d.e.documents[one.ID] = found
	return nil
}

type toyMarks struct{ e *toy }

func (m toyMarks) First(_ context.Context, one store.Mark) (bool, error) {
	m.e.mu.Lock()
	defer m.e.mu.Unlock()
	first := !m.e.marks[one.ID()]
	m.e.gap(looksThenMarks)
	m.e.marks[one.ID()] = true
	return first, nil
}

type toyRegistry struct {
	store.Registry
	e *toy
}

func (r toyRegistry) Get(_ context.Context, key string) (store.Entry, error) {
	r.e.mu.Lock()
	defer r.e.mu.Unlock()
	return r.e.entries[key], nil
}

func (r toyRegistry) Put(_ context.Context, key string, value []byte, old uint64) error {
	r.e.mu.Lock()
	defer r.e.mu.Unlock()
	if r.e.entries[key].Version != old {
		return store.ErrConflict
	}
	r.e.entries[key] = store.Entry{Key: key, Version: old + 1, Value: value}
	return nil
}

type toyRevocations struct{ e *toy }

func (v toyRevocations) Add(_ context.Context, one store.Revocation) error {
	v.e.mu.Lock()
	defer v.e.mu.Unlock()
	v.e.numbers++
	number := v.e.numbers
	v.e.gap(skipsLateCommits)
	v.e.feed = append(v.e.feed, numbered{one, number})
	return nil
}

func (v toyRevocations) Since(_ context.Context, c store.Cursor) (all []store.Revocation, next store.Cursor, err error) {
	v.e.mu.Lock()
	defer v.e.mu.Unlock()
	var seen uint64
	if c != "" {
		if _, err := fmt.Sscan(string(c), &seen); err != nil {
			return nil, "", err
		}
	}
	newest := seen
	for _, one := range v.e.feed {
		if one.number > seen {
			all, newest = append(all, one.Revocation), max(newest, one.number)
		}
	}
	return all, store.Cursor(fmt.Sprint(newest)), nil
}
