package cassandra

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// found is a table as the cluster has it.
type found struct {
	columns    map[string]column
	compaction map[string]string
	gcGrace    int
	ttl        int
	readRepair string
	beside     []string // indexes, views and triggers
}

// tables reads those of ours that are there.
func (p probe) tables(ctx context.Context) (map[string]*found, error) {
	all := map[string]*found{}
	err := p.each(ctx, "read the schema",
		p.session.Query("SELECT table_name, compaction, gc_grace_seconds, default_time_to_live, read_repair FROM system_schema.tables WHERE keyspace_name = ?", p.cfg.Keyspace),
		func(scan func(...any) error) error {
			var name string
			f := &found{columns: map[string]column{}}
			if err := scan(&name, &f.compaction, &f.gcGrace, &f.ttl, &f.readRepair); err != nil {
				return err
			}
			all[name] = f
			return nil
		})
	if err != nil {
		return nil, err
	}
	if err := p.columns(ctx, all); err != nil {
		return nil, err
	}
	for kind, query := range map[string]string{
		"index":             "SELECT table_name, index_name FROM system_schema.indexes WHERE keyspace_name = ?",
		"trigger":           "SELECT table_name, trigger_name FROM system_schema.triggers WHERE keyspace_name = ?",
		"materialized view": "SELECT base_table_name, view_name FROM system_schema.views WHERE keyspace_name = ?",
	} {
		if err := p.beside(ctx, all, kind, query); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (p probe) columns(ctx context.Context, all map[string]*found) error {
	q := p.session.Query("SELECT table_name, column_name, kind, type FROM system_schema.columns WHERE keyspace_name = ?", p.cfg.Keyspace)
	return p.each(ctx, "read the schema", q, func(scan func(...any) error) error {
		var table string
		var c column
		if err := scan(&table, &c.name, &c.kind, &c.cql); err != nil {
			return err
		}
		if f := all[table]; f != nil {
			f.columns[c.name] = c
		}
		return nil
	})
}

func (p probe) beside(ctx context.Context, all map[string]*found, kind, query string) error {
	return p.each(ctx, "read the schema", p.session.Query(query, p.cfg.Keyspace), func(scan func(...any) error) error {
		var table, name string
		if err := scan(&table, &name); err != nil {
			return err
		}
		if f := all[table]; f != nil {
			f.beside = append(f.beside, kind+" "+name)
		}
		return nil
	})
}

// wrong names what of our tables is not as it should be.
func (p probe) wrong(all map[string]*found, c cluster) (wrong []string) {
	for _, t := range schema() {
		if f := all[t.name]; f != nil {
			wrong = append(wrong, t.differs(f, c)...)
		} else {
			wrong = append(wrong, "table "+t.name+" is missing")
		}
	}
	return wrong
}

// tellGrace logs what is only costly.
func (p probe) tellGrace(all map[string]*found, c cluster) {
	for _, t := range schema() {
		if f := all[t.name]; f != nil && f.gcGrace != gcGrace && f.gcGrace >= c.hintWindow {
			p.cfg.Log.Info("gc_grace_seconds is not what Longcase sets; rows that have ended cost disk for so long",
				slog.String("table", t.name), slog.Int("seconds", f.gcGrace), slog.Int("ours", gcGrace))
		}
	}
}

// differs says in what f is not t.
func (t table) differs(f *found, c cluster) (wrong []string) {
	say := func(format string, args ...any) {
		wrong = append(wrong, "table "+t.name+": "+fmt.Sprintf(format, args...))
	}
	class := f.compaction["class"]
	if short := class[strings.LastIndexByte(class, '.')+1:]; !slices.Contains(t.strategies(), short) {
		say("compaction is %s, want %s", short, strings.Join(t.strategies(), " or "))
	}
	if f.gcGrace < c.hintWindow {
		say("gc_grace_seconds is %d, shorter than the hint window of %d s: hints would be lost, want %d", f.gcGrace, c.hintWindow, max(gcGrace, c.hintWindow))
	}
	if f.ttl != 0 {
		say("default_time_to_live is %d, want 0: every row names its own end", f.ttl)
	}
	if !strings.EqualFold(f.readRepair, "BLOCKING") {
		say("read_repair is %s, want BLOCKING: a read could go back behind another", f.readRepair)
	}
	for _, one := range f.beside {
		say("%s is not ours: drop it", one)
	}
	return append(wrong, t.columnsDiffer(f)...)
}

func (t table) columnsDiffer(f *found) (wrong []string) {
	for _, c := range t.columns {
		switch there, ok := f.columns[c.name]; {
		case !ok:
			wrong = append(wrong, fmt.Sprintf("table %s: column %s is missing", t.name, c.name))
		case there != c:
			wrong = append(wrong, fmt.Sprintf("table %s: column %s is a %s %s, want a %s %s", t.name, c.name, there.kind, there.cql, c.kind, c.cql))
		}
	}
	for name := range f.columns {
		if !slices.ContainsFunc(t.columns, func(c column) bool { return c.name == name }) {
			wrong = append(wrong, fmt.Sprintf("table %s: column %s is not ours", t.name, name))
		}
	}
	slices.Sort(wrong)
	return wrong
}
