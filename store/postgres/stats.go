package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Size is what one table holds.
type Size struct {
	Table      string
	Partitions int
	Rows       int64 // as the server's statistics say, up to a second late
	Bytes      int64 // on disk, with indexes and what is over but not dropped
}

const selectSizes = `
SELECT t.relname, count(*) FILTER (WHERE p.oid <> t.oid), coalesce(sum(pg_stat_get_live_tuples(p.oid)), 0)::bigint,
	coalesce(sum(pg_total_relation_size(p.oid)), 0)::bigint
FROM pg_class t, pg_partition_tree(t.oid) tree JOIN pg_class p ON p.oid = tree.relid
WHERE t.relnamespace = current_schema()::regnamespace AND t.relname IN ('sessions', 'documents', 'marks', 'revocations')
GROUP BY t.relname
UNION ALL
SELECT relname, 0, pg_stat_get_live_tuples(oid), pg_total_relation_size(oid)
FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relname IN ('registry', 'meta')
ORDER BY 1`

// Stats returns what each table holds, by name.
func (e *Engine) Stats(ctx context.Context) (all []Size, err error) {
	if err := e.door.Enter(ctx); err != nil {
		return nil, err
	}
	defer e.door.Leave()
	begin := func() { all = nil }
	err = e.query(ctx, parent(selectSizes), nil, begin, func(rows pgx.Rows) error {
		var s Size
		err := rows.Scan(&s.Table, &s.Partitions, &s.Rows, &s.Bytes)
		all = append(all, s)
		return err
	})
	return all, err
}
