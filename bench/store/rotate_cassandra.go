package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/store/cassandra"
)

// keyspace is made by the engine; the bare statement's table lies in it too.
const keyspace = "rotations"

// Cassandra measures the engine beside a conditional UPDATE on a table of the
// same columns and settings: the same driver, consistency and TTL. Nothing else
// is to use the cluster, and it is left as it is then.
func (r Rotation) Cassandra(ctx context.Context, w io.Writer, host string) (err error) {
	r = r.withDefaults(10_000)
	e, err := cassandra.Open(ctx, cassandra.Config{Hosts: []string{host}, Keyspace: keyspace, Replication: 1, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	ours := newStock(e.Sessions(), r.Live)
	bare, err := newConditional(ctx, host, r.Live)
	if err != nil {
		return err
	}
	defer bare.Close()
	err = inParallel(r.Live, func(i int) error { return errors.Join(e.Sessions().Create(ctx, ours.all[i]), bare.insert(ctx, i)) })
	if err != nil {
		return err
	}
	return r.beside(w, "Cassandra", bare.update(ctx), ours.replace(ctx), ours.rotate(ctx))
}

// conditional is sessions in the table bare.
type conditional struct {
	*gocql.Session
	*stock
	about []byte
}

func newConditional(ctx context.Context, host string, n int) (*conditional, error) {
	cfg := gocql.NewCluster(host)
	cfg.Keyspace, cfg.ProtoVersion, cfg.Timeout = keyspace, 5, 8*time.Second
	cfg.Consistency, cfg.SerialConsistency = gocql.LocalQuorum, gocql.LocalSerial
	cfg.DefaultTimestamp, cfg.DisableSkipMetadata = false, true
	cfg.PoolConfig.HostSelectionPolicy = gocql.TokenAwareHostPolicy(gocql.DCAwareRoundRobinPolicy("datacenter1"))
	session, err := cfg.CreateSession()
	if err != nil {
		return nil, err
	}
	c := &conditional{session, newStock(nil, n), make([]byte, 20)} // what an end, a client and a subject take
	if err := c.table(ctx); err != nil {
		session.Close()
		return nil, err
	}
	return c, nil
}

// table makes the table bare with the settings of the engine's.
func (c *conditional) table(ctx context.Context) error {
	var grace int
	compaction := map[string]string{}
	err := c.Query("SELECT gc_grace_seconds, compaction FROM system_schema.tables WHERE keyspace_name = ? AND table_name = 'sessions'", keyspace).
		ScanContext(ctx, &grace, &compaction)
	if err != nil {
		return err
	}
	var options []string
	for name, value := range compaction {
		options = append(options, fmt.Sprintf("'%s': '%s'", name, value))
	}
	return c.Query(fmt.Sprintf(`CREATE TABLE bare (id blob PRIMARY KEY, gen bigint, ended boolean, proposal bigint, about blob, data blob)
WITH gc_grace_seconds = %d AND compaction = {%s}`, grace, strings.Join(options, ", "))).ExecContext(ctx)
}

func (c *conditional) insert(ctx context.Context, i int) error {
	one := c.all[i]
	return c.applied(ctx, "INSERT INTO bare (id, gen, ended, proposal, about, data) VALUES (?, ?, ?, ?, ?, ?) IF NOT EXISTS USING TTL ?",
		one.ID[:], int64(one.Generation), one.Ended, int64(rand.Uint64()), c.about, one.Data, ttl(one))
}

// update is what the engine's Replace amounts to.
func (c *conditional) update(ctx context.Context) lane {
	return lane{"bare UPDATE IF", func(i, n int) func() error {
		next := turn(len(c.all), i, n)
		return func() error {
			at := &c.all[next()]
			err := c.applied(ctx, "UPDATE bare USING TTL ? SET gen = ?, ended = ?, proposal = ?, about = ?, data = ? WHERE id = ? IF gen = ?",
				ttl(*at), int64(at.Generation)+1, at.Ended, int64(rand.Uint64()), c.about, at.Data, at.ID[:], int64(at.Generation))
			at.Generation++
			return err
		}
	}}
}

func (c *conditional) applied(ctx context.Context, stmt string, args ...any) error {
	applied, err := c.Query(stmt, args...).MapScanCASContext(ctx, map[string]any{})
	if err == nil && !applied {
		err = errors.New("its condition does not hold")
	}
	return err
}

// ttl is as the engine has it.
func ttl(one store.Session) int {
	return int((time.Until(one.End) + store.RetireDelay) / time.Second)
}
