package fresh

import (
	"time"

	"github.com/longcase/longcase/token"
)

var began = time.Now()

// Now is this host's instant. One reading of the clock gives both: Go's
// monotonic clock does not count while the machine is suspended.
func Now() token.Instant {
	now := time.Now()
	return token.Instant{Wall: now.Round(0).UTC(), Mono: now.Sub(began)}
}

// clock is where a layer reads the time. The zero clock is this host's.
type clock struct{ read func() token.Instant }

func (c clock) now() token.Instant {
	if c.read == nil {
		return Now()
	}
	now := c.read()
	now.Wall = now.Wall.Round(0).UTC() // a monotonic reading in it would stand in for the wall
	return now
}

// numbers is now as nanoseconds. The wall's may wrap round; only differences of
// them are looked at.
func (c clock) numbers() (wall, mono int64) {
	if c.read == nil {
		now := time.Now()
		return now.UnixNano(), int64(now.Sub(began))
	}
	now := c.read()
	return now.Wall.UnixNano(), int64(now.Mono)
}

// quick is the part of a schedule that a hit looks at: a bound below its ahead
// that holds as long as the clocks have not parted since it was drawn.
type quick struct {
	until int64  // by Mono
	apart int64  // Wall minus Mono is not less than this
	slack uint64 // nor by more than this above it
}

func (s *schedule) quick() quick {
	slack, until := int64(s.slack()), s.ahead
	if !s.endless {
		until = first(until, s.end)
	}
	return quick{
		until: int64(until.Mono) - slack,
		apart: s.at.Wall.UnixNano() - int64(s.at.Mono) - slack,
		slack: 2 * uint64(slack),
	}
}

func (q *quick) hit(wall, mono int64) bool {
	return mono < q.until && uint64(wall-mono-q.apart) < q.slack
}
