package cassandra

import (
	"context"
	"fmt"
	"time"

	"github.com/longcase/longcase/store"
)

type documents struct{ e *Engine }

const (
	loadDocument   = "SELECT version, about, data FROM documents WHERE id = ? AND kind = ?"
	settleDocument = "SELECT version, proposal FROM documents WHERE id = ? AND kind = ?"
	insertDocument = "INSERT INTO documents (id, kind, version, proposal, about, data) VALUES (?, ?, ?, ?, ?, ?) IF NOT EXISTS USING TTL ?"
	updateDocument = "UPDATE documents USING TTL ? SET version = ?, proposal = ?, about = ?, data = ? WHERE id = ? AND kind = ? IF version = ? AND about = ?"
)

func (d documents) Get(ctx context.Context, k store.DocumentKind, id store.ID) (store.Document, error) {
	if err := d.e.door.Enter(ctx); err != nil {
		return store.Document{}, err
	}
	defer d.e.door.Leave()
	return d.load(ctx, k, id, d.e.cfg.Now())
}

// load reads a document that is not over.
func (d documents) load(ctx context.Context, k store.DocumentKind, id store.ID, now time.Time) (store.Document, error) {
	one := store.Document{Kind: k, ID: id}
	what := documentName(k, id)
	missing := fmt.Errorf("%s: %w", what, store.ErrNotFound)
	if d.e.retired.Gone(id.Bucket().Unix()) {
		return one, missing
	}
	var version int64
	var encoded []byte
	q := d.e.session.Query(loadDocument, d.e.key(id[:]), []byte(k)).Consistency(d.e.read)
	found, err := d.e.get(ctx, "read "+what, q, &version, &encoded, &one.Data)
	switch {
	case err != nil:
		return one, err
	case !found || encoded == nil: // half a row is what an end leaves for a moment, or a stranger
		return one, missing
	}
	a, err := decodeAbout(encoded)
	if err != nil {
		return one, fmt.Errorf("%s: %w", what, err)
	}
	if !a.end.After(now) {
		return one, missing
	}
	one.Version, one.End = uint64(version), a.end
	return one, nil
}

func documentName(k store.DocumentKind, id store.ID) string { return string(k) + " " + id.String() }

func (d documents) Put(ctx context.Context, doc store.Document) error {
	doc.Version = 1
	if err := d.e.door.Enter(ctx); err != nil {
		return err
	}
	defer d.e.door.Leave()
	return d.insert(ctx, doc, d.e.cfg.Now())
}

// insert writes a document that is not there as it is.
func (d documents) insert(ctx context.Context, doc store.Document, now time.Time) error {
	if err := doc.Check(now); err != nil {
		return err
	}
	if err := d.e.retired.Check(doc.ID.Bucket().Unix()); err != nil {
		return err
	}
	w := d.swap(doc.Kind, doc.ID, doc.Version-1)
	end := doc.End.Truncate(time.Second)
	seconds, err := ttl(end, now)
	if err != nil {
		return fmt.Errorf("%s: %w", w.what, err)
	}
	w.stmt = insertDocument
	w.args = []any{w.loadKey[0], w.loadKey[1], int64(doc.Version), w.proposal, about{end: end}.encode(), notNull(doc.Data), seconds}
	applied, _, err := d.e.cas(ctx, w)
	if err == nil && !applied {
		err = fmt.Errorf("%s exists: %w", w.what, store.ErrConflict)
	}
	return err
}

func (d documents) swap(k store.DocumentKind, id store.ID, old uint64) swap {
	return swap{
		what: documentName(k, id), old: old, proposal: proposal(),
		load: settleDocument, loadKey: []any{d.e.key(id[:]), []byte(k)},
	}
}

func (d documents) Replace(ctx context.Context, doc store.Document, old uint64) error {
	if err := d.e.door.Enter(ctx); err != nil {
		return err
	}
	defer d.e.door.Leave()
	now := d.e.cfg.Now()
	if err := doc.Check(now); err != nil {
		return err
	}
	if err := d.e.retired.Check(doc.ID.Bucket().Unix()); err != nil {
		return err
	}
	return d.e.replace(ctx, replacement{
		line: "d" + string(doc.ID[:]) + string(doc.Kind), what: documentName(doc.Kind, doc.ID),
		old: old, about: about{end: doc.End.Truncate(time.Second)}.encode(), now: now,
		swap: func(about []byte, seconds int) swap {
			w := d.swap(doc.Kind, doc.ID, old)
			w.stmt = updateDocument
			w.args = []any{seconds, int64(old + 1), w.proposal, about, notNull(doc.Data), w.loadKey[0], w.loadKey[1], int64(old), about}
			return w
		},
	})
}
