package fresh

import (
	"sync/atomic"
	"time"

	"github.com/longcase/longcase/token"
)

// Status is how a layer stands, for pages and health.
type Status struct {
	Layer      string
	Parents    []string
	Generation uint64        // of the lease in hand; 0: none
	Expires    time.Time     // its end; zero: no lease, or it has no end
	Left       time.Duration // to its end by the clock that is there first; 0: no lease, or it has no end
	Next       time.Time     // when it will be renewed; after a failure, when that will be tried again; zero: at the next Get
	Err        error         // the last renewal's failure; nil after a success

	Last     Kind      // what the last renewal that succeeded was: why it was made; empty: none
	LastAt   time.Time // when it was
	Fetches  uint64    // the provider was asked so often
	Renewals uint64    // leases that were got, unchanged ones apart
	Failures uint64    // renewals that failed
	Refusals uint64    // leases that were refused
}

// stats is what a layer counts.
type stats struct {
	fetches                      atomic.Uint64
	renewals, failures, refusals uint64
	last                         Kind
	at                           time.Time
}

func (s *stats) renewed(kind Kind, now token.Instant) {
	s.last, s.at = kind, now.Wall
	if kind != Unchanged {
		s.renewals++
	}
}

// Status reports how the layer stands. It renews nothing.
func (l *Layer[T]) Status() Status {
	now := l.clock.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Status{
		Layer: l.policy.Name, Err: l.wrong, Last: l.stats.last, LastAt: l.stats.at, Fetches: l.stats.fetches.Load(),
		Renewals: l.stats.renewals, Failures: l.stats.failures, Refusals: l.stats.refusals,
	}
	for _, p := range l.parents {
		s.Parents = append(s.Parents, p.name())
	}
	if h := l.inHand(now); h != nil && h.decide(now) != ended {
		s.Generation, s.Expires, s.Next = h.lease.Generation, h.lease.Expires, now.Wall.Add(now.Until(h.ahead))
		if !h.endless {
			s.Left = now.Until(h.end)
		}
	}
	if l.failure.err != nil {
		s.Err, s.Next = l.failure.err, now.Wall.Add(now.Until(l.tryAt()))
	}
	return s
}
