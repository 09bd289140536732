package survey

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

const (
	mostColumns = 24   // of a table, whose TTL is asked for
	places      = 20   // random places of the ring in which a large table is read
	narrow      = 1e-6 // of the ring: what is read first in a place
	widen       = 8.0  // by which a window grows that held too little
	broad       = 0.02 // of the ring: a window so wide means a small table, which is read from its beginning
	pageRows    = 200  // of one exchange
	young       = time.Hour
	day         = 24 * time.Hour
)

// Sample is what some rows of a table say of all. Rows lie on the ring by the
// hash of their keys, so that what is next to a random place is random too.
type Sample struct {
	Rows    int  `json:"rows"`    // looked at
	Endless int  `json:"endless"` // of them, with a cell that has no TTL
	Mixed   int  `json:"mixed"`   // of Endless, with a cell that has one
	Bare    int  `json:"bare"`    // besides Rows: without a cell whose TTL can be asked for
	All     bool `json:"all"`     // it is the whole table

	Total         float64       `json:"total_rows"`       // of the table, estimated
	EndingPerSec  float64       `json:"ending_per_s"`     // rows with a TTL written each second, by their number and lives
	EndlessPerDay float64       `json:"endless_per_day"`  // rows without an end written in the last day; -1: too young to tell
	Longest       time.Duration `json:"-"`                // longest life of a row that ends
	Oldest        time.Time     `json:"oldest,omitzero"`  // write of a row without an end
	Tombstones    int           `json:"tombstone_warned"` // exchanges in which the cluster warned of tombstones
	Stopped       string        `json:"stopped,omitempty"`
}

// sampler reads one table.
type sampler struct {
	r       *reader
	t       *Table
	s       *Sample
	now     time.Time // by the cluster's clock
	covered float64   // of the ring, in tokens
	lives   float64   // sum of 1/life of rows that end
	recent  []int64   // write times of rows without an end
}

// sample samples the tables that are asked for, and system.paxos.
func (r *reader) sample(ctx context.Context) {
	partitioner, err := r.partitioner(ctx)
	if err == nil && partitioner != "Murmur3Partitioner" {
		err = errors.New("its partitioner is " + partitioner + ", only Murmur3Partitioner is sampled")
	}
	if err != nil {
		r.gap("rows without a TTL", err, r.allow("system.local"))
		return
	}
	for _, name := range r.Sample(r.names()) {
		t := r.table(name)
		if t == nil {
			continue
		}
		m := &sampler{r: r, t: t, s: &Sample{EndlessPerDay: -1}, now: r.clusterNow()}
		if len(t.columns) == 0 {
			r.gap("rows without a TTL in "+name, errors.New("it has no column whose TTL can be asked for"), "")
			continue
		}
		if err := m.read(ctx); err != nil {
			r.gap("rows without a TTL in "+name, err, r.allow(quoted(r.out.Name)+"."+quoted(name)))
			continue
		}
		m.finish()
		t.Sample = m.s
	}
	r.paxos(ctx)
}

func (r *reader) partitioner(ctx context.Context) (name string, err error) {
	_, err = r.each(ctx, "", "SELECT partitioner FROM system.local WHERE key = 'local'", nil, func(scan func(...any) error) error { return scan(&name) })
	return bare(name), err
}

// clusterNow is the time of the nodes, by which cells are written and end.
func (r *reader) clusterNow() time.Time {
	for _, n := range r.out.Nodes {
		if n.Reached {
			return r.Now().Add(n.Ahead)
		}
	}
	return r.Now()
}

// read looks at random places of the ring, or at all of a table that is small.
// It is an error only if nothing could be read.
func (m *sampler) read(ctx context.Context) error {
	share := max(m.r.Rows/places, 1)
	width := narrow
	for range places {
		begin := int64(rand.Uint64()) //nolint:gosec // a place to look at, no secret
		ok, err := m.place(ctx, begin, &width, share)
		switch {
		case err != nil:
			return m.stop(err)
		case !ok:
			return m.small(ctx)
		}
	}
	return nil
}

// place reads so many rows behind a place. Windows that hold too little are
// widened; false: the table is too small for that.
func (m *sampler) place(ctx context.Context, begin int64, width *float64, most int) (bool, error) {
	got := 0
	for from := begin; from < math.MaxInt64; {
		to := past(from, *width)
		rows, err := m.window(ctx, from, to, most-got)
		if err != nil {
			return true, err
		}
		got += len(rows)
		if got >= most {
			m.take(rows, span(from, rows[len(rows)-1].token))
			return true, nil
		}
		m.take(rows, span(from, to))
		if *width > broad {
			return false, nil
		}
		if got < most/2 {
			*width *= widen
		}
		from = to
	}
	return true, nil
}

// small begins again at the beginning of the ring, with all rows it may take.
func (m *sampler) small(ctx context.Context) error {
	*m.s = Sample{EndlessPerDay: -1, Tombstones: m.s.Tombstones}
	m.covered, m.lives, m.recent = 0, 0, nil
	from, got := int64(math.MinInt64), 0
	for {
		rows, err := m.window(ctx, from, math.MaxInt64, min(pageRows, m.r.Rows-got))
		if err != nil {
			return m.stop(err)
		}
		got += len(rows)
		if len(rows) < pageRows && got < m.r.Rows {
			m.take(rows, span(from, math.MaxInt64))
			m.s.All = !m.t.clustered || from == math.MinInt64
			return nil
		}
		last := rows[len(rows)-1].token
		m.take(rows, span(from, last))
		if got >= m.r.Rows {
			return nil
		}
		from = last // what a partition of many rows has beyond is left out
	}
}

// stop ends a sample early; what was read counts.
func (m *sampler) stop(err error) error {
	var failure *gocql.RequestErrReadFailure
	switch {
	case errors.As(err, &failure) && tombstones(failure):
		m.s.Stopped = "the cluster gave up a read: too many tombstones"
	case m.s.Rows > 0:
		m.s.Stopped = plain(err)
	default:
		return err
	}
	return nil
}

// tombstones reports whether a replica failed for their number (reason 1 of the
// native protocol).
func tombstones(f *gocql.RequestErrReadFailure) bool {
	for _, reason := range f.ErrorMap {
		if reason == 1 {
			return true
		}
	}
	return false
}

// window reads rows with a token in (from, to].
func (m *sampler) window(ctx context.Context, from, to int64, most int) ([]row, error) {
	var rows []row
	warnings, err := m.r.each(ctx, "", m.statement(), []any{from, to, most}, func(scan func(...any) error) error {
		w, err := m.scan(scan)
		rows = append(rows, w)
		return err
	})
	if slices.ContainsFunc(warnings, func(w string) bool { return strings.Contains(w, "tombstone") }) {
		m.s.Tombstones++
	}
	return rows, err
}

func (m *sampler) statement() string {
	token := m.t.token()
	ask := []string{token}
	for _, c := range m.t.columns {
		ask = append(ask, "TTL("+quoted(c.name)+")", "WRITETIME("+quoted(c.name)+")")
	}
	return "SELECT " + strings.Join(ask, ", ") + " FROM " + quoted(m.r.out.Name) + "." + quoted(m.t.Name) +
		" WHERE " + token + " > ? AND " + token + " <= ? LIMIT ?"
}

func (m *sampler) scan(scan func(...any) error) (row, error) {
	cells, at := newCells(len(m.t.columns)), int64(0)
	err := scan(append([]any{&at}, cells.into()...)...)
	return cells.row(at), err
}

// take counts rows that were found in so much of the ring.
func (m *sampler) take(rows []row, covered float64) {
	m.covered += covered
	for _, w := range rows {
		if w.cells == 0 {
			m.s.Bare++
			continue
		}
		m.s.Rows++
		if w.endless > 0 {
			m.s.Endless++
			m.recent = append(m.recent, w.written)
			if w.endless < w.cells {
				m.s.Mixed++
			}
			continue
		}
		life := time.Duration(w.left)*time.Second + max(m.now.Sub(time.UnixMicro(w.written)), 0)
		m.s.Longest = max(m.s.Longest, life)
		m.lives += 1 / max(life.Seconds(), 1)
	}
}

// finish turns what was counted into estimates of the whole table.
func (m *sampler) finish() {
	seen := float64(m.s.Rows + m.s.Bare)
	if seen == 0 || m.covered == 0 {
		return
	}
	m.s.Total = seen * math.Exp2(64) / m.covered
	if m.s.All {
		m.s.Total = seen
	}
	scale := m.s.Total / seen
	m.s.EndingPerSec = m.lives * scale // of L rows that live T, L/T are written each second
	if len(m.recent) == 0 {
		m.s.EndlessPerDay = 0
		return
	}
	m.s.Oldest = time.UnixMicro(slices.Min(m.recent)).UTC()
	age := m.now.Sub(m.s.Oldest)
	if age < young {
		return
	}
	window, n := min(age, day), 0
	for _, at := range m.recent {
		if m.now.Sub(time.UnixMicro(at)) <= window {
			n++
		}
	}
	m.s.EndlessPerDay = float64(n) * scale * float64(day) / float64(window)
}

// past is the token a share of the ring further on, or the last one.
func past(from int64, share float64) int64 {
	if share >= 1 {
		return math.MaxInt64
	}
	step := uint64(share * math.Exp2(64))
	if step > uint64(math.MaxInt64)-uint64(from) { // the distance to the last token, also of a negative one
		return math.MaxInt64
	}
	return from + int64(step) //nolint:gosec // it fits, see above
}

// span is how many tokens (from, to] holds.
func span(from, to int64) float64 { return float64(to) - float64(from) }
