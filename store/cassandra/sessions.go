package cassandra

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/longcase/longcase/store"
)

type sessions struct{ e *Engine }

const (
	loadSession   = "SELECT gen, ended, proposal, about, data FROM sessions WHERE id = ?"
	settleSession = "SELECT gen, ended, proposal FROM sessions WHERE id = ?"
	insertSession = "INSERT INTO sessions (id, gen, ended, proposal, about, data) VALUES (?, ?, ?, ?, ?, ?) IF NOT EXISTS USING TTL ?"
	updateSession = "UPDATE sessions USING TTL ? SET gen = ?, ended = ?, proposal = ?, about = ?, data = ? WHERE id = ? IF gen = ? AND ended = false AND about = ?"
)

// stored is a session and what its row keeps beside it.
type stored struct {
	store.Session
	proposal int64
	about    []byte
}

func (s sessions) Load(ctx context.Context, id store.ID) (store.Session, error) {
	if err := s.e.door.Enter(ctx); err != nil {
		return store.Session{}, err
	}
	defer s.e.door.Leave()
	found, err := s.load(ctx, id, s.e.cfg.Now())
	return found.Session, err
}

// load reads a session that is not over.
func (s sessions) load(ctx context.Context, id store.ID, now time.Time) (stored, error) {
	one := stored{Session: store.Session{ID: id}}
	missing := fmt.Errorf("session %s: %w", id, store.ErrNotFound)
	if s.e.retired.Gone(id.Bucket().Unix()) {
		return one, missing
	}
	var gen int64
	q := s.e.session.Query(loadSession, s.e.key(id[:])).Consistency(s.e.read)
	found, err := s.e.get(ctx, "read session "+id.String(), q, &gen, &one.Ended, &one.proposal, &one.about, &one.Data)
	one.Generation = store.Generation(gen)
	switch {
	case err != nil:
		return one, err
	case !found || one.about == nil: // half a row is what an end leaves for a moment, or a stranger
		return one, missing
	}
	if err := one.fill(); err != nil {
		return one, fmt.Errorf("session %s: %w", id, err)
	}
	if !one.End.After(now) {
		return one, fmt.Errorf("session %s ended at %s: %w", id, one.End.Format(time.RFC3339), store.ErrNotFound)
	}
	return one, nil
}

// fill reads the column about.
func (s *stored) fill() error {
	a, err := decodeAbout(s.about)
	s.End, s.Client, s.Subject = a.end, a.client, a.subject
	return err
}

func aboutSession(one store.Session) []byte {
	return about{end: one.End, client: one.Client, subject: one.Subject}.encode()
}

func (s sessions) Create(ctx context.Context, one store.Session) error {
	one.Generation, one.Ended = 1, false
	if err := s.e.door.Enter(ctx); err != nil {
		return err
	}
	defer s.e.door.Leave()
	return s.insert(ctx, one, s.e.cfg.Now())
}

// insert writes a session that is not there as it is.
func (s sessions) insert(ctx context.Context, one store.Session, now time.Time) error {
	if err := one.Check(now); err != nil {
		return err
	}
	if err := s.e.retired.Check(one.ID.Bucket().Unix()); err != nil {
		return err
	}
	one.End = one.End.Truncate(time.Second)
	seconds, err := ttl(one.End, now)
	if err != nil {
		return fmt.Errorf("session %s: %w", one.ID, err)
	}
	w := s.swap(one.ID, uint64(one.Generation)-1)
	w.stmt = insertSession
	w.args = []any{w.loadKey[0], int64(one.Generation), one.Ended, w.proposal, aboutSession(one), notNull(one.Data), seconds}
	applied, _, err := s.e.cas(ctx, w)
	if err == nil && !applied {
		err = fmt.Errorf("session %s exists: %w", one.ID, store.ErrConflict)
	}
	return err
}

func (s sessions) swap(id store.ID, old uint64) swap {
	return swap{what: "session " + id.String(), old: old, proposal: proposal(), load: settleSession, loadKey: []any{s.e.key(id[:])}}
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
	if err := s.e.retired.Check(one.ID.Bucket().Unix()); err != nil {
		return err
	}
	what := "session " + one.ID.String()
	if one.Generation != old+1 {
		return fmt.Errorf("%s: generation %d does not follow %d: %w", what, one.Generation, old, store.ErrConflict)
	}
	one.End = one.End.Truncate(time.Second)
	return s.e.replace(ctx, replacement{
		line: sessionLine(one.ID), what: what, old: uint64(old), about: aboutSession(one), now: now,
		swap: func(about []byte, seconds int) swap {
			w := s.swap(one.ID, uint64(old))
			w.stmt = updateSession
			w.args = []any{seconds, int64(one.Generation), one.Ended, w.proposal, about, notNull(one.Data), w.loadKey[0], int64(old), about}
			return w
		},
	})
}

func sessionLine(id store.ID) string { return "s" + string(id[:]) }

// Revoke loses against a rotation by another process, and begins anew.
func (s sessions) Revoke(ctx context.Context, id store.ID) error {
	if err := s.e.door.Enter(ctx); err != nil {
		return err
	}
	defer s.e.door.Leave()
	turn, err := s.e.lines.wait(ctx, sessionLine(id))
	if err != nil {
		return err
	}
	defer s.e.lines.done(sessionLine(id), turn)
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		done, err := s.revoke(ctx, id, turn)
		if done || err != nil {
			return err
		}
		sleep(ctx, rand.N(pause))
	}
}

// revoke ends the session at the generation that it finds. The row keeps the
// proposal of who made that generation; whether it is ended needs no other
// witness.
func (s sessions) revoke(ctx context.Context, id store.ID, turn *line) (done bool, err error) {
	now := s.e.cfg.Now()
	found, err := s.load(ctx, id, now)
	if err != nil || found.Ended {
		return true, err
	}
	seconds, err := ttl(found.End, now)
	if err != nil {
		return true, fmt.Errorf("session %s: %w", id, store.ErrNotFound)
	}
	w := s.swap(id, uint64(found.Generation))
	w.stmt, w.ends = updateSession, true
	w.args = []any{seconds, int64(found.Generation), true, found.proposal, found.about, notNull(found.Data), w.loadKey[0], int64(found.Generation), found.about}
	applied, before, err := s.e.cas(ctx, w)
	if applied {
		before = row{found: true, version: uint64(found.Generation), ended: true, about: found.about}
	}
	turn.saw(before)
	return applied || before.ended, err
}

// notNull is data for a column: a null would be a tombstone.
func notNull(data []byte) []byte {
	if data == nil {
		return []byte{}
	}
	return data
}
