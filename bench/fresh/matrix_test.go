package fresh

import (
	"testing"
	"testing/synctest"
)

// What the matrix prints of Longcase is what docs/benchmarks.md says.
func TestLongcaseInTheMatrix(t *testing.T) {
	ours := keepers()[0]
	tests := []struct {
		name    string
		cell    func(keeper) string
		virtual bool
		want    string
	}{
		{"the old token serves while the upstream is down", oldOneLives, true, "0 of 300"},
		{"no ended token is handed out", pastTheEnd, true, "0 of 600"},
		{"an early revocation is healed once, unseen", revokedEarly, false, "0 of 200, 1"},
		{"a killed session costs one new one", killedSession, false, "0 of 500, 1"},
		{"an hour's sleep ends a token", suspended, true, "a new token"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got string
			if tt.virtual {
				synctest.Test(t, func(*testing.T) { got = tt.cell(ours) })
			} else {
				got = tt.cell(ours)
			}
			if got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}
