package survey

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

// column is one column of a table.
type column struct {
	name, kind, cql string
	position        int
}

// schema reads the keyspace and its tables from system_schema, which every user
// may read.
func (r *reader) schema(ctx context.Context) error {
	for _, read := range []func(context.Context) error{r.keyspace, r.tables, r.columns, r.indexes, r.views} {
		if err := read(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) keyspace(ctx context.Context) error {
	replication, found := map[string]string{}, false
	_, err := r.each(ctx, "", "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = ?", []any{r.out.Name}, func(scan func(...any) error) error {
		found = true
		return scan(&replication)
	})
	var invalid *gocql.RequestErrInvalid
	switch {
	case errors.As(err, &invalid):
		return fmt.Errorf("%w: %w", ErrTooOld, err)
	case err != nil:
		return err
	case !found:
		return fmt.Errorf("%w: %q", ErrNoKeyspace, r.out.Name)
	}
	r.out.Strategy, r.out.Replicas = replicas(replication)
	return nil
}

// replicas reads the options of a keyspace's replication.
func replicas(options map[string]string) (strategy string, per map[string]int) {
	per = map[string]int{}
	for name, value := range options {
		switch name {
		case "class":
			strategy = bare(value)
			continue
		case "replication_factor":
			name = ""
		}
		value, _, _ = strings.Cut(value, "/") // transient replicas
		if n, err := strconv.Atoi(value); err == nil {
			per[name] = n
		}
	}
	return strategy, per
}

func (r *reader) tables(ctx context.Context) error {
	_, err := r.each(ctx, "", "SELECT table_name, id, compaction, gc_grace_seconds, default_time_to_live FROM system_schema.tables WHERE keyspace_name = ?",
		[]any{r.out.Name}, func(scan func(...any) error) error {
			t := Table{Disk: -1, Partitions: -1, MaxPartition: -1, TombstoneMax: -1, PaxosRows: -1, Indexes: []Index{}, Views: []string{}}
			var (
				id         gocql.UUID
				grace, ttl int
			)
			if err := scan(&t.Name, &id, &t.Options, &grace, &ttl); err != nil {
				return err
			}
			t.ID, t.GCGrace, t.DefaultTTL = id.String(), time.Duration(grace)*time.Second, time.Duration(ttl)*time.Second
			t.Compaction = bare(t.Options["class"])
			delete(t.Options, "class")
			r.out.Tables = append(r.out.Tables, t)
			return nil
		})
	return err
}

func (r *reader) columns(ctx context.Context) error {
	_, err := r.each(ctx, "", "SELECT table_name, column_name, kind, type, position FROM system_schema.columns WHERE keyspace_name = ?", []any{r.out.Name},
		func(scan func(...any) error) error {
			var (
				c    column
				name string
			)
			if err := scan(&name, &c.name, &c.kind, &c.cql, &c.position); err != nil {
				return err
			}
			if t := r.table(name); t != nil {
				t.column(c)
			}
			return nil
		})
	for i := range r.out.Tables {
		t := &r.out.Tables[i]
		slices.SortFunc(t.key, func(a, b column) int { return a.position - b.position })
		if len(t.columns) > mostColumns {
			t.columns, t.unfit = t.columns[:mostColumns], "it has more columns than are looked at"
		}
	}
	return err
}

// column sorts a column into what is asked for.
func (t *Table) column(c column) {
	t.all = append(t.all, c)
	switch {
	case c.kind == "partition_key":
		t.key = append(t.key, c)
	case c.kind == "clustering":
		t.clustered, t.unfit = true, "it has the clustering column "+c.name
	case c.kind == "static":
		t.unfit = "it has the static column " + c.name
	case c.cql == "counter":
		t.unfit = "it has the counter " + c.name
	case timed(c.cql):
		t.columns = append(t.columns, c)
	}
}

// timed reports whether TTL() and WRITETIME() give one figure for a type:
// collections have one for each element, counters none.
func timed(cql string) bool {
	for _, form := range []string{"frozen<", "tuple<", "vector<"} {
		if strings.HasPrefix(cql, form) {
			return true
		}
	}
	switch cql {
	case "ascii", "bigint", "blob", "boolean", "date", "decimal", "double", "duration", "float", "inet", "int", "smallint", "text",
		"time", "timestamp", "timeuuid", "tinyint", "uuid", "varchar", "varint":
		return true
	}
	return false
}

func (r *reader) indexes(ctx context.Context) error {
	_, err := r.each(ctx, "", "SELECT table_name, index_name, kind, options FROM system_schema.indexes WHERE keyspace_name = ?", []any{r.out.Name},
		func(scan func(...any) error) error {
			var (
				i       Index
				name    string
				options map[string]string
			)
			if err := scan(&name, &i.Name, &i.Kind, &options); err != nil {
				return err
			}
			i.Target = options["target"]
			if class := options["class_name"]; class != "" {
				i.Kind = bare(class)
			}
			if t := r.table(name); t != nil {
				t.Indexes = append(t.Indexes, i)
			}
			return nil
		})
	return err
}

func (r *reader) views(ctx context.Context) error {
	_, err := r.each(ctx, "", "SELECT view_name, base_table_name FROM system_schema.views WHERE keyspace_name = ?", []any{r.out.Name},
		func(scan func(...any) error) error {
			var view, base string
			if err := scan(&view, &base); err != nil {
				return err
			}
			if t := r.table(base); t != nil {
				t.Views = append(t.Views, view)
			}
			return nil
		})
	return err
}

// names lists the tables.
func (r *reader) names() []string {
	set := map[string]bool{}
	for _, t := range r.out.Tables {
		set[t.Name] = true
	}
	return slices.Sorted(maps.Keys(set))
}
