package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
)

// probe takes as much room as some new records would, for as long as a
// transaction that is rolled back.
const probe = `CREATE TABLE room_probe AS SELECT n FROM generate_series(1, 10000) n`

// Ready reports why the store should not be given work although it answers: from
// a write for which the server had no room until it has some. Only then it asks
// the server.
func (e *Engine) Ready(ctx context.Context) error {
	if err := e.door.Enter(ctx); err != nil {
		return err
	}
	defer e.door.Leave()
	if !e.full.Load() {
		return nil
	}
	err := e.try(ctx, true, func(own context.Context, c *pgxpool.Conn) error {
		tx, err := c.Begin(own)
		if err != nil {
			return err
		}
		_, err = tx.Exec(own, probe)
		return errors.Join(err, tx.Rollback(own))
	})
	if err != nil {
		return fmt.Errorf("look for room: %w", err)
	}
	e.cfg.Log.Info("the server's disk has room again")
	e.full.Store(false)
	return nil
}

// noteFull remembers that the server had no room, if err says so.
func (e *Engine) noteFull(err error) error {
	if errors.Is(err, errDiskFull) && !e.full.Swap(true) {
		e.cfg.Log.Error("the server's disk is full: this node is not ready until there is room", "err", err)
	}
	return err
}
