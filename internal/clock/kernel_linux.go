package clock

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/longcase/longcase/verify/skew"
)

// timesyncd makes this file once it has set the clock.
const timesyncd = "/run/systemd/timesync/synchronized"

// kernel is what the kernel was told of its clock (adjtimex(2)).
func kernel() (*skew.Host, error) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return nil, fmt.Errorf("clock: adjtimex: %w", err)
	}
	_, hint := os.Stat(timesyncd)
	return disciplined(state, &t, hint == nil), nil
}

// disciplined reads the kernel's answer: Maxerror, in microseconds, grows until
// somebody compares the clock with another again. Without such word timesyncd's
// hint makes the state unknown.
func disciplined(state int, t *unix.Timex, hint bool) *skew.Host {
	if state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0 {
		return &skew.Host{Bound: time.Duration(t.Maxerror) * time.Microsecond, Source: "kernel"}
	}
	if hint {
		return nil
	}
	return &skew.Host{Source: "kernel", Unsynchronised: true}
}
