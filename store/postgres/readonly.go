package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/longcase/longcase/store"
)

// written are the tables that a read only store refuses to write.
var written = [...]string{"sessions", "documents", "marks", "revocations", "registry"}

// refuseTrigger is on every table of a store that is read only. A trigger for
// each row of a partitioned table is on each of its partitions, those that are
// made later too, and a statement that names a partition fires it.
const refuseTrigger = "longcase_read_only"

func isReadOnly(err error) bool { return errors.Is(err, store.ErrReadOnly) }

// SetReadOnly implements store.Movable. Making a trigger waits for the writes
// under way, and those behind it find the trigger; while there is none, it costs
// nothing.
func (e *Engine) SetReadOnly(ctx context.Context, reason string) error {
	if err := e.door.Enter(ctx); err != nil {
		return err
	}
	defer e.door.Leave()
	err := e.reshape(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `UPDATE meta SET read_only = nullif($1, '')`, reason); err != nil {
			return err
		}
		for _, table := range written {
			if err := setTrigger(ctx, tx, table, reason != ""); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("set read only: %w", err)
	}
	return nil
}

func setTrigger(ctx context.Context, tx pgx.Tx, table string, want bool) error {
	var there bool
	const look = `SELECT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = $1::text::regclass AND tgname = $2)`
	if err := tx.QueryRow(ctx, look, table, refuseTrigger).Scan(&there); err != nil || there == want {
		return err
	}
	sql := fmt.Sprintf(`DROP TRIGGER %s ON %s`, refuseTrigger, table)
	if want {
		sql = fmt.Sprintf(`CREATE TRIGGER %s BEFORE INSERT OR UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION refuse_write()`, refuseTrigger, table)
	}
	_, err := tx.Exec(ctx, sql)
	return err
}

// ReadOnly implements store.Movable.
func (e *Engine) ReadOnly(ctx context.Context) (string, error) {
	if err := e.door.Enter(ctx); err != nil {
		return "", err
	}
	defer e.door.Leave()
	return e.readOnly(ctx)
}

func (e *Engine) readOnly(ctx context.Context) (reason string, err error) {
	_, err = e.queryRow(ctx, plain(`SELECT coalesce(read_only, '') FROM meta`), nil, &reason)
	return reason, err
}

// refuseReadOnly is for a write that found no row to write: the trigger had
// nothing to refuse.
func (e *Engine) refuseReadOnly(ctx context.Context) error {
	reason, err := e.readOnly(ctx)
	if err == nil && reason != "" {
		err = fmt.Errorf("%s: %w", reason, store.ErrReadOnly)
	}
	return err
}
