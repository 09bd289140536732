package embedded

import (
	"context"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/longcase/longcase/store"
)

type sessions struct{ e *Engine }

func (s sessions) Load(ctx context.Context, id store.ID) (store.Session, error) {
	if err := s.e.door.Enter(ctx); err != nil {
		return store.Session{}, err
	}
	defer s.e.door.Leave()
	now := s.e.cfg.Now()
	value, err := s.e.read(ctx, idKey(kindSession, id))
	if err != nil {
		return store.Session{}, err
	}
	return s.live(id, value, now)
}

// live decodes value, nil for none, and judges the end.
func (s sessions) live(id store.ID, value []byte, now time.Time) (store.Session, error) {
	if value == nil || s.e.retired.Gone(id.Bucket().Unix()) {
		return store.Session{}, fmt.Errorf("session %s: %w", id, store.ErrNotFound)
	}
	found, err := decodeSession(idKey(kindSession, id), value)
	if err != nil {
		return store.Session{}, err
	}
	if !found.End.After(now) {
		return store.Session{}, fmt.Errorf("session %s ended at %s: %w", id, found.End.Format(time.RFC3339), store.ErrNotFound)
	}
	return found, nil
}

func (s sessions) Create(ctx context.Context, one store.Session) error {
	return s.change(ctx, one, func(value []byte, _ time.Time) (store.Session, error) {
		if value != nil {
			return one, fmt.Errorf("session %s exists: %w", one.ID, store.ErrConflict)
		}
		one.Generation, one.Ended = 1, false
		return one, nil
	})
}

func (s sessions) Replace(ctx context.Context, one store.Session, old store.Generation) error {
	return s.change(ctx, one, func(value []byte, now time.Time) (store.Session, error) {
		conflict := fmt.Errorf("session %s, generation %d: %w", one.ID, old, store.ErrConflict)
		if value == nil {
			return one, conflict
		}
		found, err := decodeSession(idKey(kindSession, one.ID), value)
		switch {
		case err != nil:
			return one, err
		case !found.End.After(now):
			return one, fmt.Errorf("session %s: %w", one.ID, store.ErrEnded)
		case found.Ended || found.Generation != old || one.Generation != old+1:
			return one, conflict
		}
		found.Generation, found.Ended, found.Data = one.Generation, one.Ended, one.Data
		return found, nil
	})
}

// change writes what decide makes of the stored value, nil for none, while it
// holds the key.
func (s sessions) change(ctx context.Context, one store.Session, decide func(value []byte, now time.Time) (store.Session, error)) error {
	if err := s.e.enterWrite(ctx); err != nil {
		return err
	}
	defer s.e.door.Leave()
	key := idKey(kindSession, one.ID)
	held, err := s.e.flights.hold(ctx, key)
	if err != nil {
		return err
	}
	defer held.release()
	now := s.e.cfg.Now()
	if err := one.Check(now); err != nil {
		return err
	}
	if err := s.e.retired.Check(one.ID.Bucket().Unix()); err != nil {
		return err
	}
	value, err := s.e.get(key)
	if err != nil {
		return err
	}
	next, err := decide(value, now)
	if err != nil {
		return err
	}
	return s.e.set(held, key, encodeSession(next))
}

func (s sessions) Revoke(ctx context.Context, id store.ID) error {
	if err := s.e.enterWrite(ctx); err != nil {
		return err
	}
	defer s.e.door.Leave()
	key := idKey(kindSession, id)
	held, err := s.e.flights.hold(ctx, key)
	if err != nil {
		return err
	}
	defer held.release()
	value, err := s.e.get(key)
	if err != nil {
		return err
	}
	found, err := s.live(id, value, s.e.cfg.Now())
	if err != nil || found.Ended {
		return err
	}
	found.Ended = true
	return s.e.set(held, key, encodeSession(found))
}

func (s sessions) List(ctx context.Context, after store.ID, limit int) (all []store.Session, err error) {
	if err := s.e.door.Enter(ctx); err != nil {
		return nil, err
	}
	defer s.e.door.Leave()
	now := s.e.cfg.Now()
	if live := bucketID(max(now.Unix(), s.e.retired.At()) + 1); string(live[:]) > string(after[:]) {
		after = live
	}
	first := append(idKey(kindSession, after), 0)
	err = s.e.scan(ctx, first, bucketEnd(kindSession), func(it *pebble.Iterator) (bool, error) {
		if len(all) >= limit {
			return false, nil
		}
		one, err := decodeSession(it.Key(), append([]byte{}, it.Value()...))
		if err == nil && one.End.After(now) {
			all = append(all, one)
		}
		return true, err
	})
	return all, err
}

// bucketID is below every id whose bucket ends at end or later.
func bucketID(end int64) (id store.ID) {
	copy(id[:], bucketKey(kindSession, end)[1:])
	return id
}
