package app

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
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

// keepRetiring drops what is over, once a minute, until ctx ends. Nodes that
// were started together drift apart, so that they do not all ask at once.
func (h *house) keepRetiring(ctx context.Context) {
	began := h.now()
	clock := steady{wall: began.Round(0)} // Round drops the monotonic reading
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(retireEach*3/4 + rand.N(retireEach/2)):
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

// retire drops the buckets that ended RetireDelay ago, by the store's clock. A
// store that cannot be reached is told of by whoever finds it so.
func (h *house) retire(ctx context.Context) {
	now, err := h.storeClock(ctx)
	dropped := 0
	if err == nil {
		dropped, err = h.engine.Retire(ctx, now.Add(-store.RetireDelay))
	}
	h.metrics.Retired(dropped, err, now)
	switch {
	case err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrUnavailable):
		h.log.Error("what is over could not be dropped; trying again in a minute", "err", err)
	case dropped > 0:
		h.log.Info("retired", "buckets", dropped, "ended_before", now.Add(-store.RetireDelay).UTC().Format(time.RFC3339))
	}
}

// storeClock is the store's time, if this host's agrees with it.
func (h *house) storeClock(ctx context.Context) (time.Time, error) {
	asked := h.now()
	theirs, err := h.engine.Clock(ctx)
	if err != nil {
		return theirs, err
	}
	return theirs, clockError(asked, h.now(), theirs)
}

// wrongClock says by how much this host's clock is not the store's.
type wrongClock string

func (w wrongClock) Error() string { return string(w) }

// timed is a registry that is changed by this host's clock: a node whose clock is
// wrong would drop the keys of live tokens, for every node.
type timed struct {
	store.Registry
	agree func(context.Context) (time.Time, error)
}

func (r timed) Put(ctx context.Context, key string, value []byte, old uint64) error {
	if _, err := r.agree(ctx); err != nil {
		return err
	}
	return r.Registry.Put(ctx, key, value, old)
}

// clockError is nil if theirs, read between asked and answered, is within
// clockBound of this host's clock.
func clockError(asked, answered, theirs time.Time) error {
	const remedy = "the store's, and 5 s are allowed: check NTP on both"
	switch ahead, behind := asked.Sub(theirs), theirs.Sub(answered); {
	case ahead > clockBound:
		return wrongClock(fmt.Sprintf("this host's clock is %s ahead of %s", ahead.Round(time.Millisecond), remedy))
	case behind > clockBound:
		return wrongClock(fmt.Sprintf("this host's clock is %s behind %s", behind.Round(time.Millisecond), remedy))
	}
	return nil
}

// storeReady reports whether the store answers and takes writes, as far as it
// knows itself, and its clock is this host's.
func (h *house) storeReady() error {
	ctx, cancel := context.WithTimeout(context.Background(), clockBound)
	defer cancel()
	err := h.judgeStore(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%w: no answer within %s", store.ErrUnavailable, clockBound)
	}
	return err
}

func (h *house) judgeStore(ctx context.Context) error {
	if _, err := h.storeClock(ctx); err != nil {
		return err
	}
	if h.fit != nil {
		if err := h.fit(ctx); err != nil {
			return err
		}
	}
	reason, err := h.engine.ReadOnly(ctx)
	if err == nil && reason != "" {
		err = fmt.Errorf("%w: %s", store.ErrReadOnly, reason)
	}
	return err
}
