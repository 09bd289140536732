package fresh

import (
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

	Ahead  Span // renew this long before the end, in the background; default a third of the life, a part at most 5 min
	Buffer Span // this close to the end, wait for the renewal; default 5 % of the life, a part at most 30 s
	Jitter Span // begin up to this much earlier; a part is of Ahead; default 10 %

	Timeout time.Duration // of one renewal, all its requests together; default 30 s
	Backoff time.Duration // after the first failure, doubled by each that follows; default 1 s, less for short lives
	MaxWait time.Duration // the longest backoff; default 30 s

	Now     func() token.Instant // default Now
	Rand    func() float64       // [0, 1), for jitter; default math/rand/v2
	Observe func(Event)          // called for each transition, not concurrently for one layer; it must not block
}

// Check names every field that cannot work.
func (p Policy) Check() error {
	var wrong []error
	for name, s := range map[string]Span{"ahead": p.Ahead, "buffer": p.Buffer, "jitter": p.Jitter} {
		if s.Part < 0 || s.Part > 1 || s.Length < 0 {
			wrong = append(wrong, Fail(Misconfigured, "%s must be a duration, or a part from 0 to 1", name))
		}
	}
	for name, d := range map[string]time.Duration{"timeout": p.Timeout, "backoff": p.Backoff, "max wait": p.MaxWait} {
		if d < 0 {
			wrong = append(wrong, Fail(Misconfigured, "%s must not be negative", name))
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
	if p.Name == "" {
		p.Name = "credential"
	}
	for d, value := range map[*time.Duration]time.Duration{&p.Timeout: 30 * time.Second, &p.Backoff: time.Second, &p.MaxWait: 30 * time.Second} {
		if *d == 0 {
			*d = value
		}
	}
	if p.Now == nil {
		p.Now = Now
	}
	if p.Rand == nil {
		p.Rand = rand.Float64
	}
	return p
}

var began = time.Now()

// Now is this host's instant. One reading of the clock gives both: Go's
// monotonic clock does not count while the machine is suspended.
func Now() token.Instant {
	now := time.Now()
	return token.Instant{Wall: now.Round(0).UTC(), Mono: now.Sub(began)}
}
