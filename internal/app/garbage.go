package app

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	usualGOGC   = 100
	garbageRoom = 16 << 20 // bytes that a small heap may grow by before it is collected
	garbageLook = time.Second
)

// roomForGarbage gives a small heap more room than Go's default until ctx ends: a
// gate lives in 2 MiB, and collected at each 4 it would spend a tenth of its time
// there. A heap of 16 MiB and more is collected as usual. Whoever sets GOGC knows
// better.
func (h *house) roomForGarbage(ctx context.Context) {
	if h.getenv("GOGC") != "" {
		return
	}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	tick := time.NewTicker(garbageLook)
	defer tick.Stop()
	now := usualGOGC
	defer func() { debug.SetGCPercent(usualGOGC) }()
	for {
		metrics.Read(live)
		if want := percentFor(live[0].Value.Uint64()); want > now*5/4 || want < now*4/5 {
			debug.SetGCPercent(want)
			now = want
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// percentFor is the GOGC that leaves a heap of live bytes its room.
func percentFor(live uint64) int {
	const least = 1 << 20
	return max(usualGOGC, int(usualGOGC*garbageRoom/max(live, least)))
}
