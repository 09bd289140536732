package fresh

import (
	"context"
	"time"
)

// Status is how a layer stands, for pages and health.
type Status struct {
	Layer      string
	Parents    []string
	Generation uint64    // 0: no lease yet
	Expires    time.Time // of the lease in hand; zero: none, or it has no end
	Next       time.Time // when it will be renewed
	Err        error     // the last renewal's failure; nil after a success
}

// Status reports how the layer stands. It renews nothing.
func (l *Layer[T]) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Status{Layer: l.policy.Name, Err: l.lastErr}
	for _, p := range l.parents {
		s.Parents = append(s.Parents, p.name())
	}
	if h := l.held.Load(); h != nil {
		s.Generation, s.Expires, s.Next = h.lease.Generation, h.lease.Expires, h.ahead.Wall
	}
	if l.failures > 0 {
		s.Next = l.retry.Wall
	}
	return s
}

// Run keeps the layer warm until ctx ends: it renews although nobody asks.
func (l *Layer[T]) Run(ctx context.Context) error {
	for {
		_, _ = l.Get(ctx)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(l.pause()):
		}
	}
}

// pause is until the next thing to do, at most a minute: a clock may step.
func (l *Layer[T]) pause() time.Duration {
	return min(max(l.Status().Next.Sub(l.policy.Now().Wall), 10*time.Millisecond), time.Minute)
}
