package steady

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/longcase/longcase/store/cassandra"
)

// open opens the engine in a new keyspace.
func (c Cluster) open(ctx context.Context, keyspace string, now func() time.Time) (*cassandra.Engine, error) {
	host, err := c.host()
	if err != nil {
		return nil, err
	}
	s, err := c.connect("")
	if err != nil {
		return nil, err
	}
	defer s.Close()
	if err := s.Query("DROP KEYSPACE IF EXISTS " + keyspace).ExecContext(ctx); err != nil {
		return nil, err
	}
	return cassandra.Open(ctx, cassandra.Config{Hosts: []string{host}, Keyspace: keyspace, Replication: 1, Now: now, Log: slog.New(slog.DiscardHandler)})
}

// tables takes the disk of a keyspace and of system.paxos.
func (c Cluster) tables(ctx context.Context, keyspace string) (one Sample, err error) {
	if err := c.nodetool("flush"); err != nil {
		return one, err
	}
	var paxos int64
	all, err := settled(ctx, func() (int64, error) {
		own, err := c.files(keyspace, "")
		if err != nil {
			return 0, err
		}
		paxos, err = c.files("system", "paxos-")
		return own + paxos, err
	})
	return Sample{Disk: all, Paxos: float64(paxos)}, err
}

// Cassandra measures Cassandra, whose clock is moved, in a new keyspace. Nothing
// else may use it: system.paxos is of all keyspaces.
func (r Run) Cassandra(ctx context.Context, c Cluster, moved MovedClock) (result Result, err error) {
	const keyspace = "steady"
	k, err := moved.clock()
	if err != nil {
		return result, err
	}
	e, err := c.open(ctx, keyspace, k.now)
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	return r.measure(ctx, rig{
		engine: e, clock: k, writers: 32,
		moved: func() error { return errors.Join(moved.follow(k), moved.stamp(c)) },
		disk:  func(ctx context.Context) (Sample, error) { return c.tables(ctx, keyspace) },
	})
}
