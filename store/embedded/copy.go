package embedded

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/longcase/longcase/store"
)

var _ store.Movable = (*Engine)(nil)

const pageRecords = 256 // of an export are read at once

// placed is a record and its key.
type placed struct {
	key []byte
	store.Record
}

// Export implements store.Movable. The order is that of the keys; a Place is a
// key. Calls under way at Close are waited for, an export's visits are not.
func (e *Engine) Export(ctx context.Context, after store.Place, visit func(store.Record, store.Place) error) error {
	from, err := parsePlace(after)
	for err == nil {
		var page []placed
		if page, err = e.page(ctx, from); err != nil || len(page) == 0 {
			return err
		}
		for _, one := range page {
			if err = errors.Join(err, ctx.Err()); err != nil {
				return err
			}
			err = visit(one.Record, place(one.key))
		}
		from = append(page[len(page)-1].key, 0)
	}
	return err
}

func place(key []byte) store.Place {
	return store.Place(base64.RawURLEncoding.EncodeToString(key))
}

// parsePlace returns the first key behind p.
func parsePlace(p store.Place) ([]byte, error) {
	if p == "" {
		return nil, nil
	}
	key, err := base64.RawURLEncoding.Strict().DecodeString(string(p))
	if err != nil || len(key) == 0 || !slices.Contains(moving(), kind(key[0])) {
		return nil, fmt.Errorf("embedded: %.40q is not a place of an export from an embedded store", p)
	}
	return append(key, 0), nil
}

// page reads the next records that are not over.
func (e *Engine) page(ctx context.Context, from []byte) (all []placed, err error) {
	if err := e.door.Enter(ctx); err != nil {
		return nil, err
	}
	defer e.door.Leave()
	now := e.cfg.Now()
	for _, k := range moving() {
		first := []byte{byte(k)}
		if k != kindRegistry {
			first = bucketKey(k, max(now.Unix(), e.retired.At())+1)
		}
		if string(from) > string(first) {
			first = from
		}
		err := e.scan(ctx, first, bucketEnd(k), func(it *pebble.Iterator) (bool, error) {
			one, err := decode(it, now)
			if err == nil && one.key != nil {
				all = append(all, one)
			}
			return len(all) < pageRecords, err
		})
		if err != nil || len(all) == pageRecords {
			return all, err
		}
	}
	return all, nil
}

// moving lists the kinds that are exported, in the order of their keys.
func moving() []kind {
	return []kind{kindDocument, kindRegistry, kindMark, kindRevocation, kindSession}
}

// decode copies the record that it stands at; its key is nil if it is over at
// now.
func decode(it *pebble.Iterator, now time.Time) (one placed, err error) {
	key, value := append([]byte{}, it.Key()...), append([]byte{}, it.Value()...)
	end := now.Add(1)
	switch kind(key[0]) {
	case kindSession:
		s, fault := decodeSession(key, value)
		one.Session, end, err = &s, s.End, fault
	case kindDocument:
		d, fault := decodeDocument(key, value)
		one.Document, end, err = &d, d.End, fault
	case kindRevocation:
		r, fault := decodeRevocation(key, value)
		one.Revocation, end, err = &r, r.End, fault
	case kindRegistry:
		r, fault := decodeEntry(key, value)
		one.Entry, err = &r, fault
	case kindMark:
		id, fault := decodeMark(key, value)
		one.Mark, err = &id, fault
	}
	if end.After(now) {
		one.key = key
	}
	return one, err
}

// Import implements store.Movable.
func (e *Engine) Import(ctx context.Context, r store.Record) error {
	if err := e.enterWrite(ctx); err != nil {
		return err
	}
	defer e.door.Leave()
	switch {
	case r.Session != nil:
		return e.importSession(ctx, *r.Session)
	case r.Document != nil:
		return e.importDocument(ctx, *r.Document)
	case r.Mark != nil:
		return e.importMark(ctx, *r.Mark)
	case r.Revocation != nil:
		return e.importRevocation(ctx, *r.Revocation)
	case r.Entry != nil:
		return e.importEntry(ctx, *r.Entry)
	default:
		return errors.New("embedded: import of an empty record")
	}
}

func differs(what string) error {
	return fmt.Errorf("%s is there and differs: %w", what, store.ErrConflict)
}

// errThere says that a record need not be written.
var errThere = errors.New("there already")

// imported is the outcome of an import: what is there or over is none.
func (e *Engine) imported(err error, end time.Time) error {
	if errors.Is(err, errThere) || errors.Is(err, store.ErrEnded) && !end.After(e.cfg.Now()) {
		return nil
	}
	return err
}

func (e *Engine) importSession(ctx context.Context, one store.Session) error {
	err := sessions{e}.change(ctx, one, func(value []byte, _ time.Time) (store.Session, error) {
		if value == nil {
			return one, nil
		}
		found, err := decodeSession(idKey(kindSession, one.ID), value)
		switch {
		case err != nil:
			return one, err
		case found.Equal(one):
			return one, errThere
		default:
			return one, differs("session " + one.ID.String())
		}
	})
	return e.imported(err, one.End)
}

func (e *Engine) importDocument(ctx context.Context, one store.Document) error {
	err := documents{e}.change(ctx, one, func(value []byte, _ time.Time) (store.Document, error) {
		if value == nil {
			return one, nil
		}
		found, err := decodeDocument(documentKey(one.Kind, one.ID), value)
		switch {
		case err != nil:
			return one, err
		case found.Equal(one):
			return one, errThere
		default:
			return one, differs(string(one.Kind) + " " + one.ID.String())
		}
	})
	return e.imported(err, one.End)
}

func (e *Engine) importMark(ctx context.Context, id store.ID) error {
	_, err := marks{e}.first(ctx, id, func(now time.Time) error {
		if !id.Bucket().After(now) {
			return store.ErrEnded
		}
		return nil
	})
	return e.imported(err, id.Bucket())
}

func (e *Engine) importEntry(ctx context.Context, one store.Entry) error {
	if err := one.Check(); err != nil {
		return err
	}
	return registry{e}.change(ctx, one, func(found store.Entry) (bool, error) {
		if found.Version == 0 || found.Equal(one) {
			return found.Version == 0, nil
		}
		return false, differs(fmt.Sprintf("entry %q", one.Key))
	})
}

// importRevocation looks for one that is equal among all, which are read at the
// first import and held by their hashes until Close.
func (e *Engine) importRevocation(ctx context.Context, one store.Revocation) error {
	held, err := e.flights.hold(ctx, metaKey("revocations")) // one at a time
	if err != nil {
		return err
	}
	defer held.release()
	if e.feed.known == nil {
		if err := e.knowRevocations(ctx); err != nil {
			return err
		}
	}
	hash := sha256.Sum256(encodeRevocation(one))
	if e.feed.known[hash] {
		return nil
	}
	err = revocations{e}.add(one, e.cfg.Now())
	if err == nil {
		e.feed.known[hash] = true
	}
	return e.imported(err, one.End)
}

func (e *Engine) knowRevocations(ctx context.Context) error {
	all, err := revocations{e}.since(ctx, 0)
	if err != nil {
		return err
	}
	e.feed.known = map[[sha256.Size]byte]bool{}
	for _, one := range all {
		e.feed.known[sha256.Sum256(encodeRevocation(one))] = true
	}
	return nil
}

// SetReadOnly implements store.Movable. The flag lies in the store.
func (e *Engine) SetReadOnly(ctx context.Context, reason string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return e.door.Alone(func() error {
		if !e.drained() {
			return e.room.errFull()
		}
		w := newWriter(1 + len(reason))
		w.text(reason)
		if err := e.set(&flight{free: func() {}}, metaKey("readonly"), w.b); err != nil {
			return err
		}
		e.noteReadOnly(reason)
		return nil
	})
}

func (e *Engine) noteReadOnly(reason string) {
	if reason == "" {
		e.readOnly.Store(nil)
	} else {
		e.readOnly.Store(&reason)
	}
}

func (e *Engine) loadReadOnly() error {
	key := metaKey("readonly")
	value, err := e.get(key)
	if err != nil || value == nil {
		return err
	}
	r := newReader(value)
	e.noteReadOnly(r.text())
	return r.end(key)
}

// ReadOnly implements store.Movable.
func (e *Engine) ReadOnly(ctx context.Context) (string, error) {
	if err := e.door.Enter(ctx); err != nil {
		return "", err
	}
	defer e.door.Leave()
	if reason := e.readOnly.Load(); reason != nil {
		return *reason, nil
	}
	return "", nil
}
