package token_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/longcase/longcase/token"
)

func TestWindow(t *testing.T) {
	start := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	window := token.Window{NotBefore: start, Expires: start.Add(5 * time.Minute)}
	tests := []struct {
		name   string
		at     time.Duration // offset from start
		leeway time.Duration
		want   error
		detail string
	}{
		{"in the middle", time.Minute, 0, nil, ""},
		{"the beginning is inclusive", 0, 0, nil, ""},
		{"one nanosecond early", -1, 0, token.NotYetValid, "nbf is 0 s in the future (leeway 0 s)"},
		{"one second early, inside leeway", -time.Second, 30 * time.Second, nil, ""},
		{"as early as leeway", -30 * time.Second, 30 * time.Second, nil, ""},
		{"before leeway", -31 * time.Second, 30 * time.Second, token.NotYetValid, "nbf is 31 s in the future (leeway 30 s)"},
		{"21 seconds early", -21 * time.Second, 10 * time.Second, token.NotYetValid, "nbf is 21 s in the future (leeway 10 s)"},
		{"one nanosecond left", 5*time.Minute - 1, 0, nil, ""},
		{"expiry is exclusive", 5 * time.Minute, 0, token.Expired, "exp was 0 s ago (leeway 0 s)"},
		{"one nanosecond of leeway left", 5*time.Minute + 30*time.Second - 1, 30 * time.Second, nil, ""},
		{"leeway is exclusive too", 5*time.Minute + 30*time.Second, 30 * time.Second, token.Expired, "exp was 30 s ago (leeway 30 s)"},
		{"long over", 5*time.Minute + 400*time.Millisecond + time.Hour, 0, token.Expired, "exp was 3600.4 s ago (leeway 0 s)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := window.Check(start.Add(tt.at), tt.leeway)
			if !errors.Is(err, tt.want) {
				t.Fatalf("Check(start%+v) = %v, want %v", tt.at, err, tt.want)
			}
			if tt.want != nil && !strings.HasSuffix(err.Error(), tt.detail) {
				t.Errorf("Check(start%+v) = %q, want %q", tt.at, err, tt.detail)
			}
		})
	}
}

func TestWindowOfOneEnd(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	tests := []struct {
		name string
		w    token.Window
		want error
		life time.Duration
	}{
		{"the zero window is never live", token.Window{}, token.Expired, 0},
		{"without an end never live", token.Window{NotBefore: now.Add(-time.Hour)}, token.Expired, time.Duration(-1 << 63)},
		{"without a beginning until its end", token.Window{Expires: now.Add(1)}, nil, 0},
		{"turned round: never live", token.Window{NotBefore: now.Add(time.Hour), Expires: now.Add(-time.Hour)}, token.Expired, -2 * time.Hour},
		{"empty: never live", token.Window{NotBefore: now, Expires: now}, token.Expired, 0},
		{"an hour", token.Window{NotBefore: now, Expires: now.Add(time.Hour)}, nil, time.Hour},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.w.Check(now, 0); !errors.Is(err, tt.want) {
				t.Errorf("Check = %v, want %v", err, tt.want)
			}
			if got := tt.w.Life(); got != tt.life {
				t.Errorf("Life = %v, want %v", got, tt.life)
			}
		})
	}
}
