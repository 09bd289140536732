package plan

import (
	"time"

	"github.com/longcase/longcase/internal/config"
	"github.com/longcase/longcase/store"
)

// row is what one record takes of the disk at rest, in bytes: so much, and more
// for each byte of text. Engines that compress their blocks pay little for text
// that the rows of a client share.
type row struct{ fixed, subject, shared float64 }

func (r row) of(f Flow) float64 {
	return r.fixed + r.subject*float64(f.Subject) + r.shared*float64(f.Shared)
}

// engine is what is known of one engine.
type engine struct {
	rows   map[Kind]row
	over   map[Kind]row                            // left of a row that is over, until gc_grace is
	paxos  map[Kind]row                            // in system.paxos, of a row that was written lately: its last change, whole
	spread float64                                 // disk over rows at rest, steady: older versions, holes
	base   float64                                 // bytes that an empty store takes
	bucket float64                                 // bytes of the buckets of all kinds, for each one there is
	width  func(Flow, time.Duration) time.Duration // of the range that ends at once; 0: each row ends by itself
	stays  time.Duration                           // how long a row stays behind its end, beside its bucket's width
	writes float64                                 // rotations a second and processor
	wall   string
}

// engines is the table of what was measured, all on one small machine (2
// processors, 2026-11). rows: bench-steady -rest. spread, base, bucket, ended,
// paxos: bench-steady. writes: bench-store. docs/benchmarks.md has the runs. It
// is read only.
var engines = map[string]engine{
	config.Embedded: {
		rows: map[Kind]row{
			Sessions:    {69, 1.28, 0.05},
			Codes:       {189, 1.22, 0.17},
			Logins:      {46, 0.97, 0},
			Marks:       {21, 0, 0},
			Revocations: {33, 0, 0},
		},
		spread: 1.05,
		base:   5 * 4 << 20, // four logs or five, kept for reuse: a memtable of 4 MiB and a tenth each (store/embedded/disk.go)
		width:  bucketWidth,
		stays:  retireLag + tickLag,
		writes: 68_000 / 2,
		wall:   "one process on one machine: 68,000 rotations a second with 256 clients on 2 processors; what a request costs beside them is the limit before",
	},
	config.Postgres: {
		rows: map[Kind]row{ // fillfactor 90, indexes included; texts are not compressed
			Sessions:    {315, 1.0, 1.1},
			Codes:       {592, 1.2, 1.0},
			Logins:      {225, 0.8, 0},
			Marks:       {108, 0, 0},
			Revocations: {183, 0, 0},
		},
		spread: 1.05,
		base:   10e6,  // the catalog of a database
		bucket: 100e3, // the files and half-filled pages of one that holds something
		width:  partitionWidth,
		stays:  retireLag + tickLag,
		writes: 11_800 / 2,
		wall:   "one primary: 11,800 rotations a second with 64 clients on 2 processors that the clients share; its log is one",
	},
	config.Cassandra: {
		rows: map[Kind]row{
			Sessions:    {112, 1.0, 0.01},
			Codes:       {233, 1.1, 0.03},
			Logins:      {102, 1.0, 0},
			Marks:       {75, 0, 0},
			Revocations: {51, 0, 0},
		},
		spread: 1.15,
		base:   500_000, // the dozen files that each of some tables are
		width:  ownEnd,
		stays:  retireLag,
		over:   map[Kind]row{Sessions: {65, 0, 0}, Codes: {79, 0, 0}, Logins: {77, 0, 0}, Marks: {67, 0, 0}, Revocations: {26, 0, 0}},
		paxos: map[Kind]row{
			Sessions: {163, 1.0, 0.01},
			Codes:    {291, 1.0, 0.03},
			Logins:   {154, 1.0, 0},
			Marks:    {124, 0, 0},
		},
		writes: 3100 / 2,
		wall:   "none of its own: partitions are single sessions, so nodes share them evenly; each write costs every copy",
	},
}

// What a row per token costs, as in incident 4: 864,000 refresh tokens without a
// TTL took 123 MB of each replica (Apache Cassandra 5.0.5).
const tokenRow = 142.6

// Wall says what an engine cannot pass, and how it was measured.
func Wall(name string) string { return engines[name].wall }

// Basis says where the figures come from.
func Basis() string {
	return "Processors and disk as measured on one machine with 2 processors (docs/benchmarks.md): 240 µs a request, machines 70 % busy. Trust the proportions, and measure on your own before you buy."
}

// bucketWidth is that of the records' buckets.
func bucketWidth(f Flow, _ time.Duration) time.Duration {
	if f.Kind == Marks {
		return time.Duration(store.Short)
	}
	return time.Duration(store.ClassOf(f.Life))
}

// ownEnd: rows of Cassandra end by themselves; those of marks and revocations
// with their bucket (store/cassandra/marks.go).
func ownEnd(f Flow, _ time.Duration) time.Duration {
	if f.Kind == Marks || f.Kind == Revocations {
		return bucketWidth(f, 0)
	}
	return 0
}

// partitionWidth is that of PostgreSQL's partitions (store/postgres/partition.go,
// internal/app/store.go): the next of these to a 32nd of the longest life of a
// kind, for all of its records.
func partitionWidth(f Flow, life time.Duration) time.Duration {
	longest := max(48*time.Hour, life+time.Hour)
	if f.Kind == Marks {
		longest = min(longest, store.MaxMark)
	}
	least := max(longest/32, time.Duration(store.ClassOf(longest)))
	for _, w := range []time.Duration{3 * time.Minute, 6 * time.Minute, 30 * time.Minute, time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour} {
		if w >= least {
			return w
		}
	}
	return 28 * 24 * time.Hour
}
