package embedded

import (
	"context"
	"fmt"
	"time"

	"github.com/longcase/longcase/store"
)

type documents struct{ e *Engine }

func (d documents) Get(ctx context.Context, k store.DocumentKind, id store.ID) (store.Document, error) {
	if err := d.e.door.Enter(ctx); err != nil {
		return store.Document{}, err
	}
	defer d.e.door.Leave()
	now := d.e.cfg.Now()
	key := documentKey(k, id)
	value, err := d.e.read(ctx, key)
	if err != nil {
		return store.Document{}, err
	}
	missing := fmt.Errorf("%s %s: %w", k, id, store.ErrNotFound)
	if value == nil || d.e.retired.Gone(id.Bucket().Unix()) {
		return store.Document{}, missing
	}
	doc, err := decodeDocument(key, value)
	switch {
	case err != nil:
		return store.Document{}, err
	case !doc.End.After(now):
		return store.Document{}, missing
	}
	return doc, nil
}

func (d documents) Put(ctx context.Context, doc store.Document) error {
	return d.change(ctx, doc, func(value []byte, _ time.Time) (store.Document, error) {
		if value != nil {
			return doc, fmt.Errorf("%s %s exists: %w", doc.Kind, doc.ID, store.ErrConflict)
		}
		doc.Version = 1
		return doc, nil
	})
}

func (d documents) Replace(ctx context.Context, doc store.Document, old uint64) error {
	return d.change(ctx, doc, func(value []byte, now time.Time) (store.Document, error) {
		conflict := fmt.Errorf("%s %s, version %d: %w", doc.Kind, doc.ID, old, store.ErrConflict)
		if value == nil {
			return doc, conflict
		}
		found, err := decodeDocument(documentKey(doc.Kind, doc.ID), value)
		switch {
		case err != nil:
			return doc, err
		case !found.End.After(now):
			return doc, fmt.Errorf("%s %s: %w", doc.Kind, doc.ID, store.ErrEnded)
		case found.Version != old:
			return doc, conflict
		}
		found.Version, found.Data = old+1, doc.Data
		return found, nil
	})
}

// change writes what decide makes of the stored value, nil for none, while it
// holds the key.
func (d documents) change(ctx context.Context, doc store.Document, decide func(value []byte, now time.Time) (store.Document, error)) error {
	if err := d.e.enterWrite(ctx); err != nil {
		return err
	}
	defer d.e.door.Leave()
	key := documentKey(doc.Kind, doc.ID)
	held, err := d.e.flights.hold(ctx, key)
	if err != nil {
		return err
	}
	defer held.release()
	now := d.e.cfg.Now()
	if err := doc.Check(now); err != nil {
		return err
	}
	if err := d.e.retired.Check(doc.ID.Bucket().Unix()); err != nil {
		return err
	}
	value, err := d.e.get(key)
	if err != nil {
		return err
	}
	next, err := decide(value, now)
	if err != nil {
		return err
	}
	return d.e.set(held, key, encodeDocument(next))
}
