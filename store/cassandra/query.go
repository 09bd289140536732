package cassandra

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/longcase/longcase/store"
)

const (
	connectTimeout = 5 * time.Second // of one connection, and of each exchange until it stands
	requestTimeout = 8 * time.Second // of one statement: longer than the servers' own timeouts
	resolveTimeout = 5 * time.Second // of finding out what became of a transaction

	readAttempts = 2                      // how often a read is tried again, at another node
	speculate    = 200 * time.Millisecond // after which a read is asked of another node too
)

// single makes q a read that may be tried again and asked of two nodes at once.
func single(q *gocql.Query) *gocql.Query {
	return q.Idempotent(true).RetryPolicy(&gocql.SimpleRetryPolicy{NumRetries: readAttempts}).
		SetSpeculativeExecutionPolicy(&gocql.SimpleSpeculativeExecution{NumAttempts: 1, TimeoutDelay: speculate})
}

// get reads one row into dest and reports whether there is one.
func (e *Engine) get(ctx context.Context, what string, q *gocql.Query, dest ...any) (bool, error) {
	return one(ctx, what, q, func(q *gocql.Query) error { return q.ScanContext(ctx, dest...) })
}

func one(ctx context.Context, what string, q *gocql.Query, scan func(*gocql.Query) error) (bool, error) {
	err := scan(single(q))
	if errors.Is(err, gocql.ErrNoConnections) { // also said when there is no second node to ask
		err = scan(q.SetSpeculativeExecutionPolicy(gocql.NonSpeculativeExecution{}))
	}
	if errors.Is(err, gocql.ErrNotFound) {
		return false, nil
	}
	return err == nil, readError(ctx, what, err)
}

// each reads the rows of q and calls row for each with what scans it.
func (e *Engine) each(ctx context.Context, what string, q *gocql.Query, row func(scan func(dest ...any) error) error) error {
	q = q.Idempotent(true).RetryPolicy(&gocql.SimpleRetryPolicy{NumRetries: readAttempts})
	rows := q.IterContext(ctx).Scanner()
	var err error
	for err == nil && rows.Next() {
		err = row(rows.Scan)
	}
	if failed := rows.Err(); err == nil && failed != nil {
		err = readError(ctx, what, failed)
	}
	return err
}

// readError says why a read failed: nothing was written.
func readError(ctx context.Context, what string, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case refused(err):
		return fmt.Errorf("cassandra: %s: %w: %w", what, refusal(err), err)
	default:
		return fmt.Errorf("cassandra: %s: %w: %w", what, store.ErrUnavailable, err)
	}
}

// refused reports whether the server understood the statement and will not run
// it: nothing was written, and trying again does not help.
func refused(err error) bool {
	var of gocql.RequestError
	if !errors.As(err, &of) {
		return false
	}
	switch of.Code() {
	case gocql.ErrCodeSyntax, gocql.ErrCodeUnauthorized, gocql.ErrCodeInvalid, gocql.ErrCodeConfig:
		return true
	}
	return false
}

// errRefused says that the cluster does not let us.
var errRefused = errors.New("the cluster refused it")

// refusal is what a refused statement is to the contract. The statements are
// ours and fit the schema that Open saw: one that is invalid met another.
func refusal(err error) error {
	var of gocql.RequestError
	switch {
	case !errors.As(err, &of) || of.Code() != gocql.ErrCodeInvalid && of.Code() != gocql.ErrCodeSyntax:
		return errRefused
	case strings.Contains(of.Message(), "maximum supported expiration date"): // 2038 before storage_compatibility_mode NONE of 5.0
		return store.ErrTooLate
	}
	return store.ErrSchema
}

// unsent reports whether the statement never left this process.
func unsent(err error) bool {
	return errors.Is(err, gocql.ErrNoConnections) || errors.Is(err, gocql.ErrSessionClosed) || errors.Is(err, gocql.ErrNoStreams)
}

// swap is one transaction: what it writes, and how to find out whether it was
// applied.
type swap struct {
	what     string // names the record, for errors
	stmt     string
	args     []any
	old      uint64 // the version it replaces; 0: none is there
	proposal int64  // drawn for it; the row keeps it
	ends     bool   // it ends the record at version old, and leaves the proposal

	load    string // reads version, proposal and ended of the row, as far as it has them
	loadKey []any
}

// proposal draws what tells one transaction from any other.
func proposal() int64 { return int64(rand.Uint64()) }

// cas runs s once. Not applied, it returns the row as it was found; its error is
// nil then. The error is store.ErrUnknown where nobody can tell.
func (e *Engine) cas(ctx context.Context, s swap) (applied bool, before row, err error) {
	if err := e.writable(ctx); err != nil {
		return false, row{}, err
	}
	columns := map[string]any{}
	q := e.session.Query(s.stmt, s.args...).Consistency(e.read).SerialConsistency(e.serial)
	err = within(ctx, func(ctx context.Context) error {
		applied, err = q.MapScanCASContext(ctx, columns)
		return err
	})
	if err == nil {
		return applied, rowOf(columns), nil
	}
	if err := writeError(s.what, err); err != nil {
		return false, row{}, err
	}
	return e.resolve(ctx, s, err)
}

// within gives one write its time. A statement may be prepared first, which takes
// as long again: SetReadOnly counts on the whole.
func within(ctx context.Context, write func(context.Context) error) error {
	writing, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	err := write(writing)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return gocql.ErrTimeoutNoResponse // ours, not the caller's
	}
	return err
}

// writeError is for what certainly was not written; nil: it may have been.
func writeError(what string, err error) error {
	switch {
	case refused(err):
		return fmt.Errorf("cassandra: write %s: %w: %w", what, refusal(err), err)
	case unsent(err):
		return fmt.Errorf("cassandra: write %s: %w: %w", what, store.ErrUnavailable, err)
	}
	return nil
}

// rowOf reads what the server says of a row. What has no version, a mark, is at
// version 1 for good.
func rowOf(columns map[string]any) row {
	r := row{found: len(columns) > 0, version: 1}
	for _, name := range []string{"gen", "version"} {
		if n, ok := columns[name].(int64); ok {
			r.version = uint64(n)
		}
	}
	r.ended, _ = columns["ended"].(bool)
	r.proposal, _ = columns["proposal"].(int64)
	r.about, _ = columns["about"].([]byte)
	return r
}

// resolve finds out what became of s, whose call ended with cause.
func (e *Engine) resolve(ctx context.Context, s swap, cause error) (applied bool, before row, err error) {
	reading, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	for pause := 20 * time.Millisecond; pause < time.Second && reading.Err() == nil; pause *= 3 {
		r, err := e.loadRow(reading, s)
		if err == nil { // else the next attempt may reach another node
			if became := s.became(r); became != unsure {
				return became == applies, r, nil
			}
		}
		sleep(reading, pause/2+rand.N(pause/2))
	}
	return false, row{}, unknown(ctx, s.what, cause)
}

// unknown is for a write that may have been made. If it was the caller who gave
// up, the error is the context's as well.
func unknown(ctx context.Context, what string, cause error) error {
	if ctx.Err() != nil {
		cause = ctx.Err()
	}
	return fmt.Errorf("cassandra: write %s: %w: %w", what, store.ErrUnknown, cause)
}

// outcome is what became of a transaction.
type outcome int

const (
	unsure outcome = iota // it may still be applied, or others have since covered its traces
	applies
	lost // it was not applied and never will be: its condition cannot hold again
)

// became judges s by its row, read after it.
func (s swap) became(r row) outcome {
	switch {
	case !r.found || r.version < s.old:
		return unsure
	case s.ends && (r.ended || r.version > s.old):
		return lost // whoever ended it: the caller looks
	case r.version == s.old+1 && r.proposal == s.proposal:
		return applies
	case r.version == s.old+1, r.version == s.old && r.ended:
		return lost
	}
	return unsure
}

// loadRow reads what decides of a row as the last transaction left it, and
// finishes what one of them left undone.
func (e *Engine) loadRow(ctx context.Context, s swap) (row, error) {
	columns := map[string]any{}
	q := e.session.Query(s.load, s.loadKey...).Consistency(e.serial)
	_, err := one(ctx, "read back "+s.what, q, func(q *gocql.Query) error { return q.MapScanContext(ctx, columns) })
	return rowOf(columns), err
}

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
