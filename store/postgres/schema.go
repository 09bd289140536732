package postgres

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/longcase/longcase/store"
)

//go:embed migrations/*.sql
var migrations embed.FS

// steps are the migrations in the order of their numbers; the version of a
// schema is how many it has seen.
func steps() ([]string, error) {
	names, err := fs.Glob(migrations, "migrations/*.sql") // sorted
	if err != nil {
		return nil, err
	}
	all := make([]string, len(names))
	for i, name := range names {
		text, err := fs.ReadFile(migrations, name)
		if err != nil {
			return nil, err
		}
		all[i] = string(text)
	}
	return all, nil
}

// migrate brings the schema to this version, a migration in a transaction, while
// no other node does.
func (e *Engine) migrate(ctx context.Context) error {
	all, err := steps()
	if err != nil {
		return err
	}
	version, err := e.version(ctx)
	if err != nil {
		return fmt.Errorf("read the version of the schema %s: %w", e.schema, err)
	}
	if version == 0 && e.cfg.Existing {
		return fmt.Errorf("nothing of ours is in the schema %s: check the name of the database: %w", e.schema, store.ErrNoStore)
	}
	for version < len(all) {
		err := e.reshape(ctx, func(ctx context.Context, tx pgx.Tx) error {
			var err error
			if version, err = versionOf(ctx, tx); err != nil || version >= len(all) { // another node was first
				return err
			}
			return e.step(ctx, tx, all[version], version+1)
		})
		if err != nil {
			return fmt.Errorf("bring the schema %s to version %d: %w", e.schema, version+1, err)
		}
		version++
	}
	if version, err = e.version(ctx); err != nil {
		return fmt.Errorf("read the version of the schema %s: %w", e.schema, err)
	}
	if version > len(all) {
		return fmt.Errorf("the schema %s is of version %d, this program reads version %d: run the newer program, or restore a backup: %w",
			e.schema, version, len(all), store.ErrSchema)
	}
	return nil
}

// version is 0 where there is nothing yet.
func (e *Engine) version(ctx context.Context) (version int, err error) {
	found, err := e.queryRow(ctx, parent(hasMeta), nil)
	if err != nil || !found {
		return 0, err
	}
	if found, err = e.queryRow(ctx, parent(`SELECT version FROM meta`), nil, &version); err == nil && !found {
		err = sorted(ctx, pgx.ErrNoRows, false)
	}
	return version, err
}

const hasMeta = `SELECT FROM pg_class WHERE relname = 'meta' AND relnamespace = to_regnamespace(current_setting('search_path'))`

func versionOf(ctx context.Context, tx pgx.Tx) (version int, err error) {
	rows, err := tx.Query(ctx, hasMeta)
	if err != nil {
		return 0, err
	}
	there := rows.Next()
	rows.Close()
	if err := rows.Err(); err != nil || !there {
		return 0, err
	}
	return version, tx.QueryRow(ctx, `SELECT version FROM meta`).Scan(&version)
}

// step runs one migration.
func (e *Engine) step(ctx context.Context, tx pgx.Tx, sql string, version int) error {
	var there bool
	if err := tx.QueryRow(ctx, `SELECT to_regnamespace($1) IS NOT NULL`, e.schema).Scan(&there); err != nil {
		return err
	}
	if !there { // asked for only then: whoever may not make it may still use it
		sql = `CREATE SCHEMA ` + pgx.Identifier{e.schema}.Sanitize() + ";\n" + sql
	}
	if _, err := tx.Exec(ctx, sql); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `UPDATE meta SET version = $1`, version)
	return err
}

// schemaLines are what the migrations make, one fact a line.
const schemaLines = `
documents: bucket bigint not null
documents: data bytea not null
documents: ends bigint not null
documents: id uuid not null
documents: kind bytea not null
documents: partitioned by RANGE (bucket)
documents: primary key btree (bucket, id, kind)
documents: version bigint not null
marks: bucket bigint not null
marks: id uuid not null
marks: partitioned by RANGE (bucket)
marks: primary key btree (bucket, id)
meta: one boolean not null default true
meta: primary key btree (one)
meta: read_only text
meta: retired bigint not null default 0
meta: store uuid not null default gen_random_uuid()
meta: version integer not null
registry: key bytea not null
registry: primary key btree (key)
registry: value bytea
registry: version bigint not null
revocations: before bigint
revocations: bucket bigint not null
revocations: ends bigint not null
revocations: id uuid not null
revocations: index btree (xid)
revocations: kind bytea not null
revocations: partitioned by RANGE (bucket)
revocations: primary key btree (bucket, id)
revocations: value bytea not null
revocations: xid xid8 not null default pg_current_xact_id()
sessions: bucket bigint not null
sessions: client bytea not null
sessions: data bytea not null
sessions: ended boolean not null
sessions: ends bigint not null
sessions: generation bigint not null
sessions: id uuid not null
sessions: partitioned by RANGE (bucket)
sessions: primary key btree (bucket, id)
sessions: subject bytea not null`

// describe tells what there is, in the words of schemaLines. Triggers are not
// looked at but for foreign ones, which may do anything to a row.
const describe = `
WITH tables AS (
	SELECT oid, relname, relpersistence FROM pg_class WHERE relnamespace = current_schema()::regnamespace
	AND relname IN ('documents', 'marks', 'meta', 'registry', 'revocations', 'sessions'))
SELECT t.relname || ': ' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
	|| CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
	|| coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '')
	FROM tables t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
	LEFT JOIN pg_attrdef d ON d.adrelid = t.oid AND d.adnum = a.attnum
UNION ALL
SELECT t.relname || CASE WHEN i.indisprimary THEN ': primary key ' WHEN i.indisunique THEN ': unique ' ELSE ': index ' END
	|| substring(pg_get_indexdef(i.indexrelid) FROM 'USING (.*)$')
	FROM tables t JOIN pg_index i ON i.indrelid = t.oid
UNION ALL
SELECT t.relname || ': partitioned by ' || pg_get_partkeydef(t.oid)
	FROM tables t JOIN pg_partitioned_table p ON p.partrelid = t.oid
UNION ALL
SELECT t.relname || ': default partition ' || p.partdefid::regclass
	FROM tables t JOIN pg_partitioned_table p ON p.partrelid = t.oid AND p.partdefid <> 0
UNION ALL
SELECT relname || ': unlogged, a crash empties it' FROM tables WHERE relpersistence <> 'p'
UNION ALL
SELECT t.relname || ': unlogged, a crash empties it: partition ' || p.relname
	FROM tables t JOIN pg_inherits i ON i.inhparent = t.oid JOIN pg_class p ON p.oid = i.inhrelid AND p.relpersistence <> 'p'
UNION ALL
SELECT t.relname || ': trigger ' || g.tgname
	FROM tables t JOIN pg_trigger g ON g.tgrelid = t.oid AND NOT g.tgisinternal AND g.tgname <> '` + refuseTrigger + `'`

// maxDrift bounds how many differences are told.
const maxDrift = 5

// checkSchema compares what there is with what the migrations made.
func (e *Engine) checkSchema(ctx context.Context) error {
	var there []string
	begin := func() { there = nil }
	err := e.query(ctx, parent(describe), nil, begin, func(rows pgx.Rows) error {
		var line string
		err := rows.Scan(&line)
		there = append(there, line)
		return err
	})
	if err != nil {
		return fmt.Errorf("read the schema %s: %w", e.schema, err)
	}
	if drift := drifted(strings.Split(strings.TrimSpace(schemaLines), "\n"), there); len(drift) > 0 {
		return fmt.Errorf("the schema %s was changed by hand; put it right or restore it: %s: %w", e.schema, strings.Join(drift, "; "), store.ErrSchema)
	}
	return nil
}

// drifted names the differences, a table that is not there at all by its name
// only.
func drifted(want, there []string) (drift []string) {
	has := func(table string) bool {
		return slices.ContainsFunc(there, func(line string) bool { return strings.HasPrefix(line, table+":") })
	}
	for _, line := range want {
		table, _, _ := strings.Cut(line, ":")
		switch missing := "no table " + table; {
		case !has(table) && !slices.Contains(drift, missing):
			drift = append(drift, missing)
		case has(table) && !slices.Contains(there, line):
			drift = append(drift, "missing is "+line)
		}
	}
	for _, line := range there {
		if !slices.Contains(want, line) {
			drift = append(drift, "unexpected is "+line)
		}
	}
	if more := len(drift) - maxDrift; more > 0 {
		drift = append(drift[:maxDrift], fmt.Sprintf("and %d more", more))
	}
	return drift
}
