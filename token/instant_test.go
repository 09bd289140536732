package token_test

import (
	"testing"
	"time"

	"github.com/longcase/longcase/token"
)

func TestInstantIsReachedWhenEitherClockSaysSo(t *testing.T) {
	start := token.Instant{Wall: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC), Mono: time.Hour}
	end := start.Add(time.Minute)
	at := func(wall, mono time.Duration) token.Instant {
		return token.Instant{Wall: start.Wall.Add(wall), Mono: start.Mono + mono}
	}
	tests := []struct {
		name    string
		now     token.Instant
		reached bool
		until   time.Duration
	}{
		{"at the beginning", start, false, time.Minute},
		{"one nanosecond early", at(time.Minute-1, time.Minute-1), false, 1},
		{"both at the end", end, true, 0},
		{"the machine slept", at(time.Hour, time.Second), true, -59 * time.Minute},
		{"the machine slept until the end", at(time.Minute, 0), true, 0},
		{"the wall was set back", at(-time.Hour, time.Minute), true, 0},
		{"the wall was set back, early", at(-time.Hour, time.Second), false, 59 * time.Second},
		{"the wall was set forward", at(time.Hour, 0), true, -59 * time.Minute},
		{"the wall reads the year 1", token.Instant{Mono: time.Hour}, false, time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.now.Reached(end); got != tt.reached {
				t.Errorf("Reached = %v, want %v", got, tt.reached)
			}
			if got := tt.now.Until(end); got != tt.until {
				t.Errorf("Until = %s, want %s", got, tt.until)
			}
		})
	}
}

func TestZeroInstantIsReached(t *testing.T) {
	now := token.Instant{Wall: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)}
	if !now.Reached(token.Instant{}) || now.Until(token.Instant{}) > 0 {
		t.Error("the zero Instant is not before every other")
	}
}
