package skew

import (
	"cmp"
	"slices"
	"time"
)

const (
	maxDates  = 32
	rareDates = 2             // so many of the last ones count longer
	keepDates = 3 * time.Hour // than the window
	drift     = 10_000        // 100 ppm: an uncontrolled clock is off by one part in so many
)

// span is how far a clock is ahead, at least and at most.
type span struct{ low, high time.Duration }

func (s span) meets(t span) bool { return s.low <= t.high && t.low <= s.high }

func (s span) middle() time.Duration { return s.low + (s.high-s.low)/2 }

// sample is one Date header.
type sample struct {
	span
	at time.Duration
}

// dates are the last Date headers, oldest first.
type dates struct{ last []sample }

func (d *dates) add(s sample) {
	if n := len(d.last); n > 0 && s.at < d.last[n-1].at-slot {
		d.last = d.last[:0] // time was set back
	}
	if len(d.last) == maxDates {
		d.last = slices.Delete(d.last, 0, 1)
	}
	d.last = append(d.last, s)
}

// group is one clock that explains some of the headers.
type group struct {
	span
	dates int
}

// groups returns the fewest clocks that explain every header that counts,
// slowest first. Compatible headers narrow each other; others are of several
// instances, or of one whose clock was set.
func (d *dates) groups(at time.Duration) []group {
	var live []span
	for i, s := range d.last {
		age := max(at-s.at, 0)
		if age > keep && (i < len(d.last)-rareDates || age > keepDates) {
			continue
		}
		live = append(live, span{s.low - age/drift, s.high + age/drift})
	}
	slices.SortFunc(live, func(a, b span) int { return cmp.Compare(a.high, b.high) })
	var found []group
	for _, s := range live {
		if n := len(found); n > 0 && s.low <= found[n-1].high {
			found[n-1].low = max(found[n-1].low, s.low)
			found[n-1].dates++
			continue
		}
		found = append(found, group{s, 1})
	}
	return found
}
