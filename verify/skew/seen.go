package skew

import (
	"maps"
	"time"
)

const (
	maxSeen = 4096
	tidying = time.Minute
)

// seen knows which tokens came before, and is never wrong about one that it
// counts. When more tokens live than it can hold it looks at a sample of them,
// chosen by their hash: what is outside is neither remembered nor counted. The
// sample halves when there is no room, and doubles when there is much; the half
// that is new is remembered at once but counts only when every token that was
// passed over before is over.
type seen struct {
	until    map[uint64]time.Duration // the end of each token in the sample
	sample   int                      // hashes whose lowest bits, so many, are zero
	counted  int                      // so many bits of those that count; at least sample
	from     time.Duration            // when the whole sample counts
	passed   time.Duration            // the last end of a token outside the sample
	nextTidy time.Duration
}

// first reports whether a token is new and counts.
func (s *seen) first(hash uint64, until, at time.Duration) bool {
	s.tidy(at)
	if _, again := s.until[hash]; again {
		return false
	}
	for len(s.until) >= maxSeen && inside(hash, s.sample) {
		s.halve(at)
	}
	if !inside(hash, s.sample) {
		s.passed = max(s.passed, until)
		return false
	}
	if s.until == nil {
		s.until = map[uint64]time.Duration{}
	}
	s.until[hash] = until
	return inside(hash, s.counted)
}

func inside(hash uint64, bits int) bool { return hash&(1<<bits-1) == 0 }

// tidy forgets tokens that are over and looks whether there is room for more.
func (s *seen) tidy(at time.Duration) {
	if s.counted > s.sample && at >= s.from {
		s.counted = s.sample
	}
	if at < s.nextTidy {
		return
	}
	s.nextTidy = at + tidying
	s.dropEnded(at)
	if s.sample > 0 && s.sample == s.counted && len(s.until) < maxSeen/8 {
		s.sample--
		s.from = s.passed
	}
}

func (s *seen) dropEnded(at time.Duration) {
	maps.DeleteFunc(s.until, func(_ uint64, until time.Duration) bool { return at >= until })
}

// halve makes room.
func (s *seen) halve(at time.Duration) {
	s.dropEnded(at)
	if len(s.until) <= maxSeen/2 {
		return
	}
	s.sample++
	s.counted = max(s.counted, s.sample)
	maps.DeleteFunc(s.until, func(hash uint64, until time.Duration) bool {
		if inside(hash, s.sample) {
			return false
		}
		s.passed = max(s.passed, until)
		return true
	})
}

// over reports whether every token that came is over.
func (s *seen) over(at time.Duration) bool {
	s.dropEnded(at)
	return len(s.until) == 0 && at >= s.passed
}
