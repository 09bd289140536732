package skew

import "time"

// The shape of a window: 5 minutes, in slots that are forgotten whole.
const (
	keep   = 5 * time.Minute
	slot   = 30 * time.Second
	slots  = int64(keep/slot) + 1 // the oldest is still partly inside
	enough = 10                   // tokens near the best one make an estimate of both ends
	fresh  = 3 * time.Second      // a second of rounding and two to the first use: what is nearer to the best agrees with it
)

// window is how far ahead one clock's tokens were in the last minutes. Only the
// best of each slot matter: every other token says less.
type window struct {
	newest int64
	slots  [slots]bests
}

// bests are the tokens of a slot that were furthest ahead, best first.
type bests struct {
	number int64 // of the slot, since the book's beginning
	count  int
	ahead  [enough]time.Duration
}

func numberOf(at time.Duration) int64 { return int64(max(at, 0) / slot) }

// add takes a token that is ahead by so much. A caller that waited for a key may
// come late; one that comes from long ago says that time was set back.
func (w *window) add(ahead, at time.Duration) {
	n := numberOf(at)
	if n < w.newest-1 {
		*w = window{}
	}
	w.newest = max(w.newest, n)
	s := &w.slots[n%slots]
	if s.number != n {
		*s = bests{number: n}
	}
	s.add(ahead)
}

func (s *bests) add(ahead time.Duration) {
	i := s.count
	for i > 0 && s.ahead[i-1] < ahead {
		i--
	}
	if i == enough {
		return
	}
	s.count = min(s.count+1, enough)
	copy(s.ahead[i+1:s.count], s.ahead[i:])
	s.ahead[i] = ahead
}

// best is the most that a token of the window was ahead, and how many say so:
// those near it, of each slot the best ten at most; and in how many slots.
func (w *window) best(at time.Duration) (ahead time.Duration, near, times int) {
	for i := range w.slots {
		if s := &w.slots[i]; w.counts(s, at) && (near == 0 || s.ahead[0] > ahead) {
			ahead, near = s.ahead[0], 1
		}
	}
	if near == 0 {
		return 0, 0, 0
	}
	near = 0
	for i := range w.slots {
		s, before := &w.slots[i], near
		for j := 0; w.counts(s, at) && j < s.count && s.ahead[j] > ahead-fresh; j++ {
			near++
		}
		if near > before {
			times++
		}
	}
	return ahead, near, times
}

func (w *window) counts(s *bests, at time.Duration) bool {
	n := numberOf(at)
	return s.count > 0 && s.number <= n+1 && n-s.number < slots
}

func (w *window) empty(at time.Duration) bool {
	_, near, _ := w.best(at)
	return near == 0
}
