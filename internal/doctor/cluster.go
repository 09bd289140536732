package doctor

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	apart      = time.Second     // nodes from each other
	away       = 5 * time.Second // a node from this host: the bound of the contract
	paxosFloor = 64 << 20        // bytes of system.paxos on one node worth a word
)

// clocks compares those of the nodes with this host's and with each other.
func (j *judge) clocks() {
	var (
		wrong     []string
		low, high time.Duration
		within    time.Duration
		seen      int
	)
	for _, n := range j.k.Nodes {
		if !n.Reached {
			continue
		}
		if n.Ahead.Abs()-n.Within > away {
			wrong = append(wrong, fmt.Sprintf("%s is %s of this host", n.Address, aheadText(n.Ahead)))
		}
		if seen++; seen == 1 {
			low, high = n.Ahead, n.Ahead
		}
		low, high, within = min(low, n.Ahead), max(high, n.Ahead), max(within, n.Within)
	}
	severity := Warning
	if j.layout == Longcase {
		severity = Error
	}
	repair := Repair{First: "check NTP on the nodes named and on this host (chronyc tracking); correct a clock slowly (slew), never by a step backwards"}
	if len(wrong) > 0 {
		j.add(Finding{ID: Clocks, Severity: severity, Says: "the clock of " + strings.Join(wrong, ", of "), Repair: repair, Source: "docs/clocks.md",
			Why: "rows end by the clock of each node, and the newer write is told by time; a node of Longcase more than 5 s away is not ready"})
	}
	if high-low-2*within > apart {
		j.add(Finding{ID: Clocks, Severity: Warning, Says: fmt.Sprintf("the nodes' clocks are %s apart", (high - low).Round(10*time.Millisecond)), Repair: repair, Source: "docs/clocks.md",
			Why: "of two writes the one with the later time wins: with clocks apart an older one can, and a row is over on one node and alive on another"})
	}
}

func aheadText(d time.Duration) string {
	if d < 0 {
		return short(-d) + " behind"
	}
	return short(d) + " ahead"
}

// replication judges how many copies there are, and where.
func (j *judge) replication() {
	at := map[string]int{}
	for _, n := range j.k.Nodes {
		at[n.DataCentre]++
	}
	centres := slices.Sorted(maps.Keys(at))
	want := map[string]int{}
	for _, dc := range centres {
		want[dc] = min(3, at[dc])
	}
	var says []string
	switch j.k.Strategy {
	case "SimpleStrategy":
		if len(centres) > 1 {
			says = append(says, "SimpleStrategy does not know data centres: a data centre may hold no copy at all")
		}
		if len(j.k.Nodes) > 1 && j.k.Replicas[""] == 1 {
			says = append(says, "there is one copy of each row: with one node its tokens are gone")
		}
	case "NetworkTopologyStrategy":
		for _, dc := range slices.Sorted(maps.Keys(j.k.Replicas)) {
			says = append(says, oneCentre(dc, j.k.Replicas[dc], at[dc])...)
		}
	}
	if len(says) == 0 {
		return
	}
	j.add(Finding{
		ID: Replication, Severity: Error, turn: toReplicate, Says: strings.Join(says, "; "), Source: "Cassandra, NetworkTopologyStrategy",
		Why: "a lost node must lose neither a session nor the memory that a refresh token was used",
		Repair: Repair{
			Commands: []string{fmt.Sprintf("ALTER KEYSPACE %s WITH replication = {%s};", ident(j.k.Name), topology(want))},
			Beware:   "the new replicas are empty until nodetool repair --full " + j.k.Name + " has run on every node: read and write at QUORUM until then",
		},
	})
}

func oneCentre(dc string, copies, nodes int) []string {
	switch {
	case nodes == 0:
		return []string{fmt.Sprintf("data centre %q has copies but no node", dc)}
	case copies > nodes:
		return []string{fmt.Sprintf("data centre %q should have %d copies on %d nodes", dc, copies, nodes)}
	case copies == 1 && nodes > 1:
		return []string{fmt.Sprintf("data centre %q has one copy of each row: with one node its tokens are gone", dc)}
	}
	return nil
}

func topology(want map[string]int) string {
	parts := []string{"'class': 'NetworkTopologyStrategy'"}
	for _, dc := range slices.Sorted(maps.Keys(want)) {
		parts = append(parts, fmt.Sprintf("'%s': %d", strings.ReplaceAll(dc, "'", "''"), want[dc]))
	}
	return strings.Join(parts, ", ")
}

func (j *judge) nodes() {
	var gone []string
	for _, n := range j.k.Nodes {
		if !n.Reached {
			gone = append(gone, n.Address)
		}
	}
	if len(gone) == 0 {
		return
	}
	j.add(Finding{
		ID: Nodes, Severity: Warning, Says: fmt.Sprintf("%d of %d nodes did not answer: %s", len(gone), len(j.k.Nodes), strings.Join(gone, ", ")),
		Why:    "their clocks and sizes are missing here; a node that is down for longer than the hint window, or than gc_grace_seconds, must be repaired before it serves",
		Repair: Repair{First: "nodetool status on another node; and see that this host may reach port 9042 of each node"}, Source: "Cassandra, hinted handoff",
	})
}

// paxos judges the state that lightweight transactions leave behind.
func (j *judge) paxos() {
	var disk, most int64
	reached := int64(0)
	for _, t := range j.k.Tables {
		disk += max(t.Disk, 0)
	}
	for _, n := range j.k.Nodes {
		most = max(most, n.PaxosBytes)
		if n.Reached {
			reached++
		}
	}
	if most < paxosFloor || reached == 0 || most < disk/reached {
		return
	}
	j.add(Finding{
		ID: Paxos, Severity: Warning, Source: measured,
		Says: fmt.Sprintf("system.paxos takes %s on a node, more than this keyspace (%s)", bytesText(float64(most)), bytesText(float64(disk/reached))),
		Why:  "it keeps 148 bytes for each partition that a lightweight transaction touched, for 3 hours or gc_grace_seconds, whichever is longer",
		Repair: Repair{First: "lower gc_grace_seconds of the tables that use lightweight transactions (CAS003), and have all transactions of one session touch one partition",
			Beware: "system.paxos shrinks by its own compaction (nodetool compact system paxos on one node after another)"},
	})
}
