package survey

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

// ErrNoBackfill says that a table has rows that cannot be written again so.
var ErrNoBackfill = errors.New("such rows cannot be written again as they are")

// Fill asks for statements that give rows without an end one.
type Fill struct {
	Table string
	Life  time.Duration // of such a row, from the statement on
	Most  int           // statements
	From  int64         // token behind which to begin; math.MinInt64: at the beginning
	Out   func(statement string) error
}

// Filled is how far that came.
type Filled struct {
	Statements int
	Looked     int   // rows
	Next       int64 // token to go on from
	Done       bool  // the table is at its end
}

// Backfill reads a table in the order of its tokens and writes an INSERT for
// each row with a cell that has no TTL. The statement holds the row's values,
// whatever they are, and the time of its newest cell plus one microsecond: a
// write that came after the row was read, a revocation too, still wins.
// A row that has an end in some of its cells gets that, not the life.
func Backfill(ctx context.Context, cfg Config, fill Fill) (Filled, error) {
	cfg = cfg.filled()
	session, err := dial(ctx, cfg.Cluster)
	if err != nil {
		return Filled{}, err
	}
	defer session.Close()
	r := &reader{Config: cfg, session: session, out: &Keyspace{Name: cfg.Cluster.Keyspace}}
	if err := r.schema(ctx); err != nil {
		return Filled{}, r.said(ctx, err)
	}
	f := &filler{Fill: fill, r: r, t: r.table(fill.Table), done: Filled{Next: fill.From}}
	if f.t == nil {
		return Filled{}, fmt.Errorf("%w: %s has no table %q", ErrNoKeyspace, r.out.Name, fill.Table)
	}
	if f.t.unfit != "" {
		return Filled{}, fmt.Errorf("%s.%s: %w: %s", r.out.Name, fill.Table, ErrNoBackfill, f.t.unfit)
	}
	err = f.run(ctx)
	return f.done, err
}

// filler is one backfill under way.
type filler struct {
	Fill
	r    *reader
	t    *Table
	done Filled
	more bool // rows that were read and left for another time
}

func (f *filler) run(ctx context.Context) error {
	for f.done.Statements < f.Most {
		n := 0
		before := f.done.Next
		_, err := f.r.each(ctx, "", f.statement(), []any{before, pageRows}, func(scan func(...any) error) error {
			n++
			return f.one(scan)
		})
		switch {
		case err != nil:
			return f.r.said(ctx, err)
		case n < pageRows:
			f.done.Done = !f.more
			return nil
		}
	}
	return nil
}

func (f *filler) statement() string {
	var ask []string
	for _, c := range f.t.all {
		ask = append(ask, "toJson("+quoted(c.name)+")")
	}
	for _, c := range f.t.columns {
		ask = append(ask, "TTL("+quoted(c.name)+")", "WRITETIME("+quoted(c.name)+")")
	}
	token := f.t.token()
	return "SELECT " + token + ", " + strings.Join(ask, ", ") + " FROM " + quoted(f.r.out.Name) + "." + quoted(f.t.Name) + " WHERE " + token + " > ? LIMIT ?"
}

// one writes the statement of a row, if it has no end.
func (f *filler) one(scan func(...any) error) error {
	values, cells := make([]string, len(f.t.all)), newCells(len(f.t.columns))
	into := make([]any, 0, 1+len(values))
	var at int64
	into = append(into, &at)
	for i := range values {
		into = append(into, &values[i])
	}
	if err := scan(append(into, cells.into()...)...); err != nil {
		return err
	}
	if f.done.Statements >= f.Most {
		f.more = true
		return nil
	}
	f.done.Next = at
	f.done.Looked++
	w := cells.row(at)
	if w.endless == 0 {
		return nil
	}
	f.done.Statements++
	return f.Out(f.insert(values, w))
}

// insert writes a row again as it is, with an end.
func (f *filler) insert(values []string, w row) string {
	life := int64(f.Life / time.Second)
	if w.left > 0 {
		life = int64(w.left)
	}
	var names, literals []string
	for i, c := range f.t.all {
		if json.Valid([]byte(values[i])) && values[i] != "null" {
			names = append(names, quoted(c.name))
			literals = append(literals, "fromJson('"+strings.ReplaceAll(values[i], "'", "''")+"')")
		}
	}
	return fmt.Sprintf("INSERT INTO %s.%s (%s) VALUES (%s) USING TIMESTAMP %d AND TTL %d;", quoted(f.r.out.Name), quoted(f.t.Name),
		strings.Join(names, ", "), strings.Join(literals, ", "), min(w.written, math.MaxInt64-1)+1, max(life, 1))
}
