package cassandra

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/longcase/longcase/store"
)

// release is a version of Cassandra.
type release [3]int

// unified is the first release with UnifiedCompactionStrategy.
func unified() release { return release{5, 0, 0} }

// least is the first whose transactions stay linearizable while the ring changes
// (CASSANDRA-19617).
func least() release { return release{4, 1, 6} }

var releaseForm = regexp.MustCompile(`^(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?(?:[.~+-][0-9A-Za-z.~+-]*)?$`)

// parseRelease reads release_version: "5.0.5", "4.1.6-SNAPSHOT", "5.1-alpha1".
func parseRelease(text string) (r release, ok bool) {
	m := releaseForm.FindStringSubmatch(text)
	if m == nil {
		return r, false
	}
	for i := range r {
		r[i], _ = strconv.Atoi(m[i+1]) // digits, or nothing: 0
	}
	return r, true
}

func (r release) atLeast(o release) bool { return slices.Compare(r[:], o[:]) >= 0 }

func (r release) String() string { return fmt.Sprintf("%d.%d.%d", r[0], r[1], r[2]) }

// cluster is what the nodes say of themselves.
type cluster struct {
	nodes      []string // their host ids, in order
	oldest     release
	centres    map[string]int // data centres and their nodes
	hintWindow int            // seconds
}

func (c *cluster) add(dc, version string) error {
	r, ok := parseRelease(version)
	if !ok || !r.atLeast(least()) {
		return fmt.Errorf("cassandra: a node in data centre %s runs Cassandra %.40q; at least %s is required (CASSANDRA-19617): upgrade it: %w",
			dc, version, least(), errTooOld)
	}
	if c.centres[dc]++; c.oldest == (release{}) || !r.atLeast(c.oldest) {
		c.oldest = r
	}
	return nil
}

// errTooOld says that the cluster's release is refused.
var errTooOld = errors.New("the release is too old")

var spanForm = regexp.MustCompile(`^(\d{1,12})(ns|us|µs|ms|s|m|h|d)$`)

// parseSpan reads a duration as cassandra.yaml has them: "3h", "10800s".
func parseSpan(text string) (time.Duration, bool) {
	m := spanForm.FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	unit := map[string]time.Duration{
		"ns": 1, "us": time.Microsecond, "µs": time.Microsecond, "ms": time.Millisecond,
		"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour,
	}[m[2]]
	if err != nil || n > int64(1<<62/unit) {
		return 0, false
	}
	return time.Duration(n) * unit, true
}

// local is the data centre to use: the one that is named or the only one.
func (c cluster) local(named string) (string, error) {
	all := slices.Sorted(maps.Keys(c.centres))
	switch {
	case named == "" && len(all) == 1:
		return all[0], nil
	case named == "":
		return "", fmt.Errorf("cassandra: the cluster has the data centres %s: name yours as local_dc", strings.Join(all, ", "))
	case c.centres[named] == 0:
		return "", fmt.Errorf("cassandra: the cluster has no data centre %q; it has %s", named, strings.Join(all, ", "))
	}
	return named, nil
}

// replicas are the copies that a keyspace keeps in each data centre; the empty
// name stands for all of them (SimpleStrategy).
func replicas(replication map[string]string) (map[string]int, error) {
	class := replication["class"]
	simple := strings.HasSuffix(class, ".SimpleStrategy") || class == "SimpleStrategy"
	if !simple && !strings.HasSuffix(class, "NetworkTopologyStrategy") {
		return nil, fmt.Errorf("replication is %.64s, want NetworkTopologyStrategy", class)
	}
	all := map[string]int{}
	for dc, text := range replication {
		if dc == "class" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("replication of %s is %.16q, want a number of copies", dc, text)
		}
		if simple {
			dc = ""
		}
		if n > 0 {
			all[dc] = n
		}
	}
	return all, nil
}

// levels are the consistencies of a keyspace with those copies, seen from the
// data centre local.
func levels(copies map[string]int, local string) (read, serial gocql.Consistency) {
	if len(copies) == 1 && copies[local] > 0 {
		return gocql.LocalQuorum, gocql.LocalSerial
	}
	return gocql.Quorum, gocql.Serial
}

// schemaError collects what is wrong with a keyspace.
func schemaError(keyspace string, wrong []string) error {
	if len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("cassandra: keyspace %s: %w: %s", keyspace, store.ErrSchema, strings.Join(wrong, "; "))
}
