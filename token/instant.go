package token

import "time"

// Instant is one moment on this host's two clocks. Wall can be stepped by NTP or
// by hand; Mono stands still while the machine is suspended. Neither alone can
// be trusted with an end, so what is over is over when either of them says so.
// The zero Instant is before every other.
type Instant struct {
	Wall time.Time     // UTC, without a monotonic reading
	Mono time.Duration // since an arbitrary beginning of this process
}

// Add returns the instant d later on both clocks.
func (i Instant) Add(d time.Duration) Instant {
	return Instant{Wall: i.Wall.Add(d), Mono: i.Mono + d}
}

// Reached reports whether i is at or after end on either clock.
func (i Instant) Reached(end Instant) bool {
	return i.Mono >= end.Mono || !i.Wall.Before(end.Wall)
}

// Until returns how long it is from i to end by the clock that is there first;
// negative if end has passed.
func (i Instant) Until(end Instant) time.Duration {
	return min(end.Wall.Sub(i.Wall), end.Mono-i.Mono)
}
