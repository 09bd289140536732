package gate

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"time"

	"github.com/longcase/longcase/verify"
)

// maxMarks is how many single uses a gate remembers by itself; some 100 MiB.
const maxMarks = 1_000_000

// slowest is longer than the way from a judgement's instant to its mark, and
// forever longer than any program runs; sums with it do not overflow.
const (
	slowest = time.Minute
	forever = 100 * 365 * 24 * time.Hour
)

// marks remembers single uses in memory, each until its end and none shorter:
// when it is full it remembers no more, and says so. How long a mark stays is
// counted from its first use, by the monotonic clock where now carries one, so
// that a wall clock that is set forward and back makes nobody forget it.
type marks struct {
	most int
	now  func() time.Time

	mu      sync.Mutex
	began   time.Time                // the first now; time is counted from it
	until   map[mark]time.Duration   // since began
	minutes map[time.Duration][]mark // each mark once, by the minute it is over in
	dropped time.Duration            // the minute of the last drop
}

// mark is a key of any length in few bytes.
type mark [16]byte

// Remember returns a First that remembers in memory: at most 1,000,000 uses; when
// it is full of live ones it remembers no more and returns an error, so that a
// token that would be used up is refused. Gates that follow each other may share
// it.
func Remember(now func() time.Time) verify.First {
	return newMarks(maxMarks, now).First
}

func newMarks(most int, now func() time.Time) *marks {
	return &marks{most: most, now: now, until: map[mark]time.Duration{}, minutes: map[time.Duration][]mark{}}
}

// First is Config.First.
func (m *marks) First(_ context.Context, kind, key string, end time.Time) (bool, error) {
	sum := sha256.Sum256([]byte(kind + "\x00" + key))
	id := mark(sum[:len(mark{})])
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	if m.began.IsZero() {
		m.began = now
	}
	elapsed := now.Sub(m.began)
	m.drop(elapsed)
	if until, ok := m.until[id]; ok && until > elapsed {
		return false, nil
	}
	if len(m.until) >= m.most {
		return false, fmt.Errorf("gate: %d single uses are remembered, and there is no room for more", m.most)
	}
	m.keep(id, elapsed+min(max(end.Sub(now), 0), forever)+slowest)
	return true, nil
}

// keep is called with m.mu held.
func (m *marks) keep(id mark, until time.Duration) {
	_, known := m.until[id]
	m.until[id] = until
	if minute := until.Truncate(time.Minute); !known {
		m.minutes[minute] = append(m.minutes[minute], id)
	}
}

// drop forgets what is over; m.mu is held. A mark that was renewed in the minute
// it was over in is looked at again when its new one is.
func (m *marks) drop(elapsed time.Duration) {
	minute := elapsed.Truncate(time.Minute)
	if minute == m.dropped {
		return
	}
	m.dropped = minute
	for over, ids := range m.minutes {
		if over >= minute {
			continue
		}
		delete(m.minutes, over)
		for _, id := range ids {
			if until := m.until[id]; until > elapsed {
				m.minutes[until.Truncate(time.Minute)] = append(m.minutes[until.Truncate(time.Minute)], id)
				continue
			}
			delete(m.until, id)
		}
	}
}
