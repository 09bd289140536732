package cassandra

import (
	"context"
	"fmt"
	"time"

	"github.com/longcase/longcase/store"
)

// replacement is a change of a record that has an end.
type replacement struct {
	line  string // who writes the same record
	what  string
	old   uint64
	about []byte // as the caller has it; if the stored one differs, that counts
	now   time.Time

	// swap is the transaction that changes a record with that column about, for
	// as many seconds.
	swap func(about []byte, seconds int) swap
}

// replace makes the change if the stored version is still old. The condition
// names what the caller takes the record's unchanging part for, so that nothing
// has to be read first; a transaction that was not applied tells what it is.
func (e *Engine) replace(ctx context.Context, c replacement) error {
	turn, err := e.lines.wait(ctx, c.line)
	if err != nil {
		return err
	}
	defer e.lines.done(c.line, turn)
	if turn.seen.version > c.old || turn.seen.ended {
		return c.judge(turn.seen)
	}
	for range 2 {
		applied, before, err := e.tryReplace(ctx, c)
		if err != nil {
			return err
		}
		if applied {
			turn.saw(row{found: true, version: c.old + 1, about: c.about})
			return nil
		}
		turn.saw(before)
		if err := c.judge(before); err != nil {
			return err
		}
		c.about = before.about
	}
	return fmt.Errorf("%s changes while it is written: %w", c.what, store.ErrConflict)
}

func (e *Engine) tryReplace(ctx context.Context, c replacement) (bool, row, error) {
	a, err := decodeAbout(c.about)
	if err != nil {
		return false, row{}, fmt.Errorf("%s: %w", c.what, err)
	}
	seconds, err := ttl(a.end, c.now)
	if err != nil {
		return false, row{}, fmt.Errorf("%s: %w", c.what, err)
	}
	return e.cas(ctx, c.swap(c.about, seconds))
}

// judge says why the record may not be changed as it was found; nil: it may.
func (c replacement) judge(found row) error {
	conflict := fmt.Errorf("%s is not at version %d: %w", c.what, c.old, store.ErrConflict)
	if !found.found || found.about == nil {
		return conflict
	}
	a, err := decodeAbout(found.about)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", c.what, err)
	case !a.end.After(c.now):
		return fmt.Errorf("%s ended at %s: %w", c.what, a.end.Format(time.RFC3339), store.ErrEnded)
	case found.ended || found.version != c.old:
		return conflict
	}
	return nil
}
