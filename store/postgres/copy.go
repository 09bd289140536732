package postgres

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/longcase/longcase/store"
)

// pageSize is how many records one statement of an export reads. Nothing is
// locked between two.
const pageSize = 500

// place is how far an export has come: behind a key of one table.
type place struct {
	table  string
	bucket int64
	name   pgtype.UUID
	key    []byte // of an entry; the kind of a document
}

// exports are the tables in the order of an export. Each reads a page behind p of
// what is not over at now and not retired.
func exports() []export {
	return []export{
		{kindSession.table(), `SELECT bucket, id, ends, generation, ended, client, subject, data FROM sessions
WHERE bucket >= $1 AND (bucket, id) > ($1, $2) AND bucket > $3 AND ends > $3 ORDER BY bucket, id LIMIT $4`, keyID, scanSessionRecord},
		{kindDocument.table(), `SELECT bucket, id, kind, ends, version, data FROM documents
WHERE bucket >= $1 AND (bucket, id, kind) > ($1, $2, $5) AND bucket > $3 AND ends > $3 ORDER BY bucket, id, kind LIMIT $4`, keyIDKind, scanDocumentRecord},
		{kindMark.table(), `SELECT bucket, id FROM marks
WHERE bucket >= $1 AND (bucket, id) > ($1, $2) AND bucket > $3 ORDER BY bucket, id LIMIT $4`, keyID, scanMarkRecord},
		{kindRevocation.table(), `SELECT bucket, id, kind, value, before, ends FROM revocations
WHERE bucket >= $1 AND (bucket, id) > ($1, $2) AND bucket > $3 AND ends > $3 ORDER BY bucket, id LIMIT $4`, keyID, scanRevocationRecord},
		{"registry", `SELECT key, version, value FROM registry WHERE key > $1 ORDER BY key LIMIT $2`, keyEntry, scanEntryRecord},
	}
}

// export reads one table.
type export struct {
	table string
	sql   string
	args  func(p place, live int64) []any
	scan  func(pgx.Rows) (store.Record, place, error)
}

func keyID(p place, live int64) []any { return []any{p.bucket, p.name, live, pageSize} }

func keyIDKind(p place, live int64) []any { return append(keyID(p, live), stored(p.key)) }

func keyEntry(p place, _ int64) []any { return []any{stored(p.key), pageSize} }

func scanSessionRecord(rows pgx.Rows) (store.Record, place, error) {
	var r sessionRow
	err := rows.Scan(r.columns()...)
	one := r.session()
	return store.Record{Session: &one}, place{kindSession.table(), r.bucket, r.name, nil}, err
}

func scanDocumentRecord(rows pgx.Rows) (store.Record, place, error) {
	var r documentRow
	err := rows.Scan(r.columns()...)
	doc := r.document()
	return store.Record{Document: &doc}, place{kindDocument.table(), r.bucket, r.name, r.kind}, err
}

func scanMarkRecord(rows pgx.Rows) (store.Record, place, error) {
	p := place{table: kindMark.table()}
	err := rows.Scan(&p.bucket, &p.name)
	id := join(p.bucket, p.name)
	return store.Record{Mark: &id}, p, err
}

func scanRevocationRecord(rows pgx.Rows) (store.Record, place, error) {
	p := place{table: kindRevocation.table()}
	one, err := scanRevocation(rows, &p.bucket, &p.name)
	return store.Record{Revocation: &one}, p, err
}

func scanEntryRecord(rows pgx.Rows) (store.Record, place, error) {
	one, err := scanEntry(rows)
	return store.Record{Entry: &one}, place{table: "registry", key: []byte(one.Key)}, err
}

// String writes p for parsePlace.
func (p place) String() string {
	return strings.Join([]string{p.table, strconv.FormatInt(p.bucket, 10), hex.EncodeToString(p.name.Bytes[:]), hex.EncodeToString(p.key)}, "/")
}

// parsePlace reads what String wrote, and the empty place.
func parsePlace(text store.Place) (p place, err error) {
	p.name.Valid = true
	if text == "" {
		p.table = exports()[0].table
		return p, nil
	}
	fields := strings.Split(string(text), "/")
	if len(fields) != 4 {
		return p, errPlace(text)
	}
	p.table = fields[0]
	bucket, err := strconv.ParseInt(fields[1], 10, 64)
	name, errName := hex.DecodeString(fields[2])
	key, errKey := hex.DecodeString(fields[3])
	p.bucket, p.key = bucket, key
	if copy(p.name.Bytes[:], name); errors.Join(err, errName, errKey) != nil || len(name) != nameBytes || p.String() != string(text) {
		return p, errPlace(text)
	}
	return p, nil
}

func errPlace(text store.Place) error {
	return fmt.Errorf("postgres: %.64q is no place of this engine: begin again without one", string(text))
}

// Export implements store.Movable.
func (e *Engine) Export(ctx context.Context, after store.Place, visit func(store.Record, store.Place) error) error {
	p, err := parsePlace(after)
	if err != nil {
		return err
	}
	begun := false
	for _, x := range exports() {
		if !begun && x.table != p.table {
			continue
		}
		if begun {
			p = place{table: x.table, name: pgtype.UUID{Valid: true}}
		}
		begun = true
		if err := e.exportTable(ctx, x, p, visit); err != nil {
			return err
		}
	}
	if !begun {
		return errPlace(after)
	}
	return nil
}

func (e *Engine) exportTable(ctx context.Context, x export, p place, visit func(store.Record, store.Place) error) error {
	for {
		records, places, err := e.page(ctx, x, p)
		if err != nil {
			return fmt.Errorf("export %s: %w", x.table, err)
		}
		for i, r := range records {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := visit(r, store.Place(places[i].String())); err != nil {
				return err
			}
		}
		if len(records) < pageSize {
			return nil
		}
		p = places[len(places)-1]
	}
}

func (e *Engine) page(ctx context.Context, x export, p place) (records []store.Record, places []place, err error) {
	if err := e.door.Enter(ctx); err != nil {
		return nil, nil, err
	}
	defer e.door.Leave()
	live := max(e.cfg.Now().Unix(), e.retired.At())
	begin := func() { records, places = nil, nil }
	err = e.query(ctx, parent(x.sql), x.args(p, live), begin, func(rows pgx.Rows) error {
		r, behind, err := x.scan(rows)
		records, places = append(records, r), append(places, behind)
		return err
	})
	return records, places, err
}

// Import implements store.Movable.
func (e *Engine) Import(ctx context.Context, r store.Record) error {
	if err := e.door.Enter(ctx); err != nil {
		return err
	}
	defer e.door.Leave()
	now := e.cfg.Now()
	switch {
	case r.Session != nil:
		return e.importSession(ctx, *r.Session, now)
	case r.Document != nil:
		return e.importDocument(ctx, *r.Document, now)
	case r.Mark != nil:
		return e.importMark(ctx, *r.Mark, now)
	case r.Revocation != nil:
		return e.importRevocation(ctx, *r.Revocation, now)
	case r.Entry != nil:
		return e.importEntry(ctx, *r.Entry)
	default:
		return errors.New("postgres: import: an empty record")
	}
}

func (e *Engine) importSession(ctx context.Context, one store.Session, now time.Time) error {
	if !one.End.After(now) {
		return nil
	}
	if err := one.Check(now); err != nil {
		return err
	}
	made, err := sessions{e}.insert(ctx, one)
	if err != nil || made {
		return err
	}
	found, ok, err := sessions{e}.find(ctx, one.ID)
	if err == nil && (!ok || !found.Equal(one)) {
		err = fmt.Errorf("session %s is there and differs: %w", one.ID, store.ErrConflict)
	}
	return err
}

func (e *Engine) importDocument(ctx context.Context, doc store.Document, now time.Time) error {
	if !doc.End.After(now) {
		return nil
	}
	if err := doc.Check(now); err != nil {
		return err
	}
	made, err := documents{e}.insert(ctx, doc)
	if err != nil || made {
		return err
	}
	found, ok, err := documents{e}.find(ctx, doc.Kind, doc.ID)
	if err == nil && (!ok || !found.Equal(doc)) {
		err = fmt.Errorf("%s %s is there and differs: %w", doc.Kind, doc.ID, store.ErrConflict)
	}
	return err
}

func (e *Engine) importMark(ctx context.Context, id store.ID, now time.Time) error {
	if !id.Bucket().After(now) {
		return nil
	}
	_, err := marks{e}.insert(ctx, id)
	return err
}

func (e *Engine) importRevocation(ctx context.Context, one store.Revocation, now time.Time) error {
	if !one.End.After(now) {
		return nil
	}
	if err := one.Check(now); err != nil {
		return err
	}
	return revocations{e}.insert(ctx, one, now)
}

const importedEntry = `INSERT INTO registry (key, version, value) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`

func (e *Engine) importEntry(ctx context.Context, one store.Entry) error {
	if err := one.Check(); err != nil {
		return err
	}
	n, err := e.exec(ctx, plain(importedEntry), []byte(one.Key), int64(one.Version), one.Value)
	if err != nil || n > 0 {
		return err
	}
	found, err := registry{e}.get(ctx, one.Key)
	if err == nil && !found.Equal(one) {
		err = fmt.Errorf("entry %q is there and differs: %w", one.Key, store.ErrConflict)
	}
	return err
}
