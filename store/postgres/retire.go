package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// dropPatience is how long a drop waits for a lock: lists and the feed wait behind
// it. Rotations never do.
const dropPatience = 200 * time.Millisecond

// Retire implements store.Engine. It lifts the watermark for every node and
// returns how many buckets that held something went below it. It drops the
// partitions all of whose buckets are below, and makes partitions ahead. A
// partition that somebody holds locked is left to a later Retire.
func (e *Engine) Retire(ctx context.Context, before time.Time) (retired int, err error) {
	if err := e.enter(ctx); err != nil {
		return 0, err
	}
	defer e.leave()
	if now := e.cfg.Now(); before.After(now) {
		before = now
	}
	retired, err = e.retire(ctx, before.Unix())
	if err != nil {
		return retired, fmt.Errorf("retire what ended before %s: %w", stamp(before.Unix()), err)
	}
	return retired, e.makeAhead(ctx)
}

func (e *Engine) retire(ctx context.Context, mark int64) (retired int, err error) {
	was, err := e.publish(ctx, mark)
	if err != nil {
		return 0, err
	}
	if was < mark {
		if retired, err = e.countBuckets(ctx, was, mark); err != nil {
			return 0, err
		}
	}
	return retired, e.dropEnded(ctx, e.retired.Load())
}

// publish makes the watermark durable, and returns and learns what it was. Who
// makes a partition looks at it under the same lock, so none is made below it.
func (e *Engine) publish(ctx context.Context, mark int64) (was int64, err error) {
	err = e.reshape(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, `SELECT retired FROM meta`).Scan(&was); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE meta SET retired = $1 WHERE retired < $1`, mark); err != nil {
			return err
		}
		all, err := readShape(ctx, tx)
		if err == nil {
			e.shape.set(all)
		}
		return err
	})
	if err == nil {
		e.raise(max(was, mark))
	}
	return was, err
}

// leap goes from bucket to bucket by the index.
const leap = `
WITH RECURSIVE leap (bucket) AS (
	SELECT min(bucket) FROM TABLE_ WHERE bucket > $1 AND bucket <= $2
	UNION ALL
	SELECT (SELECT min(t.bucket) FROM TABLE_ t WHERE t.bucket > leap.bucket AND t.bucket <= $2) FROM leap WHERE leap.bucket IS NOT NULL)
SELECT count(bucket) FROM leap`

// countBuckets counts the buckets behind was and up to mark that hold something.
func (e *Engine) countBuckets(ctx context.Context, was, mark int64) (all int, err error) {
	for k := range kinds {
		var n int
		if _, err := e.queryRow(ctx, onParent(leap, k), []any{was, mark}, &n); err != nil {
			return 0, err
		}
		all += n
	}
	return all, nil
}

// dropEnded drops what is over, the oldest first.
func (e *Engine) dropEnded(ctx context.Context, mark int64) error {
	dropped := false
	for k, all := range e.shape.get() {
		for _, p := range all {
			if p.last > mark {
				break
			}
			did, err := e.drop(ctx, kind(k), p)
			if hasCode(err, codeLocked) || hasCode(err, codeDeadlock) {
				e.cfg.Log.Warn("a partition that is over is in use, by a backup or a long query; it is dropped later",
					"partition", p.name, "ended", stamp(p.last))
				break // the next one of this table would wait too
			}
			if err != nil {
				return err
			}
			dropped = dropped || did
		}
	}
	if !dropped {
		return nil
	}
	return e.try(ctx, false, e.readShape)
}

const isPartition = `SELECT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass($1) AND inhparent = $2::text::regclass)`

// drop reports whether it dropped p: another node may have. It locks the
// partition first and then, for a moment, the parent. A concurrent detach would
// spare lists and the feed that moment, but waits for every reader, and leaves
// half of itself behind if it is cut short.
func (e *Engine) drop(ctx context.Context, k kind, p partition) (did bool, err error) {
	err = e.reshape(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, isPartition, p.name, k.table()).Scan(&did); err != nil || !did {
			return err
		}
		_, err := tx.Exec(ctx, fmt.Sprintf(`SET LOCAL lock_timeout = %s; LOCK TABLE %s IN ACCESS EXCLUSIVE MODE; DROP TABLE %s`,
			millis(dropPatience), p.name, p.name))
		return err
	})
	return did && err == nil, err
}
