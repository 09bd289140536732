package app

import (
	"testing"
	"time"
)

func TestNothingIsDroppedWhileTheClockIsNotSteady(t *testing.T) {
	type reading struct{ wall, mono time.Duration } // offsets from start
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tests := []struct {
		name         string
		readings     []reading
		agreed, step time.Duration // after the last reading
	}{
		{"a quiet clock", []reading{{time.Minute, time.Minute}, {11 * time.Minute, 11 * time.Minute}}, 11 * time.Minute, 0},
		{"slewing is no step", []reading{{64 * time.Second, time.Minute}, {129 * time.Second, 2 * time.Minute}}, 2 * time.Minute, 0},
		{"14 h ahead", []reading{{time.Minute, time.Minute}, {14*time.Hour + 2*time.Minute, 2 * time.Minute}}, 0, 14 * time.Hour},
		{"back again is a step too", []reading{{14 * time.Hour, time.Minute}, {2 * time.Minute, 2 * time.Minute}}, 0, -14*time.Hour + time.Minute},
		{"a suspended machine", []reading{{time.Minute, time.Minute}, {9 * time.Hour, time.Minute + time.Second}}, 0, 9*time.Hour - time.Minute - time.Second},
		{"steady again", []reading{{time.Hour, time.Minute}, {time.Hour + 10*time.Minute, 11 * time.Minute}}, 10 * time.Minute, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			clock := steady{wall: start}
			var agreed, step time.Duration
			for _, r := range tt.readings {
				agreed, step = clock.observe(start.Add(r.wall), r.mono)
			}
			if agreed != tt.agreed || step != tt.step {
				t.Errorf("observe = %s, %s; want %s, %s", agreed, step, tt.agreed, tt.step)
			}
		})
	}
}
