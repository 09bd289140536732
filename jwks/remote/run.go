package remote

import (
	"context"
	"math/rand/v2"
	"time"
)

// When the set is fetched again.
const (
	minAge   = time.Second      // at the earliest after a good fetch
	noAge    = 10 * time.Second // after one that may not be cached, of a set that rests
	lively   = time.Minute      // a set that is new or has changed may change again soon
	maxAge   = time.Hour        // at the latest
	followUp = 5 * time.Second  // after the feed's word: a node of the issuer may be behind
	minPause = time.Second      // after the first failure
	maxPause = 5 * time.Second  // after later ones
)

// Run fetches the set at once, then before its time is over, when an unknown kid
// or the feed asks for it, and within 5 s of a failure, until ctx ends. It
// returns ctx's error.
func (s *Source) Run(ctx context.Context) error {
	pause, changed := minPause, s.cfg.Now()
	for {
		word := s.begin()
		got, err := s.fetch.get(ctx)
		s.end(ctx, got, err)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if got.changed {
			changed = s.cfg.Now()
		}
		var nap time.Duration
		switch {
		case err != nil:
			nap, pause = jitter(pause, 0.8, 1), min(2*pause, maxPause)
		case word:
			nap, pause = followUp, minPause
		default:
			nap, pause = renewal(got.age, s.cfg.Now().Sub(changed) > lively), minPause
		}
		if err := s.rest(ctx, nap); err != nil {
			return err
		}
	}
}

// renewal is when to fetch again a set that may be used for age. Many who forbid
// caches do so out of habit: they are asked often only while their keys change.
func renewal(age time.Duration, rests bool) time.Duration {
	if age == 0 && rests {
		return noAge
	}
	return min(max(jitter(age, 0.75, 0.9), minAge), maxAge)
}

func jitter(d time.Duration, from, to float64) time.Duration {
	return time.Duration(float64(d) * (from + (to-from)*rand.Float64()))
}

// begin makes the fetch that is wanted the one under way and reports whether
// the feed asked for it.
func (s *Source) begin() (word bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flying, s.wanted = s.wanted, nil
	if s.flying == nil {
		s.flying = newFlight()
	}
	word, s.word = s.word, false
	return word
}

// end takes over what was fetched and tells all who wait.
func (s *Source) end(ctx context.Context, got answer, err error) {
	changed := false
	if ctx.Err() == nil {
		changed = s.take(got, err)
	}
	s.mu.Lock()
	before, found := s.failure, s.lost == nil
	if ctx.Err() == nil {
		s.failure, s.lost = err, got.lost
	}
	close(s.flying.done)
	close(s.landing.done)
	s.flying, s.landing = nil, newFlight()
	s.mu.Unlock()
	if changed {
		s.cfg.Changed()
	}
	if ctx.Err() == nil {
		s.tell(got, err, before, changed)
		if got.lost != nil && found {
			s.cfg.Log.Warn("the issuer's metadata cannot be read; the keys come from where it last said",
				"keys_of", s.fetch.rules.name, "for_at_most", s.cfg.Stale, "err", got.lost)
		}
	}
}

// take swaps the set, or lets the last good one grow old.
func (s *Source) take(got answer, err error) (changed bool) {
	last := s.held.Load()
	if err == nil {
		s.held.Store(&held{set: got.set, since: got.asked})
		return got.changed || last == nil || !last.until.IsZero()
	}
	if last == nil {
		return false
	}
	if last.until.IsZero() {
		s.held.Store(&held{set: last.set, since: last.since, until: last.since.Add(s.cfg.Stale)})
	}
	return s.live() == nil
}

// tell writes to the log what an operator would want to know, once.
func (s *Source) tell(got answer, err, before error, changed bool) {
	log := s.cfg.Log.With("keys_of", s.fetch.rules.name)
	switch {
	case err != nil && before == nil:
		log.Warn("the keys cannot be fetched; trying again every few seconds", "stale_after", s.cfg.Stale, "err", err)
	case err != nil:
		log.Debug("the keys cannot be fetched", "err", err)
	case before != nil || changed:
		log.Info("keys fetched", "keys", got.set.Len(), "skipped", got.set.Skipped(), "again_within", got.age)
	}
}

// rest waits for d, or until a fetch is wanted.
func (s *Source) rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			return nil
		case <-s.wake:
			s.mu.Lock()
			wanted := s.wanted != nil // not one that was begun meanwhile
			s.mu.Unlock()
			if wanted {
				return nil
			}
		}
	}
}
