package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/longcase/longcase/internal/config"
	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/store/cassandra"
	"github.com/longcase/longcase/store/embedded"
	"github.com/longcase/longcase/store/postgres"
)

// StoreOptions says how a store is opened.
type StoreOptions struct {
	Existing bool                // only a store that is there: store.ErrNoStore where there is none
	Longest  time.Duration       // the longest life of a record; zero: the engine's default; longer ones cost more
	Getenv   func(string) string // default os.Getenv
	Now      func() time.Time    // default time.Now
	Log      *slog.Logger        // default slog.Default()
}

func (o StoreOptions) withDefaults() StoreOptions {
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return o
}

// OpenStore opens the store that data names: of a directory, what the server
// keeps below it. store.ErrUnavailable is worth another try, every other error
// is not; ErrConfig is what data names and is not there.
func OpenStore(ctx context.Context, data config.Data, o StoreOptions) (store.Movable, error) {
	o = o.withDefaults()
	switch data.Engine {
	case config.Postgres:
		return openPostgres(ctx, data, o)
	case config.Cassandra:
		return openCassandra(ctx, data, o)
	}
	return openEmbedded(data.Dir, o) //nolint:contextcheck // a directory is opened whole or not at all
}

// NeedStore is store.ErrNoStore unless the data directory dir holds a store.
func NeedStore(dir string) error {
	if info, err := os.Stat(filepath.Join(dir, StoreDir)); err != nil || !info.IsDir() {
		return fmt.Errorf("no %s in %s: name a data directory: %w", StoreDir, dir, store.ErrNoStore)
	}
	return nil
}

func openEmbedded(dir string, o StoreOptions) (store.Movable, error) {
	if o.Existing {
		if err := NeedStore(dir); err != nil {
			return nil, err
		}
	}
	e, err := embedded.Open(embedded.Config{Dir: filepath.Join(dir, StoreDir), Now: o.Now, Log: o.Log})
	if errors.Is(err, store.ErrLocked) {
		return nil, fmt.Errorf("%w; stop the other server, or name another directory with --data", err)
	}
	if err != nil {
		return nil, err
	}
	return e, nil
}

func openPostgres(ctx context.Context, data config.Data, o StoreOptions) (store.Movable, error) {
	url, err := data.PostgresURL(o.Getenv)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	e, err := postgres.Open(ctx, postgres.Config{URL: url, Existing: o.Existing, Longest: o.Longest, Now: o.Now, Log: o.Log})
	if err != nil {
		return nil, err
	}
	return e, nil
}

func openCassandra(ctx context.Context, data config.Data, o StoreOptions) (store.Movable, error) {
	c := data.Cluster
	password, err := data.Password.Read(o.Getenv)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	tls, err := clusterTLS(c)
	if err != nil {
		return nil, fmt.Errorf("%w: data: %w", ErrConfig, err)
	}
	e, err := cassandra.Open(ctx, cassandra.Config{Hosts: c.Hosts, Keyspace: c.Keyspace, LocalDC: c.LocalDC, User: c.User, Password: password,
		TLS: tls, Replication: c.Replication, Existing: o.Existing, Now: o.Now, Log: o.Log})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// longest is the longest life of a record that the rooms of cfg make: marks and
// the feed live a day and an hour, and sessions as long as they say.
func longest(cfg *config.Config) time.Duration {
	const short = 48 * time.Hour
	if cfg.Issuer == nil {
		return short
	}
	return max(short, cfg.Issuer.Lifetimes.SessionAbsolute+time.Hour)
}

// clusterTLS reads the files of a cluster; nil: plain.
func clusterTLS(c config.Cluster) (*tls.Config, error) {
	if !c.TLS {
		return nil, nil
	}
	return upstreamTLS(&config.UpstreamTLS{CA: c.CA, Certificate: c.Certificate, Key: c.Key})
}
