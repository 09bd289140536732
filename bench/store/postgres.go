package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/longcase/longcase/store"
)

// Postgres is a PostgreSQL on this machine.
type Postgres struct {
	URL string // of one of its databases, as a superuser
	Dir string // its data, below which base/ lies
}

// database is one of it with nothing in it but what is measured, and connections
// that set nothing.
type database struct {
	*pgxpool.Pool
	in  Postgres
	url string // with as many connections as the pool has
	oid uint32
}

// create makes an empty database.
func (s Postgres) create(ctx context.Context, name string) (*database, error) {
	at, err := url.Parse(s.URL)
	if err != nil {
		return nil, err
	}
	at.Path, at.RawQuery = "/"+name, "pool_max_conns=20" // the engine's default
	d := &database{in: s, url: at.String()}
	if err := s.exec(ctx, "CREATE DATABASE "+name); err != nil {
		return nil, err
	}
	if d.Pool, err = pgxpool.New(ctx, d.url); err != nil {
		return nil, err
	}
	err = d.QueryRow(ctx, "SELECT oid FROM pg_database WHERE datname = current_database()").Scan(&d.oid)
	return d, err
}

func (s Postgres) exec(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, s.URL)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sql)
	return errors.Join(err, conn.Close(ctx))
}

// end ends the connections and the database, even when ctx has ended.
func (d *database) end(ctx context.Context) error {
	d.Close()
	return d.in.exec(context.WithoutCancel(ctx), fmt.Sprintf("DROP DATABASE %s WITH (FORCE)", d.Config().ConnConfig.Database))
}

// size is what the database takes on the disk, its log apart.
func (d *database) size() (int64, error) {
	return blocks(filepath.Join(d.in.Dir, "base", fmt.Sprint(d.oid)))
}

// ourTable is where the engine keeps its sessions.
const ourTable = "longcase.sessions"

// columns of that table, which others have as well.
func columns() []string {
	return []string{"bucket", "id", "ends", "generation", "ended", "client", "subject", "data"}
}

// table makes one of those columns, with room to rewrite a row in its page as the
// engine's partitions have it.
func (d *database) table(ctx context.Context, name string) error {
	_, err := d.Exec(ctx, fmt.Sprintf(`CREATE TABLE %s (bucket bigint NOT NULL, id uuid PRIMARY KEY, ends bigint NOT NULL, generation bigint NOT NULL,
ended boolean NOT NULL, client bytea NOT NULL, subject bytea NOT NULL, data bytea NOT NULL) WITH (fillfactor = 90)`, name))
	return err
}

// fill copies n sessions into a table. What the server would do about them later
// is done when it returns.
func (d *database) fill(ctx context.Context, table string, n int, session func(i int) store.Session) error {
	at := pgx.Identifier{table}
	if table == ourTable {
		at = pgx.Identifier{"longcase", "sessions"}
	}
	rows := pgx.CopyFromSlice(n, func(i int) ([]any, error) {
		one := session(i)
		return []any{one.ID.Bucket().Unix(), name(one.ID), one.End.Unix(), int64(one.Generation), one.Ended, []byte(one.Client), []byte(one.Subject), one.Data}, nil
	})
	if _, err := d.CopyFrom(ctx, at, columns(), rows); err != nil {
		return err
	}
	for _, sql := range []string{"VACUUM (ANALYZE) " + table, "CHECKPOINT"} {
		if _, err := d.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

// name is what the engine keeps of an id beside its bucket.
func name(id store.ID) pgtype.UUID { return pgtype.UUID{Bytes: [16]byte(id[5:]), Valid: true} }
