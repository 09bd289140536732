package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/store/internal/node"
)

// defaultLongest is how far ahead partitions are made unless it is said.
const defaultLongest = 48 * time.Hour

// Config is what an Engine needs.
type Config struct {
	URL string // required; as libpq reads it, PG* of the environment included

	Longest  time.Duration    // how far ahead partitions are made: the longest life of a record; default 48 h
	Existing bool             // only a store that is there: nothing is made where there is none
	Now      func() time.Time // this node's clock; default time.Now
	Log      *slog.Logger     // default slog.Default()
}

// Engine is one pool of connections. It implements store.Movable.
type Engine struct {
	cfg      Config
	pool     *pgxpool.Pool
	schema   string
	patience time.Duration // see acquire

	shape   shape         // the partitions there are, as far as this node knows
	making  chan struct{} // holds one while this node makes partitions
	retired node.Watermark
	full    atomic.Bool // the server had no room for a write, see Ready

	door *node.Door
}

var _ store.Movable = (*Engine)(nil)

// Open connects, brings the schema up to date and checks it, and makes
// partitions ahead. store.ErrUnavailable is worth another try, every other error
// is not.
func Open(ctx context.Context, cfg Config) (*Engine, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	pool, schema, err := newPool(ctx, cfg)
	if err != nil {
		return nil, err
	}
	e := &Engine{cfg: cfg, pool: pool, schema: schema, patience: patienceOf(pool), making: make(chan struct{}, 1), door: node.NewDoor()}
	if err := e.begin(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("postgres: open %s: %w", where(pool), repeatable(ctx, err))
	}
	return e, nil
}

func (cfg Config) withDefaults() (Config, error) {
	var errs []error
	if cfg.URL == "" {
		errs = append(errs, errors.New("postgres: Config.URL is empty: name the database"))
	}
	if cfg.Longest < 0 {
		errs = append(errs, fmt.Errorf("postgres: Config.Longest is %s: give a positive duration, or 0 for %s", cfg.Longest, defaultLongest))
	}
	if cfg.Longest == 0 {
		cfg.Longest = defaultLongest
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	return cfg, errors.Join(errs...)
}

// begin does what must be done before the first call.
func (e *Engine) begin(ctx context.Context) error {
	if err := e.connect(ctx); err != nil {
		return err
	}
	if err := e.migrate(ctx); err != nil {
		return err
	}
	if err := e.checkSchema(ctx); err != nil {
		return err
	}
	if err := e.renumberFeed(ctx); err != nil {
		return err
	}
	if err := e.loadShape(ctx); err != nil {
		return err
	}
	return e.makeAhead(ctx)
}

// repeatable is the error of what looks first at what is there: an outcome that
// is unknown is as good as none.
func repeatable(ctx context.Context, err error) error {
	switch {
	case !errors.Is(err, store.ErrUnknown):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return fmt.Errorf("%w: %s", store.ErrUnavailable, err.Error())
}

// Sessions implements store.Engine.
func (e *Engine) Sessions() store.Sessions { return sessions{e} }

// Documents implements store.Engine.
func (e *Engine) Documents() store.Documents { return documents{e} }

// Marks implements store.Engine.
func (e *Engine) Marks() store.Marks { return marks{e} }

// Revocations implements store.Engine.
func (e *Engine) Revocations() store.Revocations { return revocations{e} }

// Registry implements store.Engine.
func (e *Engine) Registry() store.Registry { return registry{e} }

// Clock implements store.Engine: the server's time. It also learns what other
// nodes have retired.
func (e *Engine) Clock(ctx context.Context) (now time.Time, err error) {
	if err := e.door.Enter(ctx); err != nil {
		return now, err
	}
	defer e.door.Leave()
	var retired int64
	if _, err := e.queryRow(ctx, plain(`SELECT clock_timestamp(), retired FROM meta`), nil, &now, &retired); err != nil {
		return now, fmt.Errorf("the store's clock: %w", err)
	}
	e.retired.Raise(retired)
	return now.UTC(), nil
}

// Close implements store.Engine. Closing twice is once.
func (e *Engine) Close() error {
	return e.door.Close(func() error {
		e.pool.Close()
		return nil
	})
}

// stamp writes Unix seconds for people.
func stamp(s int64) string { return time.Unix(s, 0).UTC().Format(time.RFC3339) }
