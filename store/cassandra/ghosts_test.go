package cassandra

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/longcase/longcase/store"
)

// ghost has the node believe in another that is down: with a schema of its own,
// as one has that was down while the schema changed.
func (h *house) ghost(t *testing.T, address, dc string) {
	t.Helper()
	id, version, tokens := gocql.MustRandomUUID(), gocql.MustRandomUUID(), []string{"7"}
	h.cql(t, "INSERT INTO system.peers (peer, data_center, host_id, rack, release_version, rpc_address, schema_version, tokens) VALUES (?, ?, ?, 'rack1', '5.0.5', ?, ?, ?)",
		address, dc, id, address, version, tokens)
	h.cql(t, "INSERT INTO system.peers_v2 (peer, peer_port, data_center, host_id, rack, release_version, native_address, native_port, schema_version, tokens) VALUES (?, 7000, ?, ?, 'rack1', '5.0.5', ?, 9042, ?, ?)",
		address, dc, id, address, version, tokens)
	t.Cleanup(func() {
		for _, stmt := range []string{"DELETE FROM system.peers WHERE peer = ?", "DELETE FROM system.peers_v2 WHERE peer = ?"} {
			if err := h.link.session.Query(stmt, address).Exec(); err != nil {
				t.Error(err)
			}
		}
	})
}

// ghosts are two more nodes, both down.
func (h *house) ghosts(t *testing.T) {
	at := strings.TrimSuffix(h.Hosts[0], "1")
	h.ghost(t, at+"8", "datacenter1")
	h.ghost(t, at+"9", "datacenter1")
	cfg := h.in("ghosts")
	var log bytes.Buffer
	cfg.Log, cfg.Replication = slog.New(slog.NewTextHandler(&log, nil)), 1
	e, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatalf("Open = %v; a node that is down keeps the tables from being made", err)
	}
	defer e.Close()
	time.Sleep(2 * time.Second) // the driver goes on trying
	e.Close()
	want := `ALTER KEYSPACE \"ghosts\" WITH replication = {'class': 'org.apache.cassandra.locator.NetworkTopologyStrategy', 'datacenter1': '2'}`
	if text := log.String(); !strings.Contains(text, want) || !strings.Contains(text, "nodetool repair --full ghosts") {
		t.Errorf("of one copy on three nodes it says\n%s\nwant\n%s", text, want)
	}
	if n := strings.Count(log.String(), "does not answer"); n != 2 || strings.Contains(log.String(), "msg=\"cassandra: ") {
		t.Errorf("of two nodes that are down it says %d times that they do not answer, and more:\n%s", n, log.String())
	}

	cfg.Keyspace, cfg.Replication = "notyet", 4
	cfg.Hosts = []string{h.Hosts[0], at + "8", at + "9", at + "10"}
	_, err = Open(t.Context(), cfg)
	if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "4 hosts are named, and a cluster of 3 nodes would keep 3 copies") {
		t.Errorf("Open of a ring that is not complete = %v", err)
	}
}
