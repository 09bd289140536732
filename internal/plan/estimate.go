package plan

import (
	"time"

	"github.com/longcase/longcase/internal/config"
)

// Engines lists the engines that plan knows, in the order of their size.
func Engines() []string { return []string{config.Embedded, config.Postgres, config.Cassandra} }

// Setup is how an engine is run.
type Setup struct {
	GCGrace  time.Duration // gc_grace_seconds of Cassandra
	Replicas int           // copies that Cassandra keeps
}

// Stored is one kind of record at steady state.
type Stored struct {
	Flow
	Bucket time.Duration // the width of its bucket; 0: each row ends by itself
	Stays  time.Duration // from a row's beginning until it is gone, on average
	Rows   float64
	Bytes  float64 // of its rows at rest
}

// Part is something that takes room.
type Part struct {
	Name  string  `json:"name"`
	Bytes float64 `json:"bytes"`
}

// Estimate is one engine at steady state.
type Estimate struct {
	Engine string
	Stored []Stored
	Parts  []Part  // of one copy; Disk is their sum
	Disk   float64 // of one copy, on average, bytes
	Most   float64 // just before buckets are dropped
	Live   float64 // of the rows whose end has not passed, at rest
	Copies int
	Growth float64 // a day, of one copy, if what is stored had no end
	Writes float64 // a second
}

// Steady foresees what an engine holds when as much ends as begins.
func (l Load) Steady(name string, s Setup) Estimate {
	e := engines[name]
	est := Estimate{Engine: name, Copies: 1}
	var records, most, ended, paxos float64
	for _, f := range l.Flows() {
		one := e.stored(f, l.Life)
		est.Stored = append(est.Stored, one)
		size := e.rows[f.Kind].of(f)
		records += one.Bytes
		most += f.Rate * (one.Stays + one.Bucket/2 + tickLag).Seconds() * size
		ended += f.Rate * s.GCGrace.Seconds() * e.over[f.Kind].of(f)
		paxos += f.Rate * (f.Shift + max(s.GCGrace, paxosLeast)).Seconds() * e.paxos[f.Kind].of(f)
		est.Live += f.Rate * f.Life.Seconds() * size
		est.Growth += f.Rate * size * e.spread * 86400
		est.Writes += f.Rate * f.Writes
	}
	est.part(partRows, records)
	est.part(partSpread, (records+ended)*(e.spread-1))
	if name == config.Cassandra {
		est.part(partGrace, ended)
		est.part(partPaxos, paxos)
		est.Copies = max(s.Replicas, 1)
	}
	est.part(partBucket, e.buckets(est.Stored)*e.bucket)
	est.part(partAlways, e.base)
	est.Most = est.Disk + (most-records)*e.spread
	return est
}

func (est *Estimate) part(name string, bytes float64) {
	if bytes > 0 {
		est.Parts = append(est.Parts, Part{name, bytes})
		est.Disk += bytes
	}
}

// stored is how many rows of a kind there are. A bucket is dropped whole, so on
// average a row waits for half of its width, after the delay of every bucket.
func (e engine) stored(f Flow, longest time.Duration) Stored {
	s := Stored{Flow: f, Bucket: e.width(f, longest)}
	s.Stays = f.Life + e.stays + s.Bucket/2
	s.Rows = f.Rate * s.Stays.Seconds()
	s.Bytes = s.Rows * e.rows[f.Kind].of(f)
	return s
}

// buckets is how many there are, those made ahead included.
func (e engine) buckets(all []Stored) float64 {
	n := 0.0
	for _, s := range all {
		if s.Bucket > 0 {
			n += float64(s.Stays/s.Bucket) + 1
		}
	}
	return n
}

// RowPerToken is what a day adds, in each copy, to a store that keeps a row for
// each token and ends none of them (incident 4).
func (l Load) RowPerToken() (rows, bytes float64) {
	rows = l.Tokens() * 86400
	return rows, rows * tokenRow
}

// Names of parts.
const (
	partRows   = "rows"
	partSpread = "versions and holes"
	partGrace  = "rows that are over, until gc_grace is"
	partPaxos  = "system.paxos"
	partBucket = "buckets"
	partAlways = "logs and what is always there"
)

// Always is what an engine takes whatever is stored, the buckets included.
func (est Estimate) Always() float64 { return est.of(partAlways) + est.of(partBucket) }

// Grace is what rows that are over take until gc_grace is.
func (est Estimate) Grace() float64 { return est.of(partGrace) }

// Paxos is what system.paxos takes, which belongs to no table of ours.
func (est Estimate) Paxos() float64 { return est.of(partPaxos) }

func (est Estimate) of(name string) float64 {
	for _, p := range est.Parts {
		if p.Name == name {
			return p.Bytes
		}
	}
	return 0
}
