package servertest

import "testing"

func TestServersStartStopAndStartAgain(t *testing.T) {
	pg := StartPostgres(t, "")
	pg.CreateDatabase("a")
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
