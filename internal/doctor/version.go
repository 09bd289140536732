package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/longcase/longcase/store/cassandra/survey"
)

// version is a release of Cassandra: 5.0-rc1 comes before 5.0.0.
type version struct {
	parts [3]int
	final bool
	text  string
}

func parseVersion(s string) version {
	v := version{final: true, text: s}
	number, suffix, has := strings.Cut(s, "-")
	if has && (strings.HasPrefix(suffix, "alpha") || strings.HasPrefix(suffix, "beta") || strings.HasPrefix(suffix, "rc")) {
		v.final = false
	}
	for i, p := range strings.SplitN(number, ".", 4) {
		if n, err := strconv.Atoi(p); err == nil && i < 3 {
			v.parts[i] = n
		}
	}
	return v
}

func (v version) compare(w version) int {
	if c := slices.Compare(v.parts[:], w.parts[:]); c != 0 || v.final == w.final {
		return c
	}
	if v.final {
		return 1
	}
	return -1
}

func (v version) atLeast(s string) bool { return v.compare(parseVersion(s)) >= 0 }

// leastVersion is that of the oldest node.
func leastVersion(k *survey.Keyspace) version {
	var all []version
	for _, n := range k.Nodes {
		if n.Version != "" {
			all = append(all, parseVersion(n.Version))
		}
	}
	if len(all) == 0 {
		return version{}
	}
	return slices.MinFunc(all, version.compare)
}

// version wants the repair of a fault in lightweight transactions, where they
// are used.
func (j *judge) version() {
	used := j.layout == Longcase
	for _, t := range j.k.Tables {
		used = used || t.PaxosRows > 0
	}
	if !used || j.least.text == "" || j.least.atLeast("5.0.0") || j.least.atLeast("4.1.6") && !j.least.atLeast("5.0-alpha1") {
		return
	}
	j.add(Finding{
		ID: Version, Severity: Error,
		Says:   fmt.Sprintf("lightweight transactions are used and a node runs Cassandra %s: 4.1.6 or 5.0 is needed", j.least.text),
		Why:    "before that, a lightweight transaction that was acknowledged can be lost while ranges move (CASSANDRA-19617): a refresh token could be redeemed twice",
		Repair: Repair{First: "upgrade every node to 4.1.6 or later, or to 5.0; one at a time, no change of the schema meanwhile"},
		Source: "CASSANDRA-19617",
	})
}

// versions lists the versions of the nodes, each once, oldest first.
func versions(k *survey.Keyspace) []string {
	var all []string
	for _, n := range k.Nodes {
		if n.Version != "" && !slices.Contains(all, n.Version) {
			all = append(all, n.Version)
		}
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Or(parseVersion(a).compare(parseVersion(b)), strings.Compare(a, b)) })
	return all
}
