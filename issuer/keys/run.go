package keys

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/longcase/longcase/store"
)

// How often the schedule is read again whatever happens (clocks step, machines
// sleep), and how long a failure rests.
const (
	maxNap   = time.Minute
	minNap   = 50 * time.Millisecond
	minPause = time.Second
	maxPause = 5 * time.Second
	tellEach = time.Minute // between two lines that the timeline cannot be kept
)

// Run follows the registry and the timeline until ctx ends: it takes over what
// other nodes change and makes the changes that are due. It returns ctx's error.
func (k *Keyring) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return k.follow(ctx, ringEntry, k.applyRing) })
	g.Go(func() error { return k.follow(ctx, macEntry, k.applyMACs) })
	g.Go(func() error { return k.keepSchedule(ctx) })
	return g.Wait()
}

// Refresh reads the ring from the registry now. It is for whoever knows that
// another node has changed it and cannot wait until the watch tells. It changes
// nothing in the registry.
func (k *Keyring) Refresh(ctx context.Context) error {
	e, err := k.read(ctx, ringEntry)
	if err != nil {
		return err
	}
	return k.applyRing(e)
}

// follow applies every change of one entry.
func (k *Keyring) follow(ctx context.Context, entry string, apply func(store.Entry) error) error {
	changed := func(e store.Entry) {
		if e.Key != entry {
			return
		}
		if err := apply(e); err != nil {
			k.cfg.Log.Error("keys cannot be taken over, the last ones stay in use", "entry", entry, "err", err)
		}
	}
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		began := time.Now()
		err := k.cfg.Registry.Watch(ctx, entry, changed)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Since(began) > maxPause {
			pause = minPause
		}
		k.cfg.Log.Warn("the registry cannot be watched", "entry", entry, "again_in", pause, "err", err)
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// keepSchedule makes the changes that are due.
func (k *Keyring) keepSchedule(ctx context.Context) error {
	var told time.Time
	for {
		nap := k.nap(k.cfg.Now())
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-k.wake:
			continue
		case <-time.After(nap):
		}
		if err := k.tend(ctx); err != nil {
			if now := time.Now(); now.Sub(told) >= tellEach {
				told = now
				k.cfg.Log.Warn("the keys' timeline cannot be kept; trying again each second", "err", err)
			}
			if err := sleep(ctx, minPause); err != nil {
				return err
			}
		}
	}
}

// nap is how long nothing is to be done.
func (k *Keyring) nap(now time.Time) time.Duration {
	ring, macs := k.ring.Load(), k.macs.Load()
	if ring == nil || macs == nil {
		return minNap
	}
	due := ring.due(now, k.policy)
	if d := macs.record.due(now); d.Before(due) {
		due = d
	}
	return min(max(due.Sub(now), minNap), maxNap)
}

// tend makes every change that is due now; it does not touch the registry if
// none is.
func (k *Keyring) tend(ctx context.Context) error {
	now := k.cfg.Now()
	if v := k.ring.Load(); v == nil {
		return k.Load(ctx)
	} else if !v.due(now, k.policy).After(now) {
		if err := k.changeRing(ctx, now, k.tendRing); err != nil {
			return err
		}
	}
	if v := k.macs.Load(); v == nil || !v.record.due(now).After(now) {
		return k.tendMACs(ctx, now)
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
