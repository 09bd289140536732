// Package postgres is the engine for many nodes on one PostgreSQL.
package postgres

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// Config is what an Engine needs.
type Config struct {
	URL string // required; as libpq reads it, PG* of the environment included

	Longest time.Duration    // how far ahead partitions are made: the longest life of a record; default 48 h
	Now     func() time.Time // this node's clock; default time.Now
	Log     *slog.Logger     // default slog.Default()
}

// Engine is one pool of connections. It implements store.Movable.
type Engine struct{}

// Open connects, brings the schema up to date and checks it. store.ErrUnavailable
// is worth another try, every other error is not.
func Open(context.Context, Config) (*Engine, error) {
	return nil, errors.New("postgres: not written yet")
}
