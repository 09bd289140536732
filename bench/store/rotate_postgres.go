package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/longcase/longcase/store/postgres"
)

// Postgres measures the engine beside its UPDATE on a table without partitions:
// the same columns, room in the pages, driver and number of connections.
func (r Rotation) Postgres(ctx context.Context, w io.Writer, s Postgres) (err error) {
	r = r.withDefaults(100_000)
	db, err := s.create(ctx, "rotations")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.end(ctx)) }()
	e, err := postgres.Open(ctx, postgres.Config{URL: db.url, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	ours, bare := newStock(e.Sessions(), r.Live), &bareRows{db.Pool, newStock(nil, r.Live)}
	err = errors.Join(db.table(ctx, "bare"), db.fill(ctx, "bare", len(bare.all), bare.at), db.fill(ctx, ourTable, len(ours.all), ours.at))
	if err != nil {
		return err
	}
	return r.beside(w, "PostgreSQL", bare.update(ctx), ours.replace(ctx), ours.rotate(ctx))
}

// bareRows are sessions in the table bare.
type bareRows struct {
	*pgxpool.Pool
	*stock
}

// update is what the engine's Replace amounts to.
func (b *bareRows) update(ctx context.Context) lane {
	const update = `UPDATE bare SET generation = $3, ended = $4, data = $5 WHERE id = $1 AND generation = $2`
	return lane{"bare UPDATE", func(i, n int) func() error {
		next := turn(len(b.all), i, n)
		return func() error {
			at := &b.all[next()]
			tag, err := b.Exec(ctx, update, name(at.ID), int64(at.Generation), int64(at.Generation)+1, at.Ended, at.Data)
			if err == nil && tag.RowsAffected() != 1 {
				err = fmt.Errorf("%d rows were updated", tag.RowsAffected())
			}
			at.Generation++
			return err
		}
	}}
}
