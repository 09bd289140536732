// Package survey reads, and only reads, what a Cassandra keyspace is like: its
// tables, their settings and what they hold. It works on any keyspace, ours and
// Apigee's kms alike, and judges nothing: that is internal/doctor.
//
// Every statement is a SELECT at consistency ONE. The work is bounded: so many
// rows of a table, so many nodes, so much time. Values are never read, only
// when they were written and how long they live. What could not be read, for
// want of a right or in an older version, is a Gap and no error.
package survey

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/longcase/longcase/store/cassandra"
)

// The errors of Read.
var (
	ErrUnreachable = errors.New("the cluster cannot be reached")
	ErrRefused     = errors.New("the cluster refuses this user or password")
	ErrNoKeyspace  = errors.New("there is no such keyspace, or no right to see it")
	ErrTooOld      = errors.New("Cassandra older than 3.0 is not read")
)

// Config says what to read. Of Cluster the hosts, the keyspace, the user, the
// password and TLS are used.
type Config struct {
	Cluster  cassandra.Config
	Sample   func(tables []string) []string // which tables to sample; nil: all
	Rows     int                            // sampled of one table, at most; default 2000
	Patience time.Duration                  // for all of it; default 60 s
	Now      func() time.Time               // this host's clock; default time.Now
}

// Keyspace is what was read of one.
type Keyspace struct {
	Name       string         `json:"name"`
	Cluster    string         `json:"cluster"`
	Strategy   string         `json:"strategy"` // of replication: NetworkTopologyStrategy, SimpleStrategy
	Replicas   map[string]int `json:"replicas"` // per data centre; "" is SimpleStrategy's one figure
	HintWindow time.Duration  `json:"-"`        // max_hint_window; 0: not known
	Paxos      string         `json:"paxos_variant,omitempty"`
	Nodes      []Node         `json:"nodes"`
	Tables     []Table        `json:"tables"`
	Gaps       []Gap          `json:"gaps"`
}

// Node is one node of the cluster as it answers itself.
type Node struct {
	Address    string        `json:"address"`
	DataCentre string        `json:"data_centre"`
	Version    string        `json:"version"`
	Reached    bool          `json:"reached"`
	Ahead      time.Duration `json:"-"`           // of this host's clock
	Within     time.Duration `json:"-"`           // of the truth: half of the fastest exchange
	PaxosBytes int64         `json:"paxos_bytes"` // of system.paxos on its disk, to 1 MiB; -1: not known

	id string
}

// Index is a secondary index.
type Index struct {
	Name   string `json:"name"`
	Target string `json:"target"` // the column
	Kind   string `json:"kind"`
}

// Table is one table of the keyspace. Figures that are not known are -1.
type Table struct {
	Name       string            `json:"name"`
	ID         string            `json:"-"` // as system.paxos names it
	Compaction string            `json:"compaction"`
	Options    map[string]string `json:"compaction_options"`
	GCGrace    time.Duration     `json:"-"`
	DefaultTTL time.Duration     `json:"-"`
	Indexes    []Index           `json:"indexes"`
	Views      []string          `json:"views"` // materialized

	Disk         int64   `json:"disk_bytes"`          // on all nodes, to 1 MiB each
	Partitions   int64   `json:"partitions_on_disk"`  // ended ones included, each once, as of the last estimate
	MaxPartition int64   `json:"max_partition_bytes"` // of all nodes, to 1 MiB
	TombstoneMax float64 `json:"tombstones_per_read"` // 99th percentile of the worst node
	PaxosRows    int64   `json:"paxos_rows"`          // of system.paxos, estimated, one replica
	Sample       *Sample `json:"sample"`              // nil: not sampled

	all       []column
	columns   []column // whose TTL can be asked for
	key       []column
	clustered bool
	unfit     string // why its rows cannot be written again; empty: they can
}

// Gap is what could not be read.
type Gap struct {
	What string `json:"what"`
	Why  string `json:"why"`
	Do   string `json:"do"` // so that it can be read
}

// Read surveys the keyspace of cfg.Cluster. It fails with an error of this
// package, or that of ctx.
func Read(ctx context.Context, cfg Config) (*Keyspace, error) {
	cfg = cfg.filled()
	ctx, cancel := context.WithTimeout(ctx, cfg.Patience)
	defer cancel()
	session, err := dial(ctx, cfg.Cluster)
	if err != nil {
		return nil, err
	}
	defer session.Close()
	r := &reader{Config: cfg, session: session, out: &Keyspace{Name: cfg.Cluster.Keyspace, Nodes: []Node{}, Tables: []Table{}, Gaps: []Gap{}}}
	if err := r.schema(ctx); err != nil {
		return nil, r.said(ctx, err)
	}
	r.nodes(ctx)
	r.sample(ctx)
	if err := ctx.Err(); errors.Is(err, context.Canceled) {
		return nil, err
	}
	return r.out, nil
}

func (c Config) filled() Config {
	if c.Rows <= 0 {
		c.Rows = 2000
	}
	if c.Patience <= 0 {
		c.Patience = time.Minute
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Sample == nil {
		c.Sample = func(tables []string) []string { return tables }
	}
	return c
}

// said is an error of the schema in the words of this package.
func (r *reader) said(ctx context.Context, err error) error {
	if e := ctx.Err(); errors.Is(e, context.Canceled) {
		return e
	}
	for _, known := range []error{ErrNoKeyspace, ErrTooOld} {
		if errors.Is(err, known) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}
