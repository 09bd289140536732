package cassandra

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/longcase/longcase/store"
)

func TestMain(m *testing.M) {
	if err := os.Setenv("LONGCASE_CASSANDRA_SYNC", "group"); err != nil { // acknowledged writes survive a kill
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// cql runs a statement as an operator with cqlsh would.
func (h *house) cql(tb testing.TB, stmt string, args ...any) {
	tb.Helper()
	if err := h.link.session.Query(stmt, args...).ExecContext(tb.Context()); err != nil {
		tb.Fatalf("%s: %v", stmt, err)
	}
}

func newSession(now time.Time, life time.Duration) store.Session {
	end := now.Add(life).Truncate(time.Second)
	return store.Session{ID: store.NewID(now, end), End: end, Generation: 1, Client: "web", Subject: "alice", Data: []byte("data")}
}

func created(tb testing.TB, e *Engine, life time.Duration) store.Session {
	tb.Helper()
	one := newSession(e.cfg.Now(), life)
	if err := e.Sessions().Create(tb.Context(), one); err != nil {
		tb.Fatal(err)
	}
	return one
}

// rotated is what comes after one at old.
func rotated(one store.Session, old store.Generation) store.Session {
	one.Generation = old + 1
	one.Data = fmt.Appendf(nil, "rotated from %d", old)
	return one
}
