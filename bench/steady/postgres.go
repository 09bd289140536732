package steady

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/longcase/longcase/store/postgres"
)

// Postgres is a PostgreSQL on this machine, begun by servers/postgres: its
// tables are measured as files.
type Postgres struct {
	URL string // of an empty database
	Dir string // below which base/ lies
}

// ServerOptions let PostgreSQL keep up with a clock that is moved: it does not
// wait for its disk, and autovacuum, which otherwise looks once a minute, does so
// once a second.
const ServerOptions = "-c fsync=off -c autovacuum_naptime=1s"

// open opens the engine with c as its clock. Commits do not wait for the disk:
// what they write takes the same blocks, sooner.
func (p Postgres) open(ctx context.Context, c *clock, longest time.Duration) (*postgres.Engine, error) {
	if err := p.exec(ctx, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$`); err != nil {
		return nil, err
	}
	return postgres.Open(ctx, postgres.Config{URL: p.URL, Longest: longest, Now: c.now, Log: slog.New(slog.DiscardHandler)})
}

func (p Postgres) exec(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, p.URL)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sql)
	if closed := conn.Close(ctx); err == nil {
		err = closed
	}
	return err
}

// disk is what the database takes, after a checkpoint: its log apart, which
// PostgreSQL keeps for all databases and max_wal_size bounds.
func (p Postgres) disk(ctx context.Context) (one Sample, err error) {
	conn, err := pgx.Connect(ctx, p.URL)
	if err != nil {
		return one, err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	var oid uint32
	if err := conn.QueryRow(ctx, "SELECT oid FROM pg_database WHERE datname = current_database()").Scan(&oid); err != nil {
		return one, err
	}
	if _, err := conn.Exec(ctx, "CHECKPOINT"); err != nil {
		return one, err
	}
	n, err := blocks(filepath.Join(p.Dir, "base", fmt.Sprint(oid)))
	return Sample{Disk: float64(n)}, err
}

// Postgres measures PostgreSQL in an empty database.
func (r Run) Postgres(ctx context.Context, p Postgres) (result Result, err error) {
	c := newClock(start())
	e, err := p.open(ctx, c, longest(r.Load.Life))
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	// few writers: those who wait for each other to extend a file make it longer
	// than it need be, and at this rate nobody waits
	return r.measure(ctx, rig{engine: e, clock: c, writers: 4, disk: p.disk})
}

// longest is what the server tells the engine (internal/app/store.go).
func longest(life time.Duration) time.Duration { return max(48*time.Hour, life+time.Hour) }
