package store

import (
	"strings"
	"testing"
	"time"
)

// TestRetireRuns keeps the benchmark able to run; it judges no figure.
func TestRetireRuns(t *testing.T) {
	var out strings.Builder
	if err := Retire(&out, t.TempDir(), Retirement{Sessions: 2000, Window: 200 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"longcase embedded", "delete by delete", "goal S2"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, out.String())
		}
	}
}
