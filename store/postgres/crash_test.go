package postgres

import (
	"context"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/longcase/longcase/internal/servertest"
)

// TestACrashThatCountsTransactionsAgainHidesNoRevocation: a transaction that was
// rolled back, or whose program does not wait for the disk, is over before it is
// on disk. A crash forgets it and its number is given once more, to a revocation
// that a cursor from before would take for seen.
func TestACrashThatCountsTransactionsAgainHidesNoRevocation(t *testing.T) {
	s := servertest.StartPostgres(t, "-c wal_writer_delay=10s")
	e := open(t, Config{URL: s.URL("postgres"), Longest: time.Hour})
	for name, crash := range map[string]func(){
		"the server is killed": func() { s.Kill(); s.Start() },
		"one of its processes is killed": func() {
			one, other := dial(t, s.URL("postgres")), dial(t, s.URL("postgres"))
			defer one.Close(context.Background())
			defer other.Close(context.Background())
			if err := syscall.Kill(int(one.PgConn().PID()), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			for other.Ping(t.Context()) == nil { // it ends them all
				time.Sleep(time.Millisecond)
			}
			e.pool.Reset()
		},
	} {
		t.Run(name, func(t *testing.T) {
			add(t, e, name+": before")
			execute(t, s.URL("postgres"), "SELECT pg_switch_wal()") // what follows fits into a page that nobody writes
			spendNumbers(t, s, 60)
			_, c := follow(t, e, "")
			crash()
			answers(t, e)
			add(t, e, name+": behind")
			spendNumbers(t, s, 200)
			if got, _ := follow(t, e, c); !slices.Contains(got, name+": behind") {
				t.Errorf("behind the crash the feed brought %q", got)
			}
		})
	}
}

// spendNumbers takes the numbers of n transactions and rolls them back.
func spendNumbers(t *testing.T, s *servertest.Postgres, n int) {
	t.Helper()
	c := dial(t, s.URL("postgres"))
	defer c.Close(context.Background())
	for range n {
		if _, err := c.Exec(t.Context(), "BEGIN; SELECT pg_current_xact_id(); ROLLBACK", pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatal(err)
		}
	}
}
