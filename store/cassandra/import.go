package cassandra

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/longcase/longcase/store"
)

// Import implements store.Movable. The first revocation reads the whole feed.
func (e *Engine) Import(ctx context.Context, r store.Record) error {
	if err := e.door.Enter(ctx); err != nil {
		return err
	}
	defer e.door.Leave()
	now := e.cfg.Now()
	switch {
	case r.Session != nil:
		return sessions{e}.imported(ctx, *r.Session, now)
	case r.Document != nil:
		return documents{e}.imported(ctx, *r.Document, now)
	case r.Mark != nil:
		return marks{e}.imported(ctx, *r.Mark, now)
	case r.Revocation != nil:
		return revocations{e}.imported(ctx, *r.Revocation, now)
	case r.Entry != nil:
		return registry{e}.imported(ctx, *r.Entry)
	}
	return errors.New("cassandra: an empty record")
}

func (s sessions) imported(ctx context.Context, one store.Session, now time.Time) error {
	if !one.End.After(now) {
		return nil
	}
	err := s.insert(ctx, one, now)
	if !errors.Is(err, store.ErrConflict) {
		return err
	}
	found, loadErr := s.load(ctx, one.ID, now)
	if loadErr != nil || found.Equal(one) {
		return loadErr
	}
	return err
}

func (d documents) imported(ctx context.Context, one store.Document, now time.Time) error {
	if !one.End.After(now) {
		return nil
	}
	err := d.insert(ctx, one, now)
	if !errors.Is(err, store.ErrConflict) {
		return err
	}
	found, loadErr := d.load(ctx, one.Kind, one.ID, now)
	if loadErr != nil || found.Equal(one) {
		return loadErr
	}
	return err
}

func (m marks) imported(ctx context.Context, id store.ID, now time.Time) error {
	if !id.Bucket().After(now) {
		return nil
	}
	_, err := m.insert(ctx, id, now)
	return err
}

func (r registry) imported(ctx context.Context, one store.Entry) error {
	if err := one.Check(); err != nil {
		return err
	}
	if one.Version == 0 {
		return fmt.Errorf("entry %q has no version: %w", one.Key, store.ErrConflict)
	}
	err := r.write(ctx, one, 0)
	if !errors.Is(err, store.ErrConflict) {
		return err
	}
	found, loadErr := r.get(ctx, one.Key)
	if loadErr != nil || found.Equal(one) {
		return loadErr
	}
	return err
}

func (r revocations) imported(ctx context.Context, one store.Revocation, now time.Time) error {
	if !one.End.After(now) {
		return nil
	}
	return r.e.known.add(ctx, r, one, now)
}

// known is the revocations that were in the feed when the first was imported,
// and those imported since: an import twice is once.
type known struct {
	mu  sync.Mutex
	all map[string]bool
}

// add adds one unless it is known.
func (k *known) add(ctx context.Context, r revocations, one store.Revocation, now time.Time) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.load(ctx, r); err != nil {
		return err
	}
	key := string(encodeRevocation(one))
	if k.all[key] {
		return nil
	}
	if err := r.add(ctx, one, now); err != nil {
		return err
	}
	k.all[key] = true
	return nil
}

func (k *known) load(ctx context.Context, r revocations) error {
	if k.all != nil {
		return nil
	}
	now, err := r.e.clock(ctx)
	if err != nil {
		return err
	}
	all := map[string]bool{}
	err = r.since(ctx, time.Unix(0, 0), now, func(there placed) error {
		all[string(encodeRevocation(there.Revocation))] = true
		return nil
	})
	if err == nil {
		k.all = all
	}
	return err
}
