package steady

import (
	"os"
	"testing"
)

func TestRestCass(t *testing.T) {
	moved, err := NewMovedClock(t.TempDir(), root().Jars())
	if err != nil {
		t.Fatal(err)
	}
	c := startMoved(t, moved)
	for _, over := range []Part{Over} {
		r, end, err := RestCassandra(t.Context(), c, moved, over)
		if err != nil {
			t.Fatal(err)
		}
		if err := Rest(t.Context(), os.Stdout, "cassandra", r); err != nil {
			t.Fatal(err)
		}
		end()
	}
}
