package app

import (
	"context"
	"fmt"
	"time"

	"github.com/longcase/longcase/store"
)

const (
	retireEach = time.Minute
	clockBound = 5 * time.Second // a node further from the store's clock is not ready, and a larger jump is a step
)

// steady watches the wall clock by the monotonic one. What a wrong clock drops
// is lost for good, so nothing is dropped until the two have agreed for a while.
// The zero value has seen the beginning of time.
type steady struct {
	wall  time.Time
	mono  time.Duration
	since time.Duration // on the monotonic clock: the two have agreed from here on
}

// observe takes a reading of both clocks. It reports how long they have agreed,
// and by how much the wall clock stepped since the last reading, if it did.
func (s *steady) observe(wall time.Time, mono time.Duration) (agreed, step time.Duration) {
	step = wall.Sub(s.wall) - (mono - s.mono)
	if step.Abs() > clockBound {
		s.since = mono
	} else {
		step = 0
	}
	s.wall, s.mono = wall, mono
	return mono - s.since, step
}

// keepRetiring drops what is over, once a minute, until ctx ends.
func (h *house) keepRetiring(ctx context.Context) {
	tick := time.NewTicker(retireEach)
	defer tick.Stop()
	began := h.now()
	clock := steady{wall: began.Round(0)} // Round drops the monotonic reading
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			now := h.now()
			agreed, step := clock.observe(now.Round(0), now.Sub(began))
			if step != 0 {
				h.log.Warn("the wall clock stepped; nothing is dropped until it has been steady for a while: check NTP on this host",
					"by", step.Round(time.Second), "for", store.RetireDelay)
			}
			if agreed >= store.RetireDelay {
				h.retire(ctx)
			}
		}
	}
}

// retire drops the buckets that ended RetireDelay ago, by the store's clock.
func (h *house) retire(ctx context.Context) {
	now, err := h.storeClock(ctx)
	dropped := 0
	if err == nil {
		dropped, err = h.engine.Retire(ctx, now.Add(-store.RetireDelay))
	}
	h.metrics.Retired(dropped, err, now)
	switch {
	case err != nil && ctx.Err() == nil:
		h.log.Error("what is over could not be dropped; trying again in a minute", "err", err)
	case dropped > 0:
		h.log.Info("retired", "buckets", dropped, "ended_before", now.Add(-store.RetireDelay).UTC().Format(time.RFC3339))
	}
}

// storeClock is the store's time, if this host's agrees with it.
func (h *house) storeClock(ctx context.Context) (time.Time, error) {
	theirs, err := h.engine.Clock(ctx)
	if err != nil {
		return theirs, err
	}
	if off := h.now().Sub(theirs).Abs(); off > clockBound {
		return theirs, fmt.Errorf("this host's clock is %s away from the store's: check NTP on both", off.Round(time.Millisecond))
	}
	return theirs, nil
}

// storeReady reports whether the store answers and its clock is this host's.
func (h *house) storeReady() error {
	ctx, cancel := context.WithTimeout(context.Background(), clockBound)
	defer cancel()
	_, err := h.storeClock(ctx)
	return err
}
