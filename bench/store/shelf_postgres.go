package store

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/store/postgres"
)

// spread is how many sessions end for each that lives on among them.
const spread = 200

// mixed is what a filling writes in which some live on, n ended ones at least.
func mixed(n int, end time.Time) (all int, session func(i int) store.Session) {
	live := time.Now().Add(lifetime)
	return n + n/spread, func(i int) store.Session {
		if i%(spread+1) == spread {
			return newSession(live)
		}
		return newSession(ends(i, end))
	}
}

// partitions is the PostgreSQL engine in a database of its own.
type partitions struct {
	engine
	*database
}

func newPartitions(ctx context.Context, s Postgres, live int) (shelf, error) {
	db, err := s.create(ctx, "partitions")
	if err != nil {
		return nil, err
	}
	p := &partitions{database: db}
	e, err := postgres.Open(ctx, postgres.Config{URL: db.url, Now: p.now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, errors.Join(err, db.end(ctx))
	}
	p.Engine, p.live = e, newStock(e.Sessions(), live)
	return p, db.fill(ctx, ourTable, live, p.live.at)
}

// width is that of the engine's partitions by default.
const width = 3 * time.Hour

// fill writes sessions that end at the end of a partition, and lets time pass
// until it is the next one to be over: what is dropped then and made ahead is one
// of each kind, as ever so often in a server's life.
func (p *partitions) fill(n int, end time.Time) error {
	ctx := context.Background()
	end = end.Add(width).Truncate(width)
	p.expect(end)
	n, session := mixed(n, end)
	if err := p.database.fill(ctx, ourTable, n, session); err != nil {
		return err
	}
	p.setClock(end.Add(-time.Hour))
	_, err := p.Retire(ctx, p.now().Add(-store.RetireDelay))
	return err
}

func (p *partitions) Close() error { return errors.Join(p.Engine.Close(), p.end(context.Background())) }

// plain is one table, or one for the ended and one for the others.
type plain struct {
	*database
	live  *stock
	apart bool
	last  int64 // when the last one of the ended ends
}

func newPlain(ctx context.Context, s Postgres, live int, apart bool) (shelf, error) {
	db, err := s.create(ctx, "plain")
	if err != nil {
		return nil, err
	}
	p := &plain{database: db, live: newStock(nil, live), apart: apart}
	err = errors.Join(db.table(ctx, "sessions"), db.table(ctx, "over"), db.fill(ctx, "sessions", live, p.live.at))
	return p, err
}

func (p *plain) fill(n int, end time.Time) error {
	ctx := context.Background()
	p.last = end.Unix()
	if !p.apart {
		n, session := mixed(n, end)
		return p.database.fill(ctx, "sessions", n, session)
	}
	live := time.Now().Add(lifetime)
	return errors.Join(
		p.database.fill(ctx, "over", n, func(i int) store.Session { return newSession(ends(i, end)) }),
		p.database.fill(ctx, "sessions", n/spread, func(int) store.Session { return newSession(live) }))
}

// rotate sends the statements that the engine sends.
func (p *plain) rotate(i int) error {
	ctx, id := context.Background(), name(p.live.all[i].ID)
	var generation int64
	var data []byte
	err := p.QueryRow(ctx, `SELECT generation, data FROM sessions WHERE id = $1`, id).Scan(&generation, &data)
	if err != nil {
		return err
	}
	_, err = p.Exec(ctx, `UPDATE sessions SET generation = generation + 1, data = $3 WHERE id = $1 AND generation = $2`, id, generation, data)
	return err
}

func (p *plain) drop(ctx context.Context) (time.Duration, error) {
	sql, later := `DELETE FROM sessions WHERE ends <= $1`, `VACUUM sessions`
	args := []any{p.last}
	if p.apart {
		sql, later, args = `DROP TABLE over`, ``, nil
	}
	took, err := timed(func() error {
		_, err := p.Exec(ctx, sql, args...)
		return err
	})
	if err != nil || later == "" {
		return took, err
	}
	_, err = p.Exec(ctx, later)
	return took, err
}

func (p *plain) Close() error { return p.end(context.Background()) }
