package cassandra

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/longcase/longcase/store"
)

const (
	schemaTimeout = 20 * time.Second // of one change of the schema, and of the nodes' agreement on it
	agreeTimeout  = 8 * time.Second
	agreeAnswer   = 2 * time.Second // of the nodes that are asked; who takes longer has no say
	agreePause    = 200 * time.Millisecond
)

// makeKeyspace makes the keyspace, if it is missing, and returns its
// replication.
func (p probe) makeKeyspace(ctx context.Context, c cluster) (map[string]string, error) {
	replication, err := p.replication(ctx)
	if err != nil || replication != nil {
		return replication, err
	}
	if p.cfg.Existing {
		return nil, p.noStore()
	}
	if c, err = p.settled(ctx, c); err != nil {
		return nil, err
	}
	if err := p.mayMake(ctx, "keyspace "+p.cfg.Keyspace); err != nil {
		return nil, err
	}
	if err := p.alter(ctx, keyspaceCQL(p.cfg.Keyspace, p.cfg.Replication, c)); err != nil {
		return nil, err
	}
	replication, err = p.replication(ctx)
	if err == nil && replication == nil {
		err = fmt.Errorf("cassandra: keyspace %s was made and is not seen yet: %w", p.cfg.Keyspace, store.ErrUnavailable)
	}
	if err == nil {
		p.cfg.Log.Info("made the keyspace", slog.String("keyspace", p.cfg.Keyspace), slog.Any("replication", replication))
	}
	return replication, err
}

func (p probe) noStore() error {
	return fmt.Errorf("cassandra: nothing of ours is in the keyspace %s: check its name: %w", p.cfg.Keyspace, store.ErrNoStore)
}

// mayMake refuses to make what one node has not while another may have it: a
// node whose schema is behind would make a second one, and what the first held
// would be gone.
func (p probe) mayMake(ctx context.Context, what string) error {
	if p.agree(ctx) {
		return nil
	}
	return fmt.Errorf("cassandra: %s is not made yet: the nodes do not agree on the schema (nodetool describecluster): %w", what, store.ErrUnavailable)
}

// replication of the keyspace; nil: there is none.
func (e *Engine) replication(ctx context.Context) (map[string]string, error) {
	var m map[string]string
	q := e.session.Query("SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = ?", e.cfg.Keyspace)
	_, err := e.get(ctx, "read the schema", q, &m)
	return m, err
}

// makeTables makes what is missing of a store that is not complete yet, and
// returns all tables. Of one that was complete once nothing is made: what a
// table held would be gone without a word.
func (p probe) makeTables(ctx context.Context, c cluster, read gocql.Consistency) (all map[string]*found, made bool, err error) {
	if all, err = p.tables(ctx); err != nil {
		return nil, false, err
	}
	if slices.ContainsFunc(schema(), func(t table) bool { return all[t.name] != nil }) {
		if complete, err := p.complete(ctx, all, read); err != nil || complete {
			return all, false, err
		}
	}
	if p.cfg.Existing {
		return nil, false, p.noStore()
	}
	if err := p.mayMake(ctx, "a table"); err != nil {
		return nil, false, err
	}
	for _, t := range schema() { // those that another node just made, too: it may be seen and not ready
		if err := p.alter(ctx, t.cql(p.cfg.Keyspace, c)); err != nil {
			return nil, false, err
		}
	}
	all, err = p.tables(ctx)
	return all, true, err
}

// complete reports whether the store was made to its end: its first table is
// state, and what is made last is the row in it.
func (p probe) complete(ctx context.Context, all map[string]*found, read gocql.Consistency) (bool, error) {
	if all["state"] == nil {
		return true, nil
	}
	var version int
	q := p.session.Query(fmt.Sprintf("SELECT version FROM %q.state WHERE name = ?", p.cfg.Keyspace), p.stateName())
	found, err := p.get(ctx, "read the store's state", q.Consistency(read), &version)
	if errors.Is(err, store.ErrSchema) { // it is being made
		return false, nil
	}
	return found, err
}

// alter changes the schema. Nodes that start together send such statements to
// one and the same coordinator, the first by id: two coordinators that make one
// table at the same time make two of it. Hence the next is asked only where the
// statement was never sent.
func (p probe) alter(ctx context.Context, stmt string) error {
	ctx, cancel := context.WithTimeout(ctx, schemaTimeout)
	defer cancel()
	err := gocql.ErrNoConnections
	for _, id := range p.up() {
		if err = p.session.Query(stmt).SetHostID(id).ExecContext(ctx); !unsent(err) {
			break
		}
	}
	switch {
	case err == nil:
		if !p.agree(ctx) { // a node that is slow agrees later
			p.cfg.Log.Warn("not all nodes agree on the schema yet", slog.String("keyspace", p.cfg.Keyspace))
		}
		return nil
	case refused(err):
		return fmt.Errorf("cassandra: %w: let an administrator run %s: %w", errRefused, stmt, err)
	}
	return fmt.Errorf("cassandra: change the schema: %w: %w", store.ErrUnavailable, err)
}

// agree waits until the nodes that answer have one schema, and reports whether
// they do. Each is asked itself: what its peers say of a node that is down or was
// just restarted may be minutes old.
func (p probe) agree(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, agreeTimeout)
	defer cancel()
	for ctx.Err() == nil {
		if p.agreed(ctx) {
			return true
		}
		sleep(ctx, agreePause)
	}
	return false
}

func (p probe) agreed(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, agreeAnswer)
	defer cancel()
	nodes := p.up()
	versions := make([]string, len(nodes))
	var asked sync.WaitGroup
	for i, id := range nodes {
		asked.Go(func() {
			q := p.session.Query("SELECT schema_version FROM system.local WHERE key = 'local'").SetHostID(id)
			_, _ = p.get(ctx, "ask for the schema's version", q, &versions[i]) // who does not answer has no say
		})
	}
	asked.Wait()
	versions = slices.DeleteFunc(versions, func(v string) bool { return v == "" })
	slices.Sort(versions)
	return len(slices.Compact(versions)) == 1
}
