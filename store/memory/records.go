package memory

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/longcase/longcase/store"
)

type sessions struct{ e *Engine }

func (s sessions) Load(ctx context.Context, id store.ID) (store.Session, error) {
	now, err := s.e.begin(ctx)
	if err != nil {
		return store.Session{}, err
	}
	defer s.e.mu.Unlock()
	return s.live(id, now)
}

func (s sessions) live(id store.ID, now time.Time) (store.Session, error) {
	found, ok := s.e.sessions[id]
	if !ok || !found.End.After(now) {
		return store.Session{}, fmt.Errorf("session %s: %w", id, store.ErrNotFound)
	}
	found.Data = bytes.Clone(found.Data)
	return found, nil
}

func (s sessions) Create(ctx context.Context, one store.Session) error {
	if _, err := s.begin(ctx, one); err != nil {
		return err
	}
	defer s.e.mu.Unlock()
	if _, ok := s.e.sessions[one.ID]; ok {
		return fmt.Errorf("session %s exists: %w", one.ID, store.ErrConflict)
	}
	one.Generation, one.Ended = 1, false
	s.put(one)
	return nil
}

func (s sessions) put(one store.Session) {
	one.End, one.Data = wholeSeconds(one.End), bytes.Clone(one.Data)
	s.e.sessions[one.ID] = one
}

func (s sessions) Replace(ctx context.Context, one store.Session, old store.Generation) error {
	now, err := s.begin(ctx, one)
	if err != nil {
		return err
	}
	defer s.e.mu.Unlock()
	found, ok := s.e.sessions[one.ID]
	if ok && !found.End.After(now) {
		return fmt.Errorf("session %s: %w", one.ID, store.ErrEnded)
	}
	if !ok || found.Ended || found.Generation != old || one.Generation != old+1 {
		return fmt.Errorf("session %s, generation %d: %w", one.ID, old, store.ErrConflict)
	}
	found.Generation, found.Ended = one.Generation, one.Ended
	found.Data = bytes.Clone(one.Data)
	s.e.sessions[one.ID] = found
	return nil
}

func (s sessions) begin(ctx context.Context, one store.Session) (now time.Time, err error) {
	now, err = s.e.beginWrite(ctx)
	if err != nil {
		return now, err
	}
	if err = one.Check(now); err == nil {
		err = s.e.writable(one.ID)
	}
	if err != nil {
		s.e.mu.Unlock()
	}
	return now, err
}

func (s sessions) Revoke(ctx context.Context, id store.ID) error {
	now, err := s.e.beginWrite(ctx)
	if err != nil {
		return err
	}
	defer s.e.mu.Unlock()
	found, err := s.live(id, now)
	if err != nil {
		return err
	}
	found.Ended = true
	s.e.sessions[id] = found
	return nil
}

func (s sessions) List(ctx context.Context, after store.ID, limit int) ([]store.Session, error) {
	now, err := s.e.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer s.e.mu.Unlock()
	var all []store.Session
	for id := range s.e.sessions {
		if one, err := s.live(id, now); err == nil && bytes.Compare(id[:], after[:]) > 0 {
			all = append(all, one)
		}
	}
	slices.SortFunc(all, func(a, b store.Session) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return all[:min(len(all), max(limit, 0))], nil
}

type documentKey struct {
	kind store.DocumentKind
	id   store.ID
}

type documents struct{ e *Engine }

func (d documents) Put(ctx context.Context, doc store.Document) error {
	if _, err := d.begin(ctx, doc); err != nil {
		return err
	}
	defer d.e.mu.Unlock()
	key := documentKey{doc.Kind, doc.ID}
	if _, ok := d.e.documents[key]; ok {
		return fmt.Errorf("%s %s exists: %w", doc.Kind, doc.ID, store.ErrConflict)
	}
	doc.Version = 1
	d.put(doc)
	return nil
}

func (d documents) put(doc store.Document) {
	doc.End, doc.Data = wholeSeconds(doc.End), bytes.Clone(doc.Data)
	d.e.documents[documentKey{doc.Kind, doc.ID}] = doc
}

func (d documents) Get(ctx context.Context, kind store.DocumentKind, id store.ID) (store.Document, error) {
	now, err := d.e.begin(ctx)
	if err != nil {
		return store.Document{}, err
	}
	defer d.e.mu.Unlock()
	doc, ok := d.e.documents[documentKey{kind, id}]
	if !ok || !doc.End.After(now) {
		return store.Document{}, fmt.Errorf("%s %s: %w", kind, id, store.ErrNotFound)
	}
	doc.Data = bytes.Clone(doc.Data)
	return doc, nil
}

func (d documents) Replace(ctx context.Context, doc store.Document, old uint64) error {
	now, err := d.begin(ctx, doc)
	if err != nil {
		return err
	}
	defer d.e.mu.Unlock()
	key := documentKey{doc.Kind, doc.ID}
	found, ok := d.e.documents[key]
	if ok && !found.End.After(now) {
		return fmt.Errorf("%s %s: %w", doc.Kind, doc.ID, store.ErrEnded)
	}
	if !ok || found.Version != old {
		return fmt.Errorf("%s %s, version %d: %w", doc.Kind, doc.ID, old, store.ErrConflict)
	}
	found.Version, found.Data = old+1, bytes.Clone(doc.Data)
	d.e.documents[key] = found
	return nil
}

func (d documents) begin(ctx context.Context, doc store.Document) (now time.Time, err error) {
	now, err = d.e.beginWrite(ctx)
	if err != nil {
		return now, err
	}
	if err = doc.Check(now); err == nil {
		err = d.e.writable(doc.ID)
	}
	if err != nil {
		d.e.mu.Unlock()
	}
	return now, err
}

type marks struct{ e *Engine }

func (m marks) First(ctx context.Context, mark store.Mark) (bool, error) {
	now, err := m.e.beginWrite(ctx)
	if err != nil {
		return false, err
	}
	defer m.e.mu.Unlock()
	if err := mark.Check(now); err != nil {
		return false, err
	}
	return m.put(mark.ID(), now)
}

// put makes a mark where there is none yet.
func (m marks) put(id store.ID, now time.Time) (bool, error) {
	if err := m.e.writable(id); err != nil {
		return false, err
	}
	if _, ok := m.e.marks[id.Bucket()][id]; ok {
		return false, nil
	}
	if m.live(now) >= m.e.maxMarks {
		return false, fmt.Errorf("%d marks: %w", m.e.maxMarks, store.ErrFull)
	}
	if m.e.marks[id.Bucket()] == nil {
		m.e.marks[id.Bucket()] = map[store.ID]struct{}{}
	}
	m.e.marks[id.Bucket()][id] = struct{}{}
	return true, nil
}

// live counts the marks whose bucket is not over.
func (m marks) live(now time.Time) int {
	n := 0
	for end, bucket := range m.e.marks {
		if end.After(now) {
			n += len(bucket)
		}
	}
	return n
}

type revocation struct {
	store.Revocation
	bucket   time.Time
	sequence uint64
}

type revocations struct{ e *Engine }

func (r revocations) Add(ctx context.Context, one store.Revocation) error {
	now, err := r.e.beginWrite(ctx)
	if err != nil {
		return err
	}
	defer r.e.mu.Unlock()
	return r.add(one, now)
}

func (r revocations) add(one store.Revocation, now time.Time) error {
	if err := one.Check(now); err != nil {
		return err
	}
	bucket := one.Bucket(now)
	if !bucket.After(r.e.retired) {
		return fmt.Errorf("revocation of %s %s: %w", one.Kind, one.Value, store.ErrEnded)
	}
	one.End = wholeSeconds(one.End)
	r.e.sequence++
	r.e.revocations = append(r.e.revocations, revocation{one, bucket, r.e.sequence})
	return nil
}

func (r revocations) Since(ctx context.Context, c store.Cursor) ([]store.Revocation, store.Cursor, error) {
	if _, err := r.e.begin(ctx); err != nil {
		return nil, "", err
	}
	defer r.e.mu.Unlock()
	seen := r.sequence(c)
	first := sort.Search(len(r.e.revocations), func(i int) bool { return r.e.revocations[i].sequence > seen })
	var added []store.Revocation
	for _, one := range r.e.revocations[first:] {
		added = append(added, one.Revocation)
	}
	return added, store.Cursor(r.e.epoch + "." + strconv.FormatUint(r.e.sequence, 10)), nil
}

// sequence reads a cursor; one that is not of this engine is the beginning.
func (r revocations) sequence(c store.Cursor) uint64 {
	epoch, number, _ := strings.Cut(string(c), ".")
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil || epoch != r.e.epoch || n > r.e.sequence {
		return 0
	}
	return n
}

type registry struct{ e *Engine }

func (r registry) Get(ctx context.Context, key string) (store.Entry, error) {
	if _, err := r.e.begin(ctx); err != nil {
		return store.Entry{}, err
	}
	defer r.e.mu.Unlock()
	return r.entry(key), nil
}

func (r registry) entry(key string) store.Entry {
	found := r.e.entries[key]
	found.Key, found.Value = key, bytes.Clone(found.Value)
	return found
}

func (r registry) Put(ctx context.Context, key string, value []byte, old uint64) error {
	if err := (store.Entry{Key: key, Value: value}).Check(); err != nil {
		return err
	}
	if _, err := r.e.beginWrite(ctx); err != nil {
		return err
	}
	defer r.e.mu.Unlock()
	if found := r.e.entries[key]; found.Version != old {
		return fmt.Errorf("entry %q is at version %d, not %d: %w", key, found.Version, old, store.ErrConflict)
	}
	r.put(store.Entry{Key: key, Version: old + 1, Value: value})
	return nil
}

func (r registry) put(one store.Entry) {
	one.Value = bytes.Clone(one.Value)
	r.e.entries[one.Key] = one
	r.e.watchers.Changed(one.Key)
}

func (r registry) List(ctx context.Context, prefix string) ([]store.Entry, error) {
	if _, err := r.e.begin(ctx); err != nil {
		return nil, err
	}
	defer r.e.mu.Unlock()
	var all []store.Entry
	for key, found := range r.e.entries {
		if strings.HasPrefix(key, prefix) && found.Value != nil {
			all = append(all, r.entry(key))
		}
	}
	slices.SortFunc(all, func(a, b store.Entry) int { return strings.Compare(a.Key, b.Key) })
	return all, nil
}

func (r registry) Watch(ctx context.Context, prefix string, changed func(store.Entry)) error {
	return r.e.watchers.Watch(ctx, r.e.closed, r, prefix, changed)
}
