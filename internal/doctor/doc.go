// Package doctor says what is wrong with a running system, and what repairs it.
//
// It judges what others have read (store/cassandra/survey) and is pure: the
// same survey gives the same findings. Each finding has a stable id, says what
// is so, why it matters, what repairs it and where that is known from.
package doctor

import (
	"cmp"
	"slices"
	"strings"

	"github.com/longcase/longcase/store/cassandra/survey"
)

// Severity is how much a Finding matters.
type Severity string

// The severities. A Note is worth knowing and fails nothing.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
	Note    Severity = "note"
)

// The ids of findings. They are never reused; CAS001 to CAS004 are those of
// lint.
const (
	Compaction  = "CAS001"
	Indexes     = "CAS002"
	Grace       = "CAS003"
	Endless     = "CAS004"
	Version     = "CAS005"
	Clocks      = "CAS006"
	Replication = "CAS007"
	Nodes       = "CAS008"
	Tombstones  = "CAS009"
	Paxos       = "CAS010"
	Partitions  = "CAS011"
	DefaultTTL  = "CAS012"
)

// Finding is one thing that is not as it should be.
type Finding struct {
	ID       string   `json:"id"`
	Severity Severity `json:"severity"`
	Table    string   `json:"table,omitempty"`
	Says     string   `json:"says"`
	Why      string   `json:"why"`
	Repair   Repair   `json:"repair"`
	Source   string   `json:"source"`

	turn turn
}

// Repair is what to do. Commands are CQL and may be run as they are printed.
type Repair struct {
	First    string   `json:"first,omitempty"` // before the commands
	Commands []string `json:"commands,omitempty"`
	Beware   string   `json:"beware,omitempty"` // what they cost, and what to do after them
}

// turn orders commands: what stops the growth, what makes each write cheaper,
// then what makes every node rewrite the table, so that it does so once.
type turn int

const (
	toStop turn = iota
	toDrop
	toShorten
	toRewrite
	toReplicate
)

// Fails reports whether one of the findings is more than a note.
func Fails(findings []Finding) bool {
	return slices.ContainsFunc(findings, func(f Finding) bool { return f.Severity != Note })
}

// Commands lists the commands of all findings in the order in which to run
// them, each once.
func Commands(findings []Finding) []string {
	sorted := slices.Clone(findings)
	slices.SortStableFunc(sorted, func(a, b Finding) int { return cmp.Compare(a.turn, b.turn) })
	all := []string{}
	for _, f := range sorted {
		for _, c := range f.Repair.Commands {
			if !slices.Contains(all, c) {
				all = append(all, c)
			}
		}
	}
	return all
}

// Ask narrows what is judged.
type Ask struct {
	Tables []string // these hold tokens, whatever their names; empty: by layout
	Disk   float64  // bytes of one node; 0: not known
}

// Cassandra judges a keyspace. Errors come first.
func Cassandra(k *survey.Keyspace, ask Ask) []Finding {
	j := &judge{k: k, ask: ask, layout: LayoutOf(names(k)), least: leastVersion(k)}
	j.cluster()
	for i := range k.Tables {
		t := &k.Tables[i]
		if j.layout.holds(t.Name, ask.Tables) {
			j.table(t)
		} else if j.layout == Longcase && lasts(t.Name) {
			j.indexes(t)
		}
		if j.layout == Longcase && (ends(t.Name) || lasts(t.Name)) {
			j.ttl(t)
		}
	}
	rank := func(s Severity) int { return slices.Index([]Severity{Error, Warning, Note}, s) }
	slices.SortStableFunc(j.found, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(rank(a.Severity), rank(b.Severity)), strings.Compare(a.ID, b.ID))
	})
	return j.found
}

// judge is one keyspace under judgement.
type judge struct {
	k      *survey.Keyspace
	ask    Ask
	layout Layout
	least  version
	found  []Finding
}

func (j *judge) add(f Finding) { j.found = append(j.found, f) }

func (j *judge) table(t *survey.Table) {
	for _, rule := range []func(*survey.Table){j.compaction, j.indexes, j.grace, j.endless, j.tombstones, j.partitions} {
		rule(t)
	}
}

func (j *judge) cluster() {
	for _, rule := range []func(){j.version, j.clocks, j.replication, j.nodes, j.paxos} {
		rule()
	}
}

func names(k *survey.Keyspace) []string {
	list := make([]string, len(k.Tables))
	for i, t := range k.Tables {
		list[i] = t.Name
	}
	return list
}
