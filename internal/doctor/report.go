package doctor

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/longcase/longcase/store/cassandra/survey"
)

// Report is a keyspace with what was found in it.
type Report struct {
	Layout   Layout           `json:"layout"`
	Keyspace *survey.Keyspace `json:"keyspace"`
	Findings []Finding        `json:"findings"`
	Commands []string         `json:"commands"` // of all findings, in order
	Tokens   []string         `json:"tables_judged"`
}

// Examined judges a keyspace and puts it together.
func Examined(k *survey.Keyspace, ask Ask) *Report {
	f := Cassandra(k, ask)
	return &Report{Layout: LayoutOf(names(k)), Keyspace: k, Findings: f, Commands: Commands(f), Tokens: Tokens(names(k), ask.Tables)}
}

// Summary is the cluster in a line.
func (r *Report) Summary() string {
	k := r.Keyspace
	nodes := fmt.Sprintf("%d nodes", len(k.Nodes))
	if len(k.Nodes) == 1 {
		nodes = "1 node"
	}
	copies := make([]string, 0, len(k.Replicas))
	for _, dc := range slices.Sorted(maps.Keys(k.Replicas)) {
		copies = append(copies, strings.TrimSpace(fmt.Sprintf("%s %d", dc, k.Replicas[dc])))
	}
	layout := string(r.Layout)
	if r.Layout == Other {
		layout = "a layout that is not known"
	}
	return fmt.Sprintf("%s, on %s of Cassandra %s (cluster %q), %s %s", layout, nodes, strings.Join(versions(k), " and "), k.Cluster, k.Strategy, strings.Join(copies, ", "))
}

// Rows are the tables that were judged, as people read them; the first is the
// head.
func (r *Report) Rows() [][]string {
	rows := [][]string{{"TABLE", "ROWS", "WITHOUT END", "ON DISK", "PAXOS ROWS", "GC_GRACE", "COMPACTION"}}
	for _, t := range r.Keyspace.Tables {
		if slices.Contains(r.Tokens, t.Name) {
			rows = append(rows, []string{t.Name, total(t.Sample), endlessText(t.Sample), sizeText(t.Disk), countText(t.PaxosRows), short(t.GCGrace), strings.TrimSuffix(t.Compaction, "CompactionStrategy")})
		}
	}
	return rows
}

// Machines are the nodes, likewise.
func (r *Report) Machines() [][]string {
	rows := [][]string{{"NODE", "DATA CENTRE", "VERSION", "CLOCK", "SYSTEM.PAXOS"}}
	for _, n := range r.Keyspace.Nodes {
		clock := "not reached"
		if n.Reached {
			clock = fmt.Sprintf("%+.3f s (± %.3f)", n.Ahead.Seconds(), n.Within.Seconds())
		}
		rows = append(rows, []string{n.Address, n.DataCentre, n.Version, clock, sizeText(n.PaxosBytes)})
	}
	return rows
}

func total(s *survey.Sample) string {
	switch {
	case s == nil:
		return "?"
	case s.All:
		return grouped(int64(s.Total))
	}
	return "~" + figure(s.Total)
}

func endlessText(s *survey.Sample) string {
	switch {
	case s == nil:
		return "?"
	case s.Rows == 0:
		return "-"
	case s.All:
		return fmt.Sprintf("%s of all", percent(float64(s.Endless)/float64(s.Rows)))
	}
	low, high := Interval(s.Endless, s.Rows)
	return fmt.Sprintf("%s to %s (%s sampled)", strings.TrimSuffix(percent(low), " %"), percent(high), grouped(int64(s.Rows)))
}

// sizeText is a size that is known to 1 MiB.
func sizeText(n int64) string {
	switch {
	case n < 0:
		return "?"
	case n < 1<<20:
		return "< 1 MB"
	}
	return bytesText(float64(n))
}

func countText(n int64) string {
	if n < 0 {
		return "?"
	}
	return figure(float64(n))
}
