package store

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/longcase/longcase/store"
)

// engine is one of ours. Its clock stands behind until it drops.
type engine struct {
	store.Engine
	live  *stock
	over  time.Time // when what has ended may be retired
	ahead atomic.Int64
}

// now is the engine's clock.
func (e *engine) now() time.Time { return time.Now().Add(time.Duration(e.ahead.Load())) }

func (e *engine) setClock(to time.Time) { e.ahead.Store(int64(time.Until(to))) }

// expect is told when the last of the ended sessions ends.
func (e *engine) expect(end time.Time) {
	e.over = store.Medium.Bucket(end).Add(store.RetireDelay + time.Second)
}

func (e *engine) rotate(i int) error {
	ctx := context.Background()
	one, err := e.Sessions().Load(ctx, e.live.all[i].ID)
	if err != nil {
		return err
	}
	one.Generation++
	err = e.Sessions().Replace(ctx, one, one.Generation-1)
	if errors.Is(err, store.ErrConflict) { // the one before took as long as a whole turn
		return nil
	}
	return err
}

func (e *engine) drop(ctx context.Context) (time.Duration, error) {
	e.setClock(e.over)
	return timed(func() error {
		n, err := e.Retire(ctx, e.now().Add(-store.RetireDelay))
		if err == nil && n == 0 {
			err = errors.New("nothing was retired")
		}
		return err
	})
}

// ends is when the i-th ended session ends: over a quarter of an hour before end.
func ends(i int, end time.Time) time.Time {
	return end.Add(-time.Duration(i%10_000) * 100 * time.Millisecond)
}
