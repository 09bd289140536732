package clock

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/longcase/longcase/verify/skew"
)

func TestKernel(t *testing.T) {
	drifts := &skew.Host{Source: "kernel", Unsynchronised: true}
	tests := []struct {
		name  string
		state int
		timex unix.Timex
		hint  bool
		want  *skew.Host
	}{
		{"kept right", 0, unix.Timex{Status: unix.STA_PLL, Maxerror: 250_000}, false, &skew.Host{Bound: 250 * time.Millisecond, Source: "kernel"}},
		{"nobody keeps it", unix.TIME_ERROR, unix.Timex{Status: unix.STA_UNSYNC, Maxerror: 16_000_000}, false, drifts},
		{"the status alone says so", 0, unix.Timex{Status: unix.STA_UNSYNC}, false, drifts},
		{"timesyncd says otherwise", unix.TIME_ERROR, unix.Timex{Status: unix.STA_UNSYNC}, true, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := disciplined(tt.state, &tt.timex, tt.hint)
			if (got == nil) != (tt.want == nil) || got != nil && *got != *tt.want {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
}

// Some sandboxes forbid the question: then there is an error and no word.
func TestTheRealKernelAnswersOrSaysWhyNot(t *testing.T) {
	got, err := kernel()
	if err != nil && got != nil || got != nil && got.Source != "kernel" {
		t.Errorf("%+v, %v", got, err)
	}
	t.Logf("%+v, %v", got, err)
}
