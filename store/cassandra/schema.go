package cassandra

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// gcGrace is the gc_grace_seconds of every table: how long a row that has ended
// still costs disk. Shorter than the hint window, which is 3 h by default, it
// would lose hints; longer only costs, because nothing is ever deleted.
const gcGrace = 10_800

// compaction is how a table's files are merged.
type compaction string

// The two that fit: rows that are rewritten and end, and rows that are written
// once and end together.
const (
	rewritten compaction = "rewritten" // UnifiedCompactionStrategy; before Cassandra 5.0 LeveledCompactionStrategy
	appended  compaction = "appended"  // TimeWindowCompactionStrategy
)

// leveled makes the unified strategy merge whenever two files overlap, and go to
// the next level only at ten times the size. As it comes (T4) it waits for four
// files, and in a table of which most rows are versions or over, the disk was 1.73
// times what is live (L4: 1.45, L10: 1.14; bench/steady at two sessions a second).
const leveled = "L10"

// table is one of ours, and one access pattern.
type table struct {
	name    string
	columns []column
	compaction
}

// column is one of a table. kind is as in system_schema.columns.
type column struct{ name, kind, cql string }

// schema is our tables, in the order in which they are made.
func schema() []table {
	id := column{"id", "partition_key", "blob"}
	proposal := column{"proposal", "regular", "bigint"}
	about, data := column{"about", "regular", "blob"}, column{"data", "regular", "blob"}
	version := column{"version", "regular", "bigint"}
	part := column{"part", "partition_key", "blob"}
	return []table{
		{"state", []column{{"name", "partition_key", "text"}, {"version", "regular", "int"}, {"store", "regular", "text"}, {"reason", "regular", "text"}}, rewritten},
		{"sessions", []column{id, {"gen", "regular", "bigint"}, {"ended", "regular", "boolean"}, proposal, about, data}, rewritten},
		{"documents", []column{id, {"kind", "partition_key", "blob"}, version, proposal, about, data}, rewritten},
		{"marks", []column{id, proposal}, appended},
		{"revocations", []column{part, {"at", "clustering", "bigint"}, {"nonce", "clustering", "bigint"}, {"entry", "regular", "blob"}}, appended},
		{"registry", []column{part, {"key", "clustering", "blob"}, version, proposal, {"present", "regular", "boolean"}, {"value", "regular", "blob"}}, rewritten},
	}
}

// ofKind names the columns of t of a kind, in order.
func (t table) ofKind(kind string) (names []string) {
	for _, c := range t.columns {
		if c.kind == kind {
			names = append(names, c.name)
		}
	}
	return names
}

// cql makes t, for a cluster as it is.
func (t table) cql(keyspace string, c cluster) string {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE IF NOT EXISTS %q.%s (", keyspace, t.name)
	for _, c := range t.columns {
		fmt.Fprintf(&b, "%s %s, ", c.name, c.cql)
	}
	key := append([]string{"(" + strings.Join(t.ofKind("partition_key"), ", ") + ")"}, t.ofKind("clustering")...)
	fmt.Fprintf(&b, "PRIMARY KEY (%s)) WITH gc_grace_seconds = %d AND compaction = %s",
		strings.Join(key, ", "), max(gcGrace, c.hintWindow), options(t.strategy(c)))
	return b.String()
}

// strategy is how t is made.
func (t table) strategy(c cluster) map[string]string {
	switch {
	case t.compaction == appended: // a window for ends that are minutes to 25 h ahead; long ones leave a file when enough of it has ended
		return map[string]string{
			"class": "TimeWindowCompactionStrategy", "compaction_window_unit": "HOURS", "compaction_window_size": "1",
			"unchecked_tombstone_compaction": "true", "tombstone_compaction_interval": "10800",
		}
	case c.oldest.atLeast(unified()):
		return map[string]string{"class": "UnifiedCompactionStrategy", "scaling_parameters": leveled}
	}
	return map[string]string{"class": "LeveledCompactionStrategy"}
}

// strategies are those that t may have: one made before an upgrade stays.
func (t table) strategies() []string {
	if t.compaction == appended {
		return []string{"TimeWindowCompactionStrategy"}
	}
	return []string{"UnifiedCompactionStrategy", "LeveledCompactionStrategy"}
}

// options writes a map as CQL does.
func options(m map[string]string) string {
	var all []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		all = append(all, fmt.Sprintf("'%s': '%s'", strings.ReplaceAll(k, "'", "''"), strings.ReplaceAll(m[k], "'", "''")))
	}
	return "{" + strings.Join(all, ", ") + "}"
}

// keyspaceCQL makes the keyspace with a copy on as many nodes of each data
// centre, as far as there are so many.
func keyspaceCQL(keyspace string, copies int, c cluster) string {
	replication := map[string]string{"class": "NetworkTopologyStrategy"}
	for dc, nodes := range c.centres {
		replication[dc] = fmt.Sprint(min(copies, nodes))
	}
	return fmt.Sprintf("CREATE KEYSPACE IF NOT EXISTS %q WITH replication = %s", keyspace, options(replication))
}
