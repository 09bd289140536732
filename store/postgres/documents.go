package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/longcase/longcase/store"
)

type documents struct{ e *Engine }

const (
	selectDocument = `SELECT bucket, id, kind, ends, version, data FROM TABLE_ WHERE bucket = $1 AND id = $2 AND kind = $3`

	insertDocument = `INSERT INTO TABLE_ (bucket, id, kind, ends, version, data)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`

	replaceDocument = `UPDATE TABLE_ SET version = version + 1, data = $4
WHERE bucket = $1 AND id = $2 AND kind = $3 AND version = $5 AND ends > $6`
)

// documentRow is one document as its columns are read.
type documentRow struct {
	bucket, ends, version int64
	name                  pgtype.UUID
	kind                  []byte
	doc                   store.Document
}

func (r *documentRow) columns() []any {
	return []any{&r.bucket, &r.name, &r.kind, &r.ends, &r.version, &r.doc.Data}
}

func (r *documentRow) document() store.Document {
	r.doc.ID, r.doc.Kind, r.doc.End, r.doc.Version = join(r.bucket, r.name), store.DocumentKind(r.kind), at(r.ends), uint64(r.version)
	return r.doc
}

// find reads a document, over or not, unless its bucket was retired.
func (d documents) find(ctx context.Context, k store.DocumentKind, id store.ID) (doc store.Document, found bool, err error) {
	bucket, name := parts(id)
	var r documentRow
	found, err = d.e.find(ctx, kindDocument, bucket, selectDocument, []any{bucket, name, []byte(k)}, r.columns()...)
	if err != nil || !found {
		return doc, false, err
	}
	return r.document(), true, nil
}

func (d documents) Get(ctx context.Context, k store.DocumentKind, id store.ID) (store.Document, error) {
	if err := d.e.door.Enter(ctx); err != nil {
		return store.Document{}, err
	}
	defer d.e.door.Leave()
	now := d.e.cfg.Now()
	doc, found, err := d.find(ctx, k, id)
	switch {
	case err != nil:
		return store.Document{}, fmt.Errorf("%s %s: %w", k, id, err)
	case !found || !doc.End.After(now):
		return store.Document{}, fmt.Errorf("%s %s: %w", k, id, store.ErrNotFound)
	}
	return doc, nil
}

func (d documents) Put(ctx context.Context, doc store.Document) error {
	if err := d.e.door.Enter(ctx); err != nil {
		return err
	}
	defer d.e.door.Leave()
	if err := doc.Check(d.e.cfg.Now()); err != nil {
		return err
	}
	doc.Version = 1
	made, err := d.insert(ctx, doc)
	switch {
	case err != nil:
		return fmt.Errorf("%s %s: %w", doc.Kind, doc.ID, err)
	case !made:
		return fmt.Errorf("%s %s exists: %w", doc.Kind, doc.ID, store.ErrConflict)
	}
	return nil
}

// insert reports whether there was no such document.
func (d documents) insert(ctx context.Context, doc store.Document) (made bool, err error) {
	bucket, name := parts(doc.ID)
	n, err := d.e.insert(ctx, kindDocument, bucket, insertDocument, bucket, name, []byte(doc.Kind), doc.End.Unix(), int64(doc.Version), stored(doc.Data))
	return n > 0, err
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
	bucket, name := parts(doc.ID)
	if err := d.e.retired.Check(bucket); err != nil {
		return err
	}
	n, err := d.e.update(ctx, kindDocument, bucket, replaceDocument, bucket, name, []byte(doc.Kind), stored(doc.Data), int64(old), now.Unix())
	if err == nil && n == 0 {
		err = d.whyNot(ctx, doc, old, now)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", doc.Kind, doc.ID, err)
	}
	return nil
}

// whyNot tells why no document was replaced.
func (d documents) whyNot(ctx context.Context, doc store.Document, old uint64, now time.Time) error {
	found, ok, err := d.find(ctx, doc.Kind, doc.ID)
	switch {
	case err != nil:
		return err
	case ok && !found.End.After(now):
		return fmt.Errorf("its end was %s: %w", stamp(found.End.Unix()), store.ErrEnded)
	}
	if err := d.e.refuseReadOnly(ctx); err != nil {
		return err
	}
	return fmt.Errorf("it is not at version %d: %w", old, store.ErrConflict)
}
