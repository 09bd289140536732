package postgres

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// statement is one SQL text. On a partition it is planned once for each
// connection. On a parent it is planned each time, for the partitions it
// touches: a plan for all times would lock them all.
type statement struct {
	sql  string
	mode pgx.QueryExecMode
}

// tableOf stands for the table in the texts of this package.
const tableOf = "TABLE_"

func onPartition(sql string, p partition) statement {
	return statement{strings.ReplaceAll(sql, tableOf, p.name), pgx.QueryExecModeCacheStatement}
}

func onParent(sql string, k kind) statement {
	return parent(strings.ReplaceAll(sql, tableOf, k.table()))
}

func parent(sql string) statement { return statement{sql, pgx.QueryExecModeCacheDescribe} }

// plain is a statement on a table without partitions.
func plain(sql string) statement { return statement{sql, pgx.QueryExecModeCacheStatement} }

func (s statement) args(args []any) []any { return append([]any{s.mode}, args...) }

// maxTries bounds how often a statement that had no effect is sent again.
const maxTries = 4

// exec runs one write and returns how many rows it changed.
func (e *Engine) exec(ctx context.Context, s statement, args ...any) (changed int64, err error) {
	err = e.try(ctx, true, func(own context.Context, c *pgxpool.Conn) error {
		tag, err := c.Exec(own, s.sql, s.args(args)...)
		changed = tag.RowsAffected()
		return err
	})
	return changed, err
}

// queryRow reads one row into into and reports whether there is one.
func (e *Engine) queryRow(ctx context.Context, s statement, args []any, into ...any) (found bool, err error) {
	err = e.try(ctx, false, func(own context.Context, c *pgxpool.Conn) error {
		err := c.QueryRow(own, s.sql, s.args(args)...).Scan(into...)
		found = err == nil
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
	return found, err
}

// query reads rows and calls each with every one of them.
func (e *Engine) query(ctx context.Context, s statement, args []any, begin func(), each func(pgx.Rows) error) error {
	return e.try(ctx, false, func(own context.Context, c *pgxpool.Conn) error {
		begin()
		return queryOn(own, c, s, args, each)
	})
}

func queryOn(ctx context.Context, c *pgxpool.Conn, s statement, args []any, each func(pgx.Rows) error) error {
	rows, err := c.Query(ctx, s.sql, s.args(args)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// try runs f on a connection, again where that is certain to be right: PostgreSQL
// undid it for the sake of another, it was not sent, or it only reads.
func (e *Engine) try(ctx context.Context, wrote bool, f func(context.Context, *pgxpool.Conn) error) error {
	for n := 1; ; n++ {
		c, err := e.acquire(ctx)
		if err != nil {
			return err
		}
		err = run(ctx, c, f)
		if err == nil {
			return nil
		}
		if n == maxTries || ctx.Err() != nil || !again(err, wrote) || !pause(ctx, n) {
			return e.noteFull(sorted(ctx, err, wrote))
		}
	}
}

func run(ctx context.Context, c *pgxpool.Conn, f func(context.Context, *pgxpool.Conn) error) error {
	defer c.Release()
	own, done := linger(ctx)
	defer done()
	err := f(own, c)
	if hasCode(err, codeStandby) {
		_ = c.Conn().Close(own) // it is no longer the primary: the next one finds who is
	}
	return err
}

// again reports whether what failed may simply be run once more.
func again(err error, wrote bool) bool {
	if e := refusal(err); e != nil {
		return e.Code == codeSerialization || e.Code == codeDeadlock || e.Code == codeStandby
	}
	return pgconn.SafeToRetry(err) || !wrote && !pgconn.Timeout(err)
}

// pause waits a little longer each time; false: ctx ended.
func pause(ctx context.Context, n int) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(time.Duration(n) * time.Millisecond * time.Duration(1+rand.IntN(8))):
		return true
	}
}
