package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/longcase/longcase/store"
)

type revocations struct{ e *Engine }

const (
	insertRevocation = `INSERT INTO TABLE_ (bucket, id, kind, value, before, ends)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`

	// selectFeed is where the feed stands. A cursor is of use only in the store
	// that gave it: this database, schema and line of history. A server that was
	// promoted, restored to an earlier time or restarted counts transactions on a
	// line of its own: a crash forgets those that had ended and were not on disk
	// (rolled back, or of others who do not wait) and gives their numbers again.
	// Where one process crashed the server goes on by itself, and discards its
	// statistics.
	selectFeed = `SELECT left(md5(concat_ws(' ', store, (SELECT system_identifier FROM pg_control_system()),
	(SELECT oid FROM pg_database WHERE datname = current_database()), current_schema()::regnamespace::oid,
	left(pg_walfile_name(pg_current_wal_insert_lsn()), 8), extract(epoch FROM pg_postmaster_start_time()),
	extract(epoch FROM pg_stat_get_bgwriter_stat_reset_time()))), 16), pg_current_snapshot()::text, retired FROM meta`

	selectRevocations = `SELECT kind, value, before, ends FROM revocations
WHERE bucket > $1 AND xid >= $2::text::xid8 AND NOT pg_visible_in_snapshot(xid, $3::text::pg_snapshot)`

	// renumber gives entries that a dump brought from a server with higher
	// transactions one of this server: the feed would show them for ever.
	renumber = `UPDATE revocations SET xid = pg_current_xact_id() WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())`
)

func (r revocations) Add(ctx context.Context, one store.Revocation) error {
	if err := r.e.door.Enter(ctx); err != nil {
		return err
	}
	defer r.e.door.Leave()
	now := r.e.cfg.Now()
	if err := one.Check(now); err != nil {
		return err
	}
	return r.insert(ctx, one, now)
}

// insert adds one. If it is there it has been seen, or will be.
func (r revocations) insert(ctx context.Context, one store.Revocation, now time.Time) error {
	_, err := r.e.insert(ctx, kindRevocation, one.Bucket(now).Unix(), insertRevocation, one.Bucket(now).Unix(), nameOf(one),
		[]byte(one.Kind), []byte(one.Value), nanos(one.Before), one.End.Unix())
	if err != nil {
		return fmt.Errorf("revocation of %s %s: %w", one.Kind, one.Value, err)
	}
	return nil
}

// nameOf is a hash of what r says.
func nameOf(r store.Revocation) (name pgtype.UUID) {
	h := sha256.New()
	write := func(s string) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	write(string(r.Kind))
	write(r.Value)
	write(fmt.Sprint(r.Before.IsZero(), r.Before.Unix(), r.Before.Nanosecond(), r.End.Unix()))
	copy(name.Bytes[:], h.Sum(nil))
	name.Valid = true
	return name
}

// nanos is t in Unix nanoseconds, nil for the zero time. What lies beyond the
// years that these reach, 1678 to 2262, is the last of them.
func nanos(t time.Time) *int64 {
	n := t.UnixNano()
	switch {
	case t.IsZero():
		return nil
	case t.Before(time.Unix(0, math.MinInt64)):
		n = math.MinInt64
	case t.After(time.Unix(0, math.MaxInt64)):
		n = math.MaxInt64
	}
	return &n
}

func (r revocations) Since(ctx context.Context, c store.Cursor) (added []store.Revocation, next store.Cursor, err error) {
	if err := r.e.door.Enter(ctx); err != nil {
		return nil, "", err
	}
	defer r.e.door.Leave()
	err = r.e.try(ctx, false, func(own context.Context, conn *pgxpool.Conn) error {
		added, next, err = r.since(own, conn, c)
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("the feed of revocations: %w", err)
	}
	return added, next, nil
}

// since first asks where the feed stands and then reads, so that what is read is
// all of that and may be more. What the cursor had not seen is read, however long
// ago it was written: a transaction counts from its beginning, but is seen at its
// end.
func (r revocations) since(ctx context.Context, conn *pgxpool.Conn, c store.Cursor) (added []store.Revocation, next store.Cursor, err error) {
	var identity, text string
	var retired int64
	if err := conn.QueryRow(ctx, selectFeed, pgx.QueryExecModeCacheDescribe).Scan(&identity, &text, &retired); err != nil {
		return nil, "", err
	}
	now, ok := parseSnapshot(text)
	if !ok {
		return nil, "", fmt.Errorf("the server's snapshot is %q", text)
	}
	r.e.retired.Raise(retired)
	was := seen(c, identity, now)
	least := strconv.FormatUint(was.least(), 10)
	err = queryOn(ctx, conn, parent(selectRevocations), []any{r.e.retired.At(), least, was.String()}, func(rows pgx.Rows) error {
		one, err := scanRevocation(rows)
		added = append(added, one)
		return err
	})
	return added, cursorOf(identity, now), err
}

func scanRevocation(rows pgx.Rows, more ...any) (one store.Revocation, err error) {
	var kind, value []byte
	var before *int64
	var ends int64
	err = rows.Scan(append(more, &kind, &value, &before, &ends)...)
	one.Kind, one.Value, one.End = store.RevocationKind(kind), string(value), at(ends)
	if before != nil {
		one.Before = time.Unix(0, *before).UTC()
	}
	return one, err
}

// renumberFeed makes good what a dump and restore does to the feed.
func (e *Engine) renumberFeed(ctx context.Context) error {
	n, err := e.exec(ctx, parent(renumber))
	switch {
	case isReadOnly(err): // whoever makes it writable opens it anew
		return nil
	case err != nil:
		return fmt.Errorf("number the feed anew: %w", err)
	case n > 0:
		e.cfg.Log.Warn("revocations came from another server: the feed shows them once more", "entries", n)
	}
	return nil
}
