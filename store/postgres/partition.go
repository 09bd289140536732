package postgres

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/longcase/longcase/store"
)

// kind is one of the partitioned tables.
type kind int

const (
	kindSession kind = iota
	kindDocument
	kindMark
	kindRevocation
	kinds
)

var kindTables = [kinds]string{"sessions", "documents", "marks", "revocations"}

func (k kind) table() string { return kindTables[k] }

// storage is how the partitions of k are kept. Rows that are rewritten find room
// in their page, and the dead ones before them are taken out in passing, so
// vacuum finds nothing to do unless somebody's old snapshot stood in the way.
// Rows that are only added are left alone until they are dropped.
func (k kind) storage() string {
	if k == kindSession || k == kindDocument {
		return "fillfactor = 90, autovacuum_vacuum_insert_threshold = -1"
	}
	return "autovacuum_enabled = off"
}

// longest is how far ahead partitions of k are wanted: an hour at least, for what
// lives by other rules than a session.
func (k kind) longest(cfg Config) time.Duration {
	longest := max(cfg.Longest, time.Hour)
	if k == kindMark {
		return min(longest, store.MaxMark)
	}
	return longest
}

// grid is the spacing of all buckets: the width of the narrowest class, which
// divides the others.
const grid = int64(time.Duration(store.Short) / time.Second)

// widths are those a partition may have, in seconds. Each is a multiple of the
// one before, and partitions begin at multiples of their width, so that of two
// one holds the other or they are apart.
var widths = [...]int64{grid, 6 * 60, 30 * 60, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 24 * 3600, 7 * 24 * 3600, 28 * 24 * 3600}

// width is how wide a partition of records is that live for longest at most:
// the first width that is a 32nd of that and no less than a bucket of its class.
// So there are about 36 partitions of a kind or fewer (15 for 12 h, 33 for
// 30 d), and what is over but not dropped yet is at most a quarter of what lives,
// and a bucket of the class where that is more.
func width(longest time.Duration) int64 {
	least := max(int64(longest/time.Second)/32, int64(time.Duration(store.ClassOf(longest))/time.Second))
	for _, w := range widths {
		if w >= least {
			return w
		}
	}
	return widths[len(widths)-1]
}

// up rounds to the next multiple of w.
func up(s, w int64) int64 { return (s + w - 1) / w * w }

// partition holds the buckets first to last, both included.
type partition struct {
	first, last int64
	name        string // quoted
}

func (p partition) holds(bucket int64) bool { return p.first <= bucket && bucket <= p.last }

// partitionAt is the one of width w that would hold bucket.
func partitionAt(k kind, bucket, w int64) partition {
	last := up(bucket, w)
	name := fmt.Sprintf("%s_%s", k.table(), time.Unix(last, 0).UTC().Format("20060102_1504"))
	return partition{last - w + 1, last, pgx.Identifier{name}.Sanitize()}
}

// partitions are those of one kind, in order.
type partitions []partition

func (all partitions) find(bucket int64) (partition, bool) {
	i, _ := slices.BinarySearchFunc(all, bucket, func(p partition, b int64) int {
		if p.last < b {
			return -1
		}
		return 1
	})
	if i < len(all) && all[i].holds(bucket) {
		return all[i], true
	}
	return partition{}, false
}

// free is the widest partition for bucket, of width most at most, that touches
// none that is there. No partition may hold bucket.
func (all partitions) free(k kind, bucket, most int64) partition {
	best := partitionAt(k, bucket, grid)
	for _, w := range widths {
		p := partitionAt(k, bucket, w)
		if w > most || slices.ContainsFunc(all, func(o partition) bool { return o.first <= p.last && p.first <= o.last }) {
			break
		}
		best = p
	}
	return best
}

// missing are the partitions that are not there for the buckets behind now and
// up to until.
func (all partitions) missing(k kind, now, until, w int64) (add partitions) {
	for bucket := up(now+1, grid); bucket <= until; {
		p, ok := all.find(bucket)
		if !ok {
			p = all.free(k, bucket, w)
			add = append(add, p)
		}
		bucket = up(p.last+1, grid)
	}
	return add
}

// shape is what this node knows of the partitions that are there.
type shape struct {
	mu  sync.RWMutex
	all [kinds]partitions
}

func (s *shape) find(k kind, bucket int64) (partition, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.all[k].find(bucket)
}

func (s *shape) set(all [kinds]partitions) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = all
}

func (s *shape) get() [kinds]partitions {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.all
}

// selectShape reads the bounds from the catalog, the only place where they are
// kept.
const selectShape = `
SELECT t.relname, quote_ident(p.relname), b[1]::bigint, b[2]::bigint - 1
FROM pg_class t
JOIN pg_inherits i ON i.inhparent = t.oid AND NOT i.inhdetachpending
JOIN pg_class p ON p.oid = i.inhrelid,
	regexp_match(pg_get_expr(p.relpartbound, p.oid), 'FROM \(''(\d+)''\) TO \(''(\d+)''\)') b
WHERE t.relnamespace = current_schema()::regnamespace AND t.relname IN ('sessions', 'documents', 'marks', 'revocations')
ORDER BY b[1]::bigint`

// querier is a connection or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func readShape(ctx context.Context, q querier) (all [kinds]partitions, err error) {
	rows, err := q.Query(ctx, selectShape)
	if err != nil {
		return all, err
	}
	defer rows.Close()
	for rows.Next() {
		var table string
		var p partition
		if err := rows.Scan(&table, &p.name, &p.first, &p.last); err != nil {
			return all, err
		}
		k := slices.Index(kindTables[:], table)
		all[k] = append(all[k], p)
	}
	return all, rows.Err()
}

// loadShape learns what partitions there are and what was retired.
func (e *Engine) loadShape(ctx context.Context) error {
	var retired int64
	if _, err := e.queryRow(ctx, parent(`SELECT retired FROM meta`), nil, &retired); err != nil {
		return err
	}
	e.retired.Raise(retired)
	return e.try(ctx, false, e.readShape)
}
