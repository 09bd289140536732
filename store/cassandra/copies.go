package cassandra

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
)

// warnFew tells of data centres that do not survive the loss of a node: quorums
// of one or two copies are all of them. A keyspace that was made before all nodes
// were there keeps as few, until somebody raises them.
func (p probe) warnFew(replication map[string]string, copies map[string]int, c cluster) {
	for _, dc := range slices.Sorted(maps.Keys(copies)) {
		if copies[dc] >= defaultReplication {
			continue
		}
		say, args := "the keyspace does not survive the loss of a node: it wants three nodes, and three copies", []any{
			slog.String("keyspace", p.cfg.Keyspace), slog.String("data_centre", dc), slog.Int("copies", copies[dc]), slog.Int("nodes", c.in(dc)),
		}
		if copies[dc] < c.most(dc) {
			say = "the keyspace does not survive the loss of a node, and has fewer copies than there are nodes: raise them, one at a time, and repair after each"
			args = append(args, slog.String("cql", raised(p.cfg.Keyspace, replication, copies, c)), slog.String("then_on_each_node", "nodetool repair --full "+p.cfg.Keyspace))
		}
		p.cfg.Log.Warn(say, args...)
	}
}

// in is how many nodes a data centre has; the empty name stands for all of them.
func (c cluster) in(dc string) int {
	if dc == "" {
		return len(c.nodes)
	}
	return c.centres[dc]
}

// most is how many copies a keyspace should have there.
func (c cluster) most(dc string) int { return min(defaultReplication, c.in(dc)) }

// raised is the statement that adds one copy wherever there are too few. One at a
// time: of three copies of which two are empty, a quorum may be those two.
func raised(keyspace string, replication map[string]string, copies map[string]int, c cluster) string {
	next := maps.Clone(replication)
	for dc, n := range copies {
		if n >= c.most(dc) {
			continue
		}
		if dc == "" {
			dc = "replication_factor"
		}
		next[dc] = strconv.Itoa(n + 1)
	}
	return fmt.Sprintf("ALTER KEYSPACE %q WITH replication = %s", keyspace, options(next))
}
