package survey

import (
	"context"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

const (
	mostNodes = 64 // asked one by one
	exchanges = 3  // for the clock of one: the fastest counts
	mebibyte  = 1 << 20
)

// nodes asks each node for its clock and for what it keeps: virtual tables and
// estimates are a node's own.
func (r *reader) nodes(ctx context.Context) {
	hosts := r.session.GetHosts()
	slices.SortFunc(hosts, func(a, b *gocql.HostInfo) int {
		return strings.Compare(a.ConnectAddressAndPort(), b.ConnectAddressAndPort())
	})
	for _, h := range hosts[:min(len(hosts), mostNodes)] {
		if r.out.Cluster == "" {
			r.out.Cluster = h.ClusterName()
		}
		n := Node{Address: address(h), DataCentre: h.DataCenter(), Version: h.Version().String(), PaxosBytes: -1, id: h.HostID()}
		r.clock(ctx, &n)
		if n.Reached {
			r.settings(ctx, n)
			r.usage(ctx, &n)
			r.estimates(ctx, n)
			r.figures(ctx, n)
		}
		r.out.Nodes = append(r.out.Nodes, n)
	}
}

func address(h *gocql.HostInfo) string {
	return net.JoinHostPort(h.ConnectAddress().String(), strconv.Itoa(h.Port()))
}

// clock compares the node's clock with this host's, as NTP does.
func (r *reader) clock(ctx context.Context, n *Node) {
	for range exchanges {
		var at time.Time
		before := r.Now()
		_, err := r.each(ctx, n.id, "SELECT release_version, cluster_name, toTimestamp(now()) FROM system.local WHERE key = 'local'", nil, func(scan func(...any) error) error {
			return scan(&n.Version, &r.out.Cluster, &at)
		})
		after := r.Now()
		if err != nil || at.IsZero() {
			return
		}
		if half := after.Sub(before) / 2; !n.Reached || half < n.Within {
			n.Within = half + time.Millisecond // what the server says ends with the millisecond
			n.Ahead = at.Sub(before.Add(half))
		}
		n.Reached = true
	}
}

// settings reads two lines of a node's cassandra.yaml, if it is 4.0 or later.
func (r *reader) settings(ctx context.Context, n Node) {
	if r.out.HintWindow != 0 || before4(n.Version) {
		return
	}
	_, err := r.each(ctx, n.id, "SELECT name, value FROM system_views.settings", nil, func(scan func(...any) error) error {
		var name, value string
		if err := scan(&name, &value); err != nil {
			return err
		}
		switch name {
		case "max_hint_window_in_ms":
			if ms, err := strconv.ParseInt(value, 10, 64); err == nil {
				r.out.HintWindow = time.Duration(ms) * time.Millisecond
			}
		case "paxos_variant":
			r.out.Paxos = value
		}
		return nil
	})
	if err != nil {
		r.gap("the hint window (system_views.settings)", err, r.allow("KEYSPACE system_views"))
	}
}

// before4 reports whether a version has no virtual tables.
func before4(version string) bool {
	major, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(major)
	return err == nil && n < 4
}

// usage reads what system.paxos and the tables take on a node's disk.
func (r *reader) usage(ctx context.Context, n *Node) {
	if before4(n.Version) {
		r.lacks("sizes on disk, tombstones per read and the hint window", n.Version)
		return
	}
	one := func(keyspace, table string) (mib int64, err error) {
		_, err = r.each(ctx, n.id, "SELECT mebibytes FROM system_views.disk_usage WHERE keyspace_name = ? AND table_name = ?", []any{keyspace, table},
			func(scan func(...any) error) error { return scan(&mib) })
		return mib, err
	}
	mib, err := one("system", "paxos")
	if err != nil {
		r.gap("sizes on disk (system_views.disk_usage)", err, r.allow("KEYSPACE system_views"))
		return
	}
	n.PaxosBytes = mib * mebibyte
	for i := range r.out.Tables {
		t := &r.out.Tables[i]
		if mib, err = one(r.out.Name, t.Name); err == nil {
			t.Disk = max(t.Disk, 0) + mib*mebibyte
		}
	}
}

// lacks notes what a version before 4.0 cannot tell by CQL.
func (r *reader) lacks(what, version string) {
	g := Gap{What: what, Why: "version " + version + " has no virtual tables: they came with 4.0", Do: "nodetool tablestats " + r.out.Name}
	if !slices.Contains(r.out.Gaps, g) {
		r.out.Gaps = append(r.out.Gaps, g)
	}
}

// estimates reads how many partitions a node keeps of the ranges that are
// primarily its own, ended ones included. Nodes estimate every five minutes.
func (r *reader) estimates(ctx context.Context, n Node) {
	_, err := r.each(ctx, n.id, "SELECT table_name, partitions_count FROM system.size_estimates WHERE keyspace_name = ?", []any{r.out.Name},
		func(scan func(...any) error) error {
			var (
				name  string
				count int64
			)
			if err := scan(&name, &count); err != nil {
				return err
			}
			if t := r.table(name); t != nil {
				t.Partitions = max(t.Partitions, 0) + count
			}
			return nil
		})
	if err != nil {
		r.gap("how many partitions are on disk (system.size_estimates)", err, r.allow("system.size_estimates"))
	}
}

// figures reads the worst of each table's reads and partitions.
func (r *reader) figures(ctx context.Context, n Node) {
	if before4(n.Version) {
		return
	}
	for i := range r.out.Tables {
		t := &r.out.Tables[i]
		of := []any{r.out.Name, t.Name}
		_, err := r.each(ctx, n.id, "SELECT p99th FROM system_views.tombstones_per_read WHERE keyspace_name = ? AND table_name = ?", of, func(scan func(...any) error) error {
			var p99 float64
			err := scan(&p99)
			t.TombstoneMax = max(t.TombstoneMax, p99)
			return err
		})
		if err != nil {
			r.gap("tombstones per read (system_views.tombstones_per_read)", err, r.allow("KEYSPACE system_views"))
			return
		}
		_, _ = r.each(ctx, n.id, "SELECT mebibytes FROM system_views.max_partition_size WHERE keyspace_name = ? AND table_name = ?", of, func(scan func(...any) error) error {
			var mib int64
			err := scan(&mib)
			t.MaxPartition = max(t.MaxPartition, mib*mebibyte)
			return err
		}) // what the first could read, this can
	}
}
