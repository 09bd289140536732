package doctor

import (
	"fmt"
	"math"
	"time"

	"github.com/longcase/longcase/store/cassandra/survey"
)

const (
	endlessRow   = 142.6               // bytes of a row of incident 4 in one replica: measured on 5.0.5
	safetyTTL    = 30 * 24 * time.Hour // what a write without a TTL gets, where we are asked
	manyDead     = 1000                // tombstones a read, from where on Cassandra itself warns
	bigPartition = 100 << 20
	worthSaying  = 8 << 20 // bytes, below which sizes to 1 MiB say nothing of a row
	month        = 30 * 24 * time.Hour
)

// endless names rows that never leave.
func (j *judge) endless(t *survey.Table) {
	s := t.Sample
	if s == nil || s.Endless == 0 {
		return
	}
	share := float64(s.Endless) / float64(s.Rows)
	low, high := Interval(s.Endless, s.Rows)
	says := fmt.Sprintf("%s of its rows have no end: %s of %s rows looked at", percent(share), grouped(int64(s.Endless)), grouped(int64(s.Rows)))
	if s.All {
		says += ", all there are"
	} else {
		says += fmt.Sprintf(" (%s to %s of all, with 95 %% confidence)", percent(low), percent(high))
	}
	if s.Mixed > 0 {
		says += fmt.Sprintf("; in %s of them other columns do end: a later write brought no TTL", grouped(int64(s.Mixed)))
	}
	j.add(Finding{
		ID: Endless, Severity: Error, Table: t.Name, turn: toStop, Says: says, Why: j.growth(t), Repair: j.giveEnds(t), Source: antipage + "; " + measured,
	})
}

// growth is what rows without an end come to.
func (j *judge) growth(t *survey.Table) string {
	s := t.Sample
	why := "such a row stays for ever, and a refresh token in it can be used for ever"
	switch {
	case s.EndlessPerDay < 0:
		return why + "; the oldest is under an hour old, too young to tell how fast they grow (for scale: 10 a second are 864,000 a day, 123 MB in each replica)"
	case s.EndlessPerDay == 0:
		return why + fmt.Sprintf("; none was written within the last day, the oldest on %s: they do not grow any more", s.Oldest.Format(time.DateOnly))
	}
	row, from := j.rowBytes(t)
	day := s.EndlessPerDay * row
	why += fmt.Sprintf("; about %s more are written each day, %s in each replica (%s bytes a row, %s), %s in a year",
		figure(s.EndlessPerDay), bytesText(day), figure(row), from, bytesText(365*day))
	return why + j.full(t, day)
}

// full says when the disk of a node is, at so many bytes a day.
func (j *judge) full(t *survey.Table, day float64) string {
	mine := day * float64(j.copies()) / float64(max(len(j.k.Nodes), 1))
	disk, what := j.ask.Disk, "a node's disk"
	if disk == 0 {
		disk, what = 100e9, "100 GB of a node's disk"
	}
	used := float64(max(t.Disk, 0)) / float64(max(len(j.k.Nodes), 1))
	if j.ask.Disk == 0 {
		used = 0
	}
	days := max(disk-used, 0) / mine
	if days > 100*365 {
		return fmt.Sprintf("; at that rate %s lasts for more than a century", what)
	}
	return fmt.Sprintf("; at that rate this table alone fills %s in %s days", what, figure(days))
}

// copies is how many replicas a row has.
func (j *judge) copies() int {
	n := 0
	for _, r := range j.k.Replicas {
		n += r
	}
	return max(n, 1)
}

// rowBytes is what a row takes in one replica, and where that is known from.
func (j *judge) rowBytes(t *survey.Table) (float64, string) {
	rows := t.Sample.Total
	if t.Partitions > 0 && float64(t.Partitions) > rows {
		rows = float64(t.Partitions) // ended ones take space too
	}
	if t.Disk < worthSaying || rows < 1 {
		return endlessRow, "as measured for incident 4"
	}
	return float64(t.Disk) / float64(j.copies()) / rows, "as on disk here"
}

// giveEnds repairs rows without an end: the writer first, then the table, then
// what is there.
func (j *judge) giveEnds(t *survey.Table) Repair {
	r := Repair{First: "find who writes without a TTL, and have it set one"}
	if j.layout == Apigee {
		r.First = "set RefreshTokenExpiresIn (and ExpiresIn) in every OAuthV2 policy that issues tokens, and deploy it: only new tokens get an end by that"
	}
	if j.layout == Longcase {
		return Repair{First: "Longcase writes no such row: find out who else writes to this keyspace"}
	}
	if t.DefaultTTL == 0 {
		r.Commands = []string{fmt.Sprintf("ALTER TABLE %s WITH default_time_to_live = %d;", j.name(t), seconds(safetyTTL))}
		r.Beware = fmt.Sprintf("a write that brings no TTL of its own gets %s from then on: choose no less than the longest life a token may have. ", short(safetyTTL))
	}
	r.Beware += fmt.Sprintf("Rows that are there keep no end: give them one with longcase doctor --backfill %s --life %s, some thousand rows at a time", t.Name, short(safetyTTL))
	return r
}

// Interval is where the share of all lies, with 95 % confidence, when k of n
// that were drawn at random have it (Wilson).
func Interval(k, n int) (low, high float64) {
	if n == 0 {
		return 0, 1
	}
	const z = 1.96
	m, p := float64(n), float64(k)/float64(n)
	middle := (p + z*z/(2*m)) / (1 + z*z/m)
	half := z / (1 + z*z/m) * math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	low, high = middle-half, middle+half
	if k == 0 {
		low = 0
	}
	if k == n {
		high = 1
	}
	return low, high
}

func (j *judge) tombstones(t *survey.Table) {
	var says string
	switch {
	case t.Sample != nil && t.Sample.Stopped != "" && t.Sample.Tombstones == 0 && t.Sample.Rows == 0:
		says = "cannot be read in ranges: " + t.Sample.Stopped
	case t.TombstoneMax >= manyDead:
		says = fmt.Sprintf("a read meets up to %s tombstones (99th percentile of the worst node)", figure(t.TombstoneMax))
	case t.Sample != nil && t.Sample.Tombstones > 0:
		says = fmt.Sprintf("the cluster warned of tombstones in %d of our reads of some hundred rows", t.Sample.Tombstones)
	default:
		return
	}
	severity := Warning
	if j.layout == Longcase {
		severity = Note // read by key alone; ranges are read by us just now
	}
	j.add(Finding{
		ID: Tombstones, Severity: severity, Table: t.Name, Says: says + ended(t), Source: measured,
		Why: "rows that ended lie between those that live until gc_grace_seconds are over and their files are compacted; each read of a range or an index walks over them",
		Repair: Repair{First: "repair what CAS001 and CAS003 name for this table; then, on one node after another: nodetool garbagecollect " + j.k.Name + " " + t.Name,
			Beware: "garbagecollect rewrites each file of the table: at a quiet hour"},
	})
}

// ended is the share of partitions on disk that nobody can read any more.
func ended(t *survey.Table) string {
	if t.Sample == nil || t.Partitions < 10_000 || t.Sample.Total >= float64(t.Partitions) {
		return ""
	}
	return fmt.Sprintf("; of about %s partitions on disk %s have ended", figure(float64(t.Partitions)), percent(1-t.Sample.Total/float64(t.Partitions)))
}

func (j *judge) partitions(t *survey.Table) {
	if t.MaxPartition < bigPartition {
		return
	}
	j.add(Finding{
		ID: Partitions, Severity: Warning, Table: t.Name, Source: "Cassandra's own warning (compaction_large_partition_warning_threshold)",
		Says:   fmt.Sprintf("its largest partition has %s", bytesText(float64(t.MaxPartition))),
		Why:    "one partition lives on one set of replicas and is compacted and read as one: it makes them slow, and its ended rows leave late",
		Repair: Repair{First: "its key must be changed where the rows are written: a day or an hour as a part of it bounds it"},
	})
}

// ttl is for tables of ours: each row names its own end, or none.
func (j *judge) ttl(t *survey.Table) {
	if t.DefaultTTL == 0 {
		return
	}
	why, beware := "each row names its own end; Longcase refuses to start on such a table", ""
	if lasts(t.Name) {
		why = "clients, signing keys and the state of the store last; a key that vanishes ends every session and every token signed with it"
		beware = "rows written meanwhile keep their end: longcase keys rotate and client add write new ones"
	}
	j.add(Finding{
		ID: DefaultTTL, Severity: Error, Table: t.Name, turn: toStop, Source: "docs/operating-stores.md", Why: why,
		Says:   fmt.Sprintf("default_time_to_live is %d, want 0", seconds(t.DefaultTTL)),
		Repair: Repair{Commands: []string{fmt.Sprintf("ALTER TABLE %s WITH default_time_to_live = 0;", j.name(t))}, Beware: beware},
	})
}
