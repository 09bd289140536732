package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/longcase/longcase/store/cassandra/survey"
)

const (
	advisedGrace = 3 * 24 * time.Hour // the incident's own document
	ownGrace     = 3 * time.Hour      // what we make, where hints live no longer
	usualHints   = 3 * time.Hour      // max_hint_window as Cassandra comes
	endedRow     = 85.0               // bytes of a row that ended, until gc_grace is over: measured on 5.0.5
)

// The strategies of compaction that let ended rows go.
const (
	unified   = "UnifiedCompactionStrategy"
	leveled   = "LeveledCompactionStrategy"
	windowed  = "TimeWindowCompactionStrategy"
	antipage  = "Apigee, antipattern 'Set no expiration time for OAuth tokens'"
	measured  = "measured on Cassandra 5.0.5 (docs/doctor-cassandra.md)"
	apigeeLCS = "Apigee, 'Change the Cassandra compaction strategy'; " + measured
)

func (j *judge) compaction(t *survey.Table) {
	fit := []string{unified, leveled, windowed}
	want := j.wants(t)
	why := "files merge only when several of like size have gathered, so rows that ended stay on disk in the large ones long after their time"
	if j.layout == Longcase {
		fit = []string{unified, leveled}
		if want == windowed {
			fit = []string{windowed}
		}
		why = "ended rows leave as whole files, or by merging often, only under the strategy the table was made with"
	}
	if slices.Contains(fit, t.Compaction) {
		return
	}
	source := measured
	if j.layout == Apigee {
		source = apigeeLCS
	}
	j.add(Finding{
		ID: Compaction, Severity: Error, Table: t.Name, turn: toRewrite, Source: source, Why: why,
		Says: fmt.Sprintf("is compacted by %s; rows that end want %s", t.Compaction, strings.Join(fit, ", ")),
		Repair: Repair{
			Commands: []string{fmt.Sprintf("ALTER TABLE %s WITH compaction = {%s};", j.name(t), options(want))},
			Beware:   "every node rewrites the table once, at compaction_throughput: run it at a quiet hour, with as much free disk as the table takes",
		},
	})
}

// wants is the strategy that a table should have.
func (j *judge) wants(t *survey.Table) string {
	switch {
	case j.layout == Longcase && appended(t.Name):
		return windowed
	case j.least.atLeast("5.0"):
		return unified
	}
	return leveled
}

// options writes the map of a strategy as Longcase makes it.
func options(class string) string {
	s := "'class': '" + class + "'"
	switch class {
	case unified:
		return s + ", 'scaling_parameters': 'L10'"
	case leveled:
		return s
	}
	return s + ", 'compaction_window_unit': 'HOURS', 'compaction_window_size': '1', 'unchecked_tombstone_compaction': 'true', 'tombstone_compaction_interval': '10800'"
}

// apigeeForbidden are the indexes that the incident's document names.
func apigeeForbidden(name string) bool {
	return name == "oauth_20_access_tokens_organization_name_idx" || name == "oauth_20_access_tokens_status_idx"
}

// fewValues are columns of which all rows share a handful of values.
func fewValues(column string) bool {
	switch strings.Trim(strings.ToLower(column), `"`) {
	case "organization_name", "organization", "org", "tenant", "status", "state", "type", "kind", "revoked", "active":
		return true
	}
	return false
}

func (j *judge) indexes(t *survey.Table) {
	var others []string
	for _, i := range t.Indexes {
		switch {
		case apigeeForbidden(i.Name) || fewValues(i.Target) || j.layout == Longcase:
			j.index(t, i)
		default:
			others = append(others, i.Name)
		}
	}
	for _, v := range t.Views {
		if j.layout == Longcase {
			j.index(t, survey.Index{Name: v, Target: "its rows", Kind: "view"})
		} else {
			others = append(others, v)
		}
	}
	if len(others) == 0 {
		return
	}
	j.add(Finding{
		ID: Indexes, Severity: Note, Table: t.Name, Source: measured,
		Says: fmt.Sprintf("has more secondary indexes or views: %s", strings.Join(others, ", ")),
		Why:  "each is one more write for every token, and one more table in which ended rows wait; whether a query needs it is not known here",
	})
}

func (j *judge) index(t *survey.Table, i survey.Index) {
	why := "all tokens share a few values of it, so the index has a few partitions that grow without a bound, and every write and every end of a token lands in them"
	beware := "the index is gone at once on all nodes, and with it queries by that column; making it again reads the whole table"
	source := antipage
	if j.layout == Longcase {
		why, source = "Longcase reads by key alone, and refuses to start with it: somebody added it, and each write pays for it", "docs/operating-stores.md"
	}
	what, drop := "secondary index", "INDEX"
	if i.Kind == "view" {
		what, drop = "materialized view", "MATERIALIZED VIEW"
	}
	j.add(Finding{
		ID: Indexes, Severity: Error, Table: t.Name, turn: toDrop, Why: why, Source: source,
		Says:   fmt.Sprintf("has the %s %s on %s", what, i.Name, i.Target),
		Repair: Repair{Commands: []string{fmt.Sprintf("DROP %s %s.%s;", drop, ident(j.k.Name), ident(i.Name))}, Beware: beware},
	})
}

func (j *judge) grace(t *survey.Table) {
	hints, known := j.k.HintWindow, "max_hint_window"
	if hints == 0 {
		hints, known = usualHints, "the usual hint window"
	}
	switch {
	case t.GCGrace < hints:
		j.add(Finding{
			ID: Grace, Severity: Warning, Table: t.Name, turn: toShorten, Source: measured,
			Says: fmt.Sprintf("gc_grace_seconds is %d, below %s of %s", seconds(t.GCGrace), known, short(hints)),
			Why:  "writes kept for a node that is down (hints) are dropped after gc_grace_seconds: that node misses them until a repair",
			Repair: Repair{
				Commands: []string{j.setGrace(t, hints)},
				Beware:   "lower only together with max_hint_window, and only for rows that are never deleted",
			},
		})
	case t.GCGrace > advisedGrace:
		j.add(j.longGrace(t, Warning, max(j.graceWanted(), hints)))
	case t.GCGrace > max(ownGrace, hints):
		f := j.longGrace(t, Note, max(ownGrace, hints))
		if j.layout != Longcase {
			f.Repair = Repair{First: "nothing, as long as rows of this table may be deleted: what a node misses must be repaired within gc_grace_seconds. " +
				"A table whose rows only ever end by their TTL can go as low as the hint window"}
		}
		j.add(f)
	}
}

// graceWanted is the value to set: the document's, or our own for our tables.
func (j *judge) graceWanted() time.Duration {
	if j.layout == Longcase {
		return ownGrace
	}
	return advisedGrace
}

func (j *judge) longGrace(t *survey.Table, s Severity, to time.Duration) Finding {
	says := fmt.Sprintf("gc_grace_seconds is %d (%s)", seconds(t.GCGrace), short(t.GCGrace))
	if s == Warning {
		says += ", more than 3d"
	}
	source := measured
	if j.layout == Apigee {
		source = antipage + "; " + measured
	}
	return Finding{
		ID: Grace, Severity: s, Table: t.Name, turn: toShorten, Source: source, Says: says + cost(t, to),
		Why: "a row that ended stays on disk as 85 bytes until gc_grace_seconds are over, in every replica: " +
			"10 rows a second that live 30 minutes take 737 MB at 10d, 223 MB at 3d and 11.8 MB at 3h",
		Repair: Repair{
			First:    fmt.Sprintf("make sure that a repair of %s completes within %s from now on, or deleted rows come back", j.name(t), short(to)),
			Commands: []string{j.setGrace(t, to)},
			Beware:   "nothing shrinks at once: what ended leaves when its files are compacted next (nodetool garbagecollect " + j.k.Name + " " + t.Name + " brings that forward)",
		},
	}
}

// cost is what gc_grace_seconds costs this table at the rate that was measured.
func cost(t *survey.Table, to time.Duration) string {
	if t.Sample == nil || t.Sample.EndingPerSec <= 0 {
		return ""
	}
	at := func(d time.Duration) string { return bytesText(t.Sample.EndingPerSec * d.Seconds() * endedRow) }
	return fmt.Sprintf("; at the %s rows a second seen here ended rows take about %s in each replica, and %s at %s",
		figure(t.Sample.EndingPerSec), at(t.GCGrace), at(to), short(to))
}

func (j *judge) setGrace(t *survey.Table, to time.Duration) string {
	return fmt.Sprintf("ALTER TABLE %s WITH gc_grace_seconds = %d;", j.name(t), seconds(to))
}
