package memory

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/longcase/longcase/store"
)

var _ store.Movable = (*Engine)(nil)

// placed is a record and its place.
type placed struct {
	place store.Place
	store.Record
}

// Export implements store.Movable. It visits what was there when it began.
func (e *Engine) Export(ctx context.Context, after store.Place, visit func(store.Record, store.Place) error) error {
	now, err := e.begin(ctx)
	if err != nil {
		return err
	}
	all := e.everything(now)
	e.mu.Unlock()
	slices.SortFunc(all, func(a, b placed) int { return strings.Compare(string(a.place), string(b.place)) })
	for _, one := range all {
		if one.place <= after {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := visit(one.Record, one.place); err != nil {
			return err
		}
	}
	return nil
}

// everything collects what is not over at now.
func (e *Engine) everything(now time.Time) (all []placed) {
	add := func(kind string, key []byte, r store.Record) {
		all = append(all, placed{store.Place(kind + hex.EncodeToString(key)), r})
	}
	for id, one := range e.sessions {
		if one.End.After(now) {
			one.Data = bytes.Clone(one.Data)
			add("s", id[:], store.Record{Session: &one})
		}
	}
	for key, one := range e.documents {
		if one.End.After(now) {
			one.Data = bytes.Clone(one.Data)
			add("d", append(key.id[:], key.kind...), store.Record{Document: &one})
		}
	}
	for end, bucket := range e.marks {
		for id := range bucket {
			if end.After(now) {
				add("m", id[:], store.Record{Mark: &id})
			}
		}
	}
	for _, one := range e.revocations {
		if one.End.After(now) {
			add("r", fmt.Appendf(nil, "%016x", one.sequence), store.Record{Revocation: &one.Revocation})
		}
	}
	for key := range e.entries {
		one := registry{e}.entry(key)
		add("e", []byte(key), store.Record{Entry: &one})
	}
	return all
}

// Import implements store.Movable.
func (e *Engine) Import(ctx context.Context, r store.Record) error {
	now, err := e.beginWrite(ctx)
	if err != nil {
		return err
	}
	defer e.mu.Unlock()
	switch {
	case r.Session != nil:
		err = e.importSession(*r.Session, now)
	case r.Document != nil:
		err = e.importDocument(*r.Document, now)
	case r.Mark != nil:
		err = e.importMark(*r.Mark, now)
	case r.Revocation != nil:
		err = e.importRevocation(*r.Revocation, now)
	case r.Entry != nil:
		err = e.importEntry(*r.Entry)
	default:
		err = errors.New("memory: an empty record")
	}
	return err
}

// over reports whether what ends then is not worth an import.
func over(end, now time.Time) bool { return !end.After(now) }

func (e *Engine) importSession(one store.Session, now time.Time) error {
	if over(one.End, now) {
		return nil
	}
	if err := errors.Join(one.Check(now), e.writable(one.ID)); err != nil {
		return err
	}
	found, ok := e.sessions[one.ID]
	switch {
	case !ok:
		sessions{e}.put(one)
	case !found.Equal(one):
		return fmt.Errorf("session %s is there and differs: %w", one.ID, store.ErrConflict)
	}
	return nil
}

func (e *Engine) importDocument(one store.Document, now time.Time) error {
	if over(one.End, now) {
		return nil
	}
	if err := errors.Join(one.Check(now), e.writable(one.ID)); err != nil {
		return err
	}
	found, ok := e.documents[documentKey{one.Kind, one.ID}]
	switch {
	case !ok:
		documents{e}.put(one)
	case !found.Equal(one):
		return fmt.Errorf("%s %s is there and differs: %w", one.Kind, one.ID, store.ErrConflict)
	}
	return nil
}

func (e *Engine) importMark(id store.ID, now time.Time) error {
	if over(id.Bucket(), now) {
		return nil
	}
	_, err := marks{e}.put(id, now)
	return err
}

func (e *Engine) importRevocation(one store.Revocation, now time.Time) error {
	if over(one.End, now) {
		return nil
	}
	for _, found := range e.revocations {
		if found.Equal(one) {
			return nil
		}
	}
	return revocations{e}.add(one, now)
}

func (e *Engine) importEntry(one store.Entry) error {
	if err := one.Check(); err != nil {
		return err
	}
	found := registry{e}.entry(one.Key)
	switch {
	case found.Version == 0:
		registry{e}.put(one)
	case !found.Equal(one):
		return fmt.Errorf("entry %q is there and differs: %w", one.Key, store.ErrConflict)
	}
	return nil
}

// SetReadOnly implements store.Movable.
func (e *Engine) SetReadOnly(ctx context.Context, reason string) error {
	if _, err := e.begin(ctx); err != nil {
		return err
	}
	defer e.mu.Unlock()
	e.readOnly = reason
	return nil
}

// ReadOnly implements store.Movable.
func (e *Engine) ReadOnly(ctx context.Context) (string, error) {
	if _, err := e.begin(ctx); err != nil {
		return "", err
	}
	defer e.mu.Unlock()
	return e.readOnly, nil
}
