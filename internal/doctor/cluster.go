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
	var says []string
	switch j.k.Strategy {
	case "SimpleStrategy":
		if len(at) > 1 {
			says = append(says, "SimpleStrategy does not know data centres: a data centre may hold no copy at all")
		}
		if n := j.k.Replicas[""]; n < j.copiesWanted(len(j.k.Nodes)) {
			says = append(says, "there "+fewCopies(n))
		}
	case "NetworkTopologyStrategy":
		for _, dc := range slices.Sorted(maps.Keys(j.k.Replicas)) {
			says = append(says, j.oneCentre(dc, j.k.Replicas[dc], at[dc])...)
		}
	}
	if len(says) == 0 {
		return
	}
	j.add(Finding{
		ID: Replication, Severity: Error, turn: toReplicate, Says: strings.Join(says, "; "), Source: "Cassandra, NetworkTopologyStrategy",
		Why: "a lost node must lose neither a session nor the memory that a refresh token was used",
		Repair: Repair{
			Commands: []string{fmt.Sprintf("ALTER KEYSPACE %s WITH replication = {%s};", ident(j.k.Name), topology(j.nextCopies(at)))},
			Beware: "a new replica is empty until nodetool repair --full " + j.k.Name + " has run on every node; so copies are raised by one at a time, " +
				"with all reads and writes at QUORUM or more until the repair is over. Then run doctor again",
		},
	})
}

// copiesWanted is below which number a keyspace does not survive what it should:
// Longcase reads and writes at QUORUM, for which two copies are no better than
// one.
func (j *judge) copiesWanted(nodes int) int {
	if j.layout == Longcase {
		return min(3, nodes)
	}
	return min(2, nodes)
}

func fewCopies(n int) string {
	if n == 1 {
		return "is one copy of each row: with one node its tokens are gone"
	}
	return fmt.Sprintf("are %d copies of each row: without one node there is no quorum", n)
}

func (j *judge) oneCentre(dc string, copies, nodes int) []string {
	switch {
	case nodes == 0:
		return []string{fmt.Sprintf("data centre %q has copies but no node", dc)}
	case copies > nodes:
		return []string{fmt.Sprintf("data centre %q should have %d copies on %d nodes", dc, copies, nodes)}
	case copies < j.copiesWanted(nodes):
		return []string{fmt.Sprintf("in data centre %q there %s", dc, fewCopies(copies))}
	}
	return nil
}

// nextCopies are the copies to set next, in the data centres that have some; a
// SimpleStrategy has them in all.
func (j *judge) nextCopies(at map[string]int) map[string]int {
	next := map[string]int{}
	for dc, nodes := range at {
		copies, has := j.k.Replicas[dc]
		if j.k.Strategy == "SimpleStrategy" {
			copies, has = j.k.Replicas[""], true
		}
		if has {
			next[dc] = min(max(copies, min(copies+1, 3)), nodes)
		}
	}
	if len(next) == 0 {
		for dc, nodes := range at {
			next[dc] = min(3, nodes)
		}
	}
	return next
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
