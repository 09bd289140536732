package fresh

import (
	"context"
	"slices"
	"time"

	"github.com/longcase/longcase/token"
)

const (
	maxPause = time.Minute          // of Run: a clock may be set, and no timer runs while the machine sleeps
	minPause = 5 * time.Millisecond // of Run, however short the lives are
)

// Run keeps the layer warm until ctx ends: it renews although nobody asks, ahead
// of each end, at once after a refusal, and when a parent that failed is well
// again. A parent is renewed when a renewal of the layer asks it for a lease;
// it may have a Run of its own. Run returns ctx's error, or at once what is wrong
// with the policy. A renewal under way then ends by itself within the policy's
// timeout.
func (l *Layer[T]) Run(ctx context.Context) error {
	if l.wrong != nil {
		return l.wrong
	}
	news := make(chan struct{}, 1)
	for _, n := range append(slices.Clone(l.parents), node(l)) {
		n.watch(news)
		defer n.unwatch(news)
	}
	l.keepers(+1)
	defer l.keepers(-1)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		case <-news:
		}
		timer.Reset(l.keep())
	}
}

// keep does what is to be done now and returns until when nothing is.
func (l *Layer[T]) keep() time.Duration {
	now := l.clock.now()
	l.look(now)
	if h := l.inHand(now); h == nil || h.decide(now) != use {
		_, _ = l.board(now, false)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return min(max(l.pause(now), minPause), maxPause)
}

func (l *Layer[T]) pause(now token.Instant) time.Duration {
	h := l.held.Load()
	switch {
	case l.flight != nil && h != nil && !h.endless:
		return max(now.Until(h.end), time.Second)
	case l.flight != nil, l.stuck != nil:
		return maxPause
	case h != nil && h.endless:
		return now.Until(h.ahead)
	case h != nil:
		return now.Until(first(h.ahead, h.end))
	case l.failure.err != nil && !now.Reached(l.tryAt()):
		return now.Until(l.tryAt())
	case l.failure.err != nil:
		return time.Second // a parent is stuck
	}
	return 0
}

// tryAt is when the next attempt is, after a failure.
func (l *Layer[T]) tryAt() token.Instant {
	if l.failure.by == nil {
		return l.failure.retry
	}
	return last(l.failure.retry, l.failure.by.nextTry())
}

func (l *Layer[T]) nextTry() token.Instant {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failure.err == nil {
		return token.Instant{}
	}
	return l.tryAt()
}

// ready reports whether a child may ask for a lease: there is one, or an attempt
// to get one is under way or may be made.
func (l *Layer[T]) ready(now token.Instant) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.held.Load()
	return h != nil && h.decide(now) != ended || l.flight != nil || l.wrong == nil && l.mayTry(now)
}

// look has the layer and those it stands on notice that a clock was set.
func (l *Layer[T]) look(now token.Instant) {
	l.inHand(now)
	for _, p := range l.parents {
		p.look(now)
	}
}

func (l *Layer[T]) keepers(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.warm += n
}

// watch has news told that the layer changed; unwatch ends that.
func (l *Layer[T]) watch(news chan<- struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watchers = append(l.watchers, news)
}

func (l *Layer[T]) unwatch(news chan<- struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.watchers, news); i >= 0 {
		l.watchers = slices.Delete(l.watchers, i, i+1)
	}
}

// wake tells those who watch.
func (l *Layer[T]) wake() {
	for _, news := range l.watchers {
		select {
		case news <- struct{}{}:
		default:
		}
	}
}
