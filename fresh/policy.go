package fresh

import (
	"cmp"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/longcase/longcase/token"
)

// Span is a length of time: a fraction of a lease's life, or a duration. The
// zero Span is the default of the field it stands in.
type Span struct {
	Part   float64 // of the life, 0 to 1; used where it is not zero
	Length time.Duration
}

// Policy is how a layer keeps its lease. The zero Policy is good for every life
// from seconds to days.
type Policy struct {
	Name string // of the layer, in errors and events; default "credential"

	// Longer windows than a short life has room for are cut to what it has: Ahead
	// to a half of what is left when a lease is got, Buffer and Jitter to a quarter.
	Ahead  Span // renew this long before the end, in the background; default a third of the life, a part at most 5 min
	Buffer Span // this close to the end, wait for the renewal, though not for long; default 5 % of the life, a part at most 30 s
	Jitter Span // begin up to this much earlier; a part is of Ahead; default 10 %

	Timeout time.Duration // of one renewal, all its requests together; default 30 s
	Backoff time.Duration // after the first failure, doubled by each that follows, less up to a quarter; default 1 s, less for short lives
	MaxWait time.Duration // the longest backoff, but for a service's own wish; default 30 s, less for short lives

	Now     func() token.Instant // the same for all layers of a chain; default Now
	Rand    func() float64       // [0, 1), for jitter; default math/rand/v2
	Observe func(Event)          // called for each transition, in order, not concurrently for one layer; it must not block, and may ask the layer, but for Status none that stands on it
}

// Check names every field that cannot work.
func (p Policy) Check() error {
	var wrong []error
	for i, s := range []Span{p.Ahead, p.Buffer, p.Jitter} {
		if !(s.Part >= 0 && s.Part <= 1) || s.Length < 0 { // NaN is no part either
			wrong = append(wrong, Fail(Misconfigured, "%s must be a duration, or a part from 0 to 1", []string{"ahead", "buffer", "jitter"}[i]))
		}
	}
	for i, d := range []time.Duration{p.Timeout, p.Backoff, p.MaxWait} {
		if d < 0 {
			wrong = append(wrong, Fail(Misconfigured, "%s must not be negative", []string{"timeout", "backoff", "max wait"}[i]))
		}
	}
	return errors.Join(wrong...)
}

func (p Policy) withDefaults() Policy {
	or := func(s *Span, part float64) {
		if *s == (Span{}) {
			s.Part = part
		}
	}
	or(&p.Ahead, 0.33)
	or(&p.Buffer, 0.05)
	or(&p.Jitter, 0.10)
	p.Name = cmp.Or(p.Name, "credential")
	p.Timeout = min(cmp.Or(p.Timeout, 30*time.Second), maxLife)
	p.Backoff = cmp.Or(p.Backoff, time.Second)
	p.MaxWait = cmp.Or(p.MaxWait, 30*time.Second)
	return p
}

func (p Policy) random() float64 {
	if p.Rand == nil {
		return rand.Float64()
	}
	if r := p.Rand(); r >= 0 && r < 1 { // NaN is not
		return r
	}
	return 0
}
