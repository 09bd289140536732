package fresh_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/token"
)

// long is n where the large counts run whole; otherwise a twentieth.
func long(n int) int {
	if os.Getenv("LONGCASE_LONG") == "1" {
		return n
	}
	return max(n/20, 1)
}

// host is a machine whose clock can be set and which can sleep. Timers and the
// monotonic clock are those of the synctest bubble.
type host struct {
	mu    sync.Mutex
	set   time.Duration // the wall is ahead of the truth by this
	slept time.Duration
	at    time.Time // of the last shift
}

func (h *host) shift(set, slept time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.set, h.slept, h.at = h.set+set, h.slept+slept, time.Now()
}

// justShifted reports whether the machine slept, or its clock was set, at this
// very instant.
func (h *host) justShifted() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at.Equal(time.Now())
}

// truth is the time of every service.
func (h *host) truth() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Now().Add(h.slept)
}

func (h *host) now() token.Instant {
	now := fresh.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	now.Wall = now.Wall.Add(h.slept + h.set)
	return now
}

// source is a service that issues v1, v2 and so on, and is told how to behave.
type source struct {
	mu    sync.Mutex
	name  string
	calls int
	life  time.Duration
	takes time.Duration
	err   error // instead of an answer
	same  bool  // issue the last one again
	issue int
}

func (s *source) fetch(ctx context.Context, _ time.Time) (fresh.Credential[fresh.Token], error) {
	s.mu.Lock()
	s.calls++
	takes := s.takes
	s.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return fresh.Credential[fresh.Token]{}, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return fresh.Credential[fresh.Token]{}, s.err
	}
	if !s.same {
		s.issue++
	}
	return fresh.Credential[fresh.Token]{Value: bearer(fmt.Sprintf("%s%d", s.name, s.issue)), Life: s.life}, nil
}

// from is fetch for a layer on another; what it does with the lease of the
// parent is in use.
func (s *source) from(use func(fresh.Lease[fresh.Token]) error) fresh.Fetch[fresh.Token, fresh.Token] {
	return func(ctx context.Context, from fresh.Lease[fresh.Token], now time.Time) (fresh.Credential[fresh.Token], error) {
		if use != nil {
			if err := use(from); err != nil {
				s.tell(func() { s.calls++ })
				return fresh.Credential[fresh.Token]{}, err
			}
		}
		return s.fetch(ctx, now)
	}
}

func (s *source) tell(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// since returns how often the source was asked since the last time.
func (s *source) since() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.calls
	s.calls = 0
	return n
}

// diary is what an observer heard.
type diary struct {
	mu     sync.Mutex
	events []fresh.Event
}

func (d *diary) note(e fresh.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.events = append(d.events, e)
}

// read returns the kinds noted since the last time, as "layer kind".
func (d *diary) read() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var kinds []string
	for _, e := range d.events {
		kinds = append(kinds, e.Layer+" "+string(e.Kind))
	}
	d.events = nil
	return kinds
}

func get(t *testing.T, l *fresh.Layer[fresh.Token]) fresh.Lease[fresh.Token] {
	t.Helper()
	lease, err := l.Get(t.Context())
	if err != nil {
		t.Fatalf("%v: %v", l, err)
	}
	return lease
}

// crowd has n callers Get at once and returns what they got, one of each kind.
func crowd(l *fresh.Layer[fresh.Token], n int) (values []string, errs []error) {
	var mu sync.Mutex
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			lease, err := l.Get(context.Background())
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil && !slices.Contains(errs, err):
				errs = append(errs, err)
			case err == nil && !slices.Contains(values, lease.Value.Value):
				values = append(values, lease.Value.Value)
			}
		})
	}
	all.Wait()
	return values, errs
}
