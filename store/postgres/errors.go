package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/longcase/longcase/store"
)

// The SQLSTATEs that are told apart (PostgreSQL manual, appendix A).
const (
	codeReadOnlyStore = "LC001" // ours: trigger refuse_write
	codeNoTable       = "42P01"
	codeNotAllowed    = "42501"
	codeSerialization = "40001"
	codeDeadlock      = "40P01"
	codeLocked        = "55P03"
	codeCancelled     = "57014"
	codeStandby       = "25006"
	codeDiskFull      = "53100"
)

// inClass reports whether the first two characters of its code are class.
func inClass(e *pgconn.PgError, class string) bool { return strings.HasPrefix(e.Code, class) }

// refusal is the server's own answer, nil if err is none. One that ends the
// connection is none: the server may have died behind the commit.
func refusal(err error) *pgconn.PgError {
	var e *pgconn.PgError
	if !errors.As(err, &e) || e.SeverityUnlocalized == "FATAL" || e.SeverityUnlocalized == "PANIC" {
		return nil
	}
	return e
}

// errNoTable says that a table is not there: another node dropped the partition,
// or somebody a table.
var errNoTable = errors.New("no such table")

// errDiskFull says that the server had no room for a write.
var errDiskFull = errors.New("the server's disk is full: give it room")

func isDropped(err error) bool { return errors.Is(err, errNoTable) }

func hasCode(err error, code string) bool {
	e := refusal(err)
	return e != nil && e.Code == code
}

// sorted turns the error of a statement that may have been sent into one of the
// contract's. wrote says that it was a write.
func sorted(ctx context.Context, err error, wrote bool) error {
	if e := refusal(err); e != nil {
		return sortedRefusal(e)
	}
	if errors.Is(err, pgx.ErrNoRows) { // the only table of which a row is always wanted
		return fmt.Errorf("postgres: the table meta is empty: %w", store.ErrSchema)
	}
	gone := ctx.Err()
	switch sent := wrote && !pgconn.SafeToRetry(err); {
	case sent && gone != nil:
		return fmt.Errorf("postgres: %w: %w", store.ErrUnknown, gone)
	case sent:
		return fmt.Errorf("postgres: %w: %s", store.ErrUnknown, oneLine(err.Error()))
	case gone != nil:
		return gone
	default:
		return unavailable(err)
	}
}

// sortedRefusal sorts what the server refused: nothing was written.
func sortedRefusal(e *pgconn.PgError) error {
	switch {
	case e.Code == codeReadOnlyStore:
		return fmt.Errorf("%s: %w", e.Message, store.ErrReadOnly)
	case e.Code == codeDiskFull:
		return fmt.Errorf("postgres: %w: %s: %w", errDiskFull, e.Message, store.ErrUnavailable)
	case e.Code == codeLocked, e.Code == codeCancelled, e.Code == codeStandby, inClass(e, "40"), inClass(e, "53"), inClass(e, "57"), inClass(e, "58"):
		return unavailable(e)
	case e.Code == codeNotAllowed:
		return fmt.Errorf("postgres: %s: the role must own the schema and its tables: %w", e.Message, store.ErrSchema)
	case e.Code == codeNoTable:
		return fmt.Errorf("postgres: %s: %w: %w", e.Message, store.ErrSchema, errNoTable)
	case inClass(e, "42"):
		return fmt.Errorf("postgres: %s: %w", e.Error(), store.ErrSchema)
	default:
		return fmt.Errorf("postgres: %w", e)
	}
}

// unavailable says that nothing was written and another try may help. Of err it
// keeps the text and what the server answered, not that our own patience was a
// context.
func unavailable(err error) error {
	var answer *pgconn.PgError
	_ = errors.As(err, &answer)
	return fmt.Errorf("postgres: %w: %w", store.ErrUnavailable, &cause{oneLine(err.Error()), answer})
}

type cause struct {
	text   string
	answer *pgconn.PgError // nil: none
}

func (c *cause) Error() string { return c.text }

func (c *cause) Unwrap() error {
	if c.answer == nil {
		return nil
	}
	return c.answer
}

// oneLine writes a text in one line; pgx tells of several hosts in several.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
