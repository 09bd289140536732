package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/longcase/longcase/store"
)

type sessions struct{ e *Engine }

const (
	selectSession = `SELECT bucket, id, ends, generation, ended, client, subject, data FROM TABLE_ WHERE bucket = $1 AND id = $2`

	insertSession = `INSERT INTO TABLE_ (bucket, id, ends, generation, ended, client, subject, data)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING`

	rotateSession = `UPDATE TABLE_ SET generation = $3, ended = $4, data = $5
WHERE bucket = $1 AND id = $2 AND generation = $6 AND NOT ended AND ends > $7`

	revokeSession = `UPDATE TABLE_ SET ended = true WHERE bucket = $1 AND id = $2 AND ends > $3`

	// The first condition is for the planner: it leaves out partitions by it.
	listSessions = `SELECT bucket, id, ends, generation, ended, client, subject, data FROM TABLE_
WHERE bucket >= $1 AND (bucket, id) > ($1, $2) AND bucket > $3 AND ends > $3 ORDER BY bucket, id LIMIT $4`
)

// sessionRow is one session as its columns are read.
type sessionRow struct {
	bucket, ends, generation int64
	name                     pgtype.UUID
	client, subject          []byte
	one                      store.Session
}

func (r *sessionRow) columns() []any {
	return []any{&r.bucket, &r.name, &r.ends, &r.generation, &r.one.Ended, &r.client, &r.subject, &r.one.Data}
}

func (r *sessionRow) session() store.Session {
	r.one.ID, r.one.End, r.one.Generation = join(r.bucket, r.name), at(r.ends), store.Generation(r.generation)
	r.one.Client, r.one.Subject = string(r.client), string(r.subject)
	return r.one
}

// find reads a session, over or not, unless its bucket was retired.
func (s sessions) find(ctx context.Context, id store.ID) (one store.Session, found bool, err error) {
	bucket, name := parts(id)
	var r sessionRow
	found, err = s.e.find(ctx, kindSession, bucket, selectSession, []any{bucket, name}, r.columns()...)
	if err != nil || !found {
		return one, false, err
	}
	return r.session(), true, nil
}

func (s sessions) Load(ctx context.Context, id store.ID) (store.Session, error) {
	if err := s.e.door.Enter(ctx); err != nil {
		return store.Session{}, err
	}
	defer s.e.door.Leave()
	now := s.e.cfg.Now()
	one, found, err := s.find(ctx, id)
	switch {
	case err != nil:
		return store.Session{}, fmt.Errorf("session %s: %w", id, err)
	case !found:
		return store.Session{}, fmt.Errorf("session %s: %w", id, store.ErrNotFound)
	case !one.End.After(now):
		return store.Session{}, fmt.Errorf("session %s ended at %s: %w", id, stamp(one.End.Unix()), store.ErrNotFound)
	}
	return one, nil
}

func (s sessions) Create(ctx context.Context, one store.Session) error {
	if err := s.e.door.Enter(ctx); err != nil {
		return err
	}
	defer s.e.door.Leave()
	if err := one.Check(s.e.cfg.Now()); err != nil {
		return err
	}
	one.Generation, one.Ended = 1, false
	made, err := s.insert(ctx, one)
	switch {
	case err != nil:
		return fmt.Errorf("session %s: %w", one.ID, err)
	case !made:
		return fmt.Errorf("session %s exists: %w", one.ID, store.ErrConflict)
	}
	return nil
}

// insert reports whether there was no such session.
func (s sessions) insert(ctx context.Context, one store.Session) (made bool, err error) {
	bucket, name := parts(one.ID)
	n, err := s.e.insert(ctx, kindSession, bucket, insertSession, bucket, name, one.End.Unix(), int64(one.Generation), one.Ended,
		[]byte(one.Client), []byte(one.Subject), stored(one.Data))
	return n > 0, err
}

func (s sessions) Replace(ctx context.Context, one store.Session, old store.Generation) error {
	if err := s.e.door.Enter(ctx); err != nil {
		return err
	}
	defer s.e.door.Leave()
	now := s.e.cfg.Now()
	if err := one.Check(now); err != nil {
		return err
	}
	bucket, name := parts(one.ID)
	if err := s.e.retired.Check(bucket); err != nil {
		return err
	}
	var n int64
	var err error
	if one.Generation == old+1 {
		n, err = s.e.update(ctx, kindSession, bucket, rotateSession, bucket, name, int64(one.Generation), one.Ended, stored(one.Data), int64(old), now.Unix())
	}
	if err == nil && n == 0 {
		err = s.whyNot(ctx, one.ID, old, now)
	}
	if err != nil {
		return fmt.Errorf("session %s: %w", one.ID, err)
	}
	return nil
}

// whyNot tells why no session was replaced. A generation that was not there a
// moment ago is not there now.
func (s sessions) whyNot(ctx context.Context, id store.ID, old store.Generation, now time.Time) error {
	found, ok, err := s.find(ctx, id)
	switch {
	case err != nil:
		return err
	case ok && !found.End.After(now):
		return fmt.Errorf("its end was %s: %w", stamp(found.End.Unix()), store.ErrEnded)
	}
	if err := s.e.refuseReadOnly(ctx); err != nil {
		return err
	}
	return fmt.Errorf("it is not at generation %d: %w", old, store.ErrConflict)
}

func (s sessions) Revoke(ctx context.Context, id store.ID) error {
	if err := s.e.door.Enter(ctx); err != nil {
		return err
	}
	defer s.e.door.Leave()
	bucket, name := parts(id)
	var n int64
	var err error
	if !s.e.retired.Gone(bucket) {
		n, err = s.e.update(ctx, kindSession, bucket, revokeSession, bucket, name, s.e.cfg.Now().Unix())
	}
	if err == nil && n == 0 {
		err = s.e.refuseReadOnly(ctx)
	}
	switch {
	case err != nil:
		return fmt.Errorf("session %s: %w", id, err)
	case n == 0:
		return fmt.Errorf("session %s: %w", id, store.ErrNotFound)
	}
	return nil
}

func (s sessions) List(ctx context.Context, after store.ID, limit int) (all []store.Session, err error) {
	if err := s.e.door.Enter(ctx); err != nil {
		return nil, err
	}
	defer s.e.door.Leave()
	bucket, name := parts(after)
	live := max(s.e.cfg.Now().Unix(), s.e.retired.At())
	begin := func() { all = nil }
	err = s.e.query(ctx, onParent(listSessions, kindSession), []any{bucket, name, live, max(limit, 0)}, begin, func(rows pgx.Rows) error {
		var r sessionRow
		if err := rows.Scan(r.columns()...); err != nil {
			return err
		}
		all = append(all, r.session())
		return nil
	})
	return all, err
}
