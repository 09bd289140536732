package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/longcase/longcase/store"
)

// aheadMargin is how much further than the longest life partitions are made, for
// the nodes that were not told to look for a while.
const aheadMargin = 30 * time.Minute

// until is the last bucket for which a partition is wanted at now.
func until(longest time.Duration, now time.Time) int64 {
	return store.ClassOf(longest).Bucket(now.Add(longest + aheadMargin)).Unix()
}

func (e *Engine) readShape(ctx context.Context, c *pgxpool.Conn) error {
	all, err := readShape(ctx, c)
	if err == nil {
		e.shape.set(all)
	}
	return err
}

// reshape runs f in a transaction that alone may make and drop partitions, of all
// nodes; their rows are not touched. It waits for locks no longer than
// lockPatience, so that nobody who waits behind it waits longer.
func (e *Engine) reshape(ctx context.Context, f func(context.Context, pgx.Tx) error) error {
	return e.try(ctx, true, func(own context.Context, c *pgxpool.Conn) error {
		return pgx.BeginFunc(own, c, func(tx pgx.Tx) error {
			if _, err := tx.Exec(own, fmt.Sprintf(`SELECT pg_advisory_xact_lock(%d)`, lockKey(e.schema))); err != nil {
				return err
			}
			return f(own, tx)
		})
	})
}

// lockKey names the lock of reshape, in a space that a database's programs share.
func lockKey(schema string) int64 {
	h := sha256.Sum256([]byte("longcase " + schema))
	return int64(binary.BigEndian.Uint64(h[:]))
}

// makeAhead makes the partitions that are missing between now and as far as
// Longest asks.
func (e *Engine) makeAhead(ctx context.Context) error {
	now := e.cfg.Now()
	want := func(all [kinds]partitions) (add [kinds]partitions, n int) {
		for k := range kinds {
			longest := k.longest(e.cfg)
			add[k] = all[k].missing(k, max(now.Unix(), e.retired.At()), until(longest, now), width(longest))
			n += len(add[k])
		}
		return add, n
	}
	if _, n := want(e.shape.get()); n == 0 {
		return nil
	}
	err := e.reshape(ctx, func(ctx context.Context, tx pgx.Tx) error {
		all, err := readShape(ctx, tx)
		if err != nil {
			return err
		}
		add, _ := want(all)
		return create(ctx, tx, add)
	})
	if err != nil {
		return fmt.Errorf("make partitions ahead: %w", err)
	}
	return e.try(ctx, false, e.readShape)
}

// create makes partitions. A table is made by itself and then attached, which
// locks its parent only against others who make and drop.
func create(ctx context.Context, tx pgx.Tx, add [kinds]partitions) error {
	var sql strings.Builder
	for k, all := range add {
		for _, p := range all {
			table := kind(k).table()
			fmt.Fprintf(&sql, "CREATE TABLE %s (LIKE %s INCLUDING ALL) WITH (%s);\n", p.name, table, kind(k).storage())
			fmt.Fprintf(&sql, "ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%d) TO (%d);\n", table, p.name, p.first, p.last+1)
		}
	}
	if sql.Len() == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, sql.String())
	return err
}

// partitionFor finds the partition of a write that begins a record, and makes it
// if need be.
func (e *Engine) partitionFor(ctx context.Context, k kind, bucket int64) (partition, error) {
	if p, ok := e.shape.find(k, bucket); ok {
		return p, nil
	}
	return e.makeFor(ctx, k, bucket)
}

// makeFor makes the partition that a write has missed, one at a time on this
// node. Somebody else may have made it.
func (e *Engine) makeFor(ctx context.Context, k kind, bucket int64) (partition, error) {
	select {
	case e.making <- struct{}{}:
		defer func() { <-e.making }()
	case <-ctx.Done():
		return partition{}, ctx.Err()
	}
	if p, ok := e.shape.find(k, bucket); ok { // while we waited
		return p, nil
	}
	made := false
	err := e.reshape(ctx, func(ctx context.Context, tx pgx.Tx) error {
		var retired int64
		if err := tx.QueryRow(ctx, `SELECT retired FROM meta`).Scan(&retired); err != nil {
			return err
		}
		e.retired.Raise(retired)
		if made = false; bucket <= retired {
			return nil
		}
		all, err := readShape(ctx, tx)
		if _, ok := all[k].find(bucket); err != nil || ok {
			return err
		}
		made = true
		var add [kinds]partitions
		add[k] = partitions{all[k].free(k, bucket, width(k.longest(e.cfg)))}
		return create(ctx, tx, add)
	})
	if errors.Is(err, store.ErrUnknown) { // of the partition, not of the record
		err = fmt.Errorf("postgres: %w: the connection was lost while a partition was made", store.ErrUnavailable)
	}
	if err == nil {
		err = e.try(ctx, false, e.readShape)
	}
	return e.madeFor(k, bucket, made, err)
}

func (e *Engine) madeFor(k kind, bucket int64, made bool, err error) (partition, error) {
	if err != nil {
		return partition{}, fmt.Errorf("make the partition of %s for %s: %w", k.table(), stamp(bucket), err)
	}
	if err := e.retired.Check(bucket); err != nil {
		return partition{}, err
	}
	p, ok := e.shape.find(k, bucket)
	if !ok {
		return p, fmt.Errorf("postgres: the partition of %s for %s was dropped as soon as it was made: %w", k.table(), stamp(bucket), store.ErrUnavailable)
	}
	if made {
		e.cfg.Log.Warn("no partition was there for a write, so it was made: is the longest life configured, and does this node retire?",
			"partition", p.name, "ends", stamp(p.last))
	}
	return p, nil
}

// insert writes a record that begins, and returns how many rows that made. A
// partition that another node dropped meanwhile is missed once.
func (e *Engine) insert(ctx context.Context, k kind, bucket int64, sql string, args ...any) (int64, error) {
	for n := 1; ; n++ {
		if err := e.retired.Check(bucket); err != nil {
			return 0, err
		}
		p, err := e.partitionFor(ctx, k, bucket)
		if err != nil {
			return 0, err
		}
		made, err := e.exec(ctx, onPartition(sql, p), args...)
		if !isDropped(err) || n == maxTries {
			return made, err
		}
		if err := e.loadShape(ctx); err != nil {
			return 0, err
		}
	}
}

// update changes a record that is there, and returns how many rows it changed.
func (e *Engine) update(ctx context.Context, k kind, bucket int64, sql string, args ...any) (n int64, err error) {
	if p, ok := e.shape.find(k, bucket); ok {
		if n, err = e.exec(ctx, onPartition(sql, p), args...); !isDropped(err) {
			return n, err
		}
	}
	return e.exec(ctx, onParent(sql, k), args...)
}

// find reads one record.
func (e *Engine) find(ctx context.Context, k kind, bucket int64, sql string, args []any, into ...any) (found bool, err error) {
	if e.retired.Gone(bucket) {
		return false, nil
	}
	if p, ok := e.shape.find(k, bucket); ok {
		if found, err = e.queryRow(ctx, onPartition(sql, p), args, into...); !isDropped(err) {
			return found, err
		}
	}
	return e.queryRow(ctx, onParent(sql, k), args, into...)
}
