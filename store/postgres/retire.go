package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"
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
	if err := e.door.Enter(ctx); err != nil {
		return 0, err
	}
	defer e.door.Leave()
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
	return retired, e.dropEnded(ctx, e.retired.At())
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
		e.retired.Raise(max(was, mark))
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

// maxDrop bounds how many partitions one transaction drops.
const maxDrop = 16

// dropEnded drops what is over.
func (e *Engine) dropEnded(ctx context.Context, mark int64) error {
	var over partitions
	for _, all := range e.shape.get() {
		for _, p := range all {
			if p.last <= mark {
				over = append(over, p)
			}
		}
	}
	for these := range slices.Chunk(over, maxDrop) {
		if err := e.dropThese(ctx, these); err != nil {
			return err
		}
	}
	if len(over) == 0 {
		return nil
	}
	return e.try(ctx, false, e.readShape)
}

// dropThese drops partitions together or, if that does not go, one by one.
func (e *Engine) dropThese(ctx context.Context, these partitions) error {
	err := e.drop(ctx, these)
	switch inUse := hasCode(err, codeLocked) || hasCode(err, codeDeadlock); {
	case err == nil:
		return nil
	case len(these) == 1 && isDropped(err): // by another node
		return nil
	case len(these) == 1 && inUse:
		e.cfg.Log.Warn("a partition that is over is in use, by a backup or a long query; it is dropped later",
			"partition", these[0].name, "ended", stamp(these[0].last))
		return nil
	case !inUse && !isDropped(err):
		return err
	}
	for i := range these {
		if err := e.dropThese(ctx, these[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

// drop drops partitions in one transaction. It locks them first and then, for a
// moment, their parents. A concurrent detach would spare lists and the feed that
// moment, but waits for every reader, and leaves half of itself behind if it is
// cut short.
func (e *Engine) drop(ctx context.Context, these partitions) error {
	names := make([]string, len(these))
	for i, p := range these {
		names[i] = p.name
	}
	all := strings.Join(names, ", ")
	sql := fmt.Sprintf(`SET LOCAL lock_timeout = %s; LOCK TABLE %s IN ACCESS EXCLUSIVE MODE; DROP TABLE %s`, millis(dropPatience), all, all)
	return e.reshape(ctx, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, sql)
		return err
	})
}
