package servertest

import (
	"os/exec"
	"testing"
	"time"
)

func TestServersStartStopAndStartAgain(t *testing.T) {
	pg := StartPostgres(t, "")
	pg.CreateDatabase("a")
	held := exec.Command("psql", "-qAtX", pg.URL("a"), "-c", "select pg_sleep(1)")
	if err := held.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = held.Wait(); close(ended) }()
	for pg.psql("select count(*) from pg_stat_activity where query = 'select pg_sleep(1)'") != "1\n" {
		time.Sleep(10 * time.Millisecond)
	}
	pg.Pause()
	select {
	case <-ended:
		t.Error("a connection that was open goes on while PostgreSQL is paused")
	case <-time.After(2 * time.Second):
	}
	pg.Resume()
	<-ended
	pg.Kill()
	if answers(pg.Address()) {
		t.Error("PostgreSQL answers after it was killed")
	}
	pg.Start()

	c := StartCassandra(t, 1)
	c.Kill(0)
	if answers(c.Hosts[0] + ":9042") {
		t.Error("Cassandra answers after it was killed")
	}
	c.Start(0)
	if out := c.Nodetool(0, "status"); len(out) == 0 {
		t.Error("nodetool says nothing")
	}
}
