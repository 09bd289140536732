package steady

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"

	"github.com/longcase/longcase/internal/plan"
	"github.com/longcase/longcase/store"
)

// kinds are the kinds of records that are measured at rest.
func kinds() []plan.Kind {
	return []plan.Kind{plan.Sessions, plan.Codes, plan.Logins, plan.Marks, plan.Revocations}
}

// lifeOf is how long the records of a kind live.
func lifeOf(kind plan.Kind) time.Duration {
	switch kind {
	case plan.Sessions, plan.Logins:
		return 12 * time.Hour
	case plan.Marks:
		return 2 * time.Minute
	default:
		return time.Hour
	}
}

// write makes the store keep n records of a kind, begun evenly over span, as they
// stand at the end of their life.
func (s *service) write(ctx context.Context, kind plan.Kind, n int, span time.Duration) error {
	for done := 0; done < n; done += s.writers {
		work := make([]func(context.Context) error, min(s.writers, n-done))
		for i := range work {
			work[i] = func(ctx context.Context) error { return s.one(ctx, kind) }
		}
		if err := s.all(ctx, work); err != nil {
			return err
		}
		s.clock.advance(span * time.Duration(len(work)) / time.Duration(n))
	}
	return nil
}

func (s *service) one(ctx context.Context, kind plan.Kind) error {
	now := s.clock.now()
	one := s.load.session(now)
	switch kind {
	case plan.Sessions:
		return s.engine.Sessions().Create(ctx, one)
	case plan.Codes:
		return s.engine.Documents().Put(ctx, used(s.load.code(now, one.Subject), one.ID))
	case plan.Logins:
		return s.engine.Documents().Put(ctx, s.load.login(now, one.Subject))
	case plan.Marks:
		return s.mark(ctx)
	default:
		return s.engine.Revocations().Add(ctx, store.Revocation{Kind: store.RevokedSession, Value: one.ID.String(), End: now.Add(s.load.Access + 11*time.Minute).Truncate(time.Second)})
	}
}

// AtRest measures what one record of a kind takes at rest, in an engine of its own
// or in one that was emptied.
type AtRest func(ctx context.Context, l Load, kind plan.Kind) (float64, error)

// Rest prints what one record of each kind takes at rest, in bytes, with names
// of 16 and 48 bytes and with 48 and 144 bytes of text that a client's sessions
// share.
func Rest(ctx context.Context, w io.Writer, engine string, measure AtRest) error {
	fmt.Fprintf(w, "%-12s %12s %12s %12s\n", engine, "name 16", "48", "16")
	fmt.Fprintf(w, "%-12s %12s %12s %12s\n", "", "shared 48", "48", "144")
	for _, kind := range kinds() {
		fmt.Fprintf(w, "%-12s", kind)
		for _, size := range [][2]int{{16, 48}, {48, 48}, {16, 144}} {
			l := Load{Load: plan.Load{Subject: size[0], Shared: size[1], Life: lifeOf(kind), Every: lifeOf(kind), Access: 49 * time.Minute}, Step: time.Second}
			n, err := measure(ctx, l, kind)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", engine, kind, err)
			}
			fmt.Fprintf(w, " %12.1f", n)
		}
		fmt.Fprintln(w)
	}
	return nil
}

// RestEmbedded measures in a directory below dir, all of it compacted.
func RestEmbedded(ctx context.Context, dir string) AtRest {
	const n = 100_000
	return func(_ context.Context, l Load, kind plan.Kind) (size float64, err error) {
		sub, err := os.MkdirTemp(dir, "rest-")
		if err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(sub)) }()
		c := newClock(start())
		e, err := openEmbedded(filepath.Join(sub, "store"), c) //nolint:contextcheck // the engine opens without one
		if err != nil {
			return 0, err
		}
		if err := errors.Join(newService(l, e, c, 64).write(ctx, kind, n, l.Life), e.Close()); err != nil {
			return 0, err
		}
		bytes, err := compacted(ctx, filepath.Join(sub, "store"))
		return bytes / n, err
	}
}

// compacted merges all of a store and returns the bytes of its tables.
func compacted(ctx context.Context, dir string) (float64, error) {
	o := &pebble.Options{FormatMajorVersion: pebble.FormatValueSeparation, Logger: quiet{}}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10) // as store/embedded/disk.go
	}
	db, err := pebble.Open(dir, o)
	if err != nil {
		return 0, err
	}
	err = db.Compact(ctx, []byte{0}, []byte{0xff}, true)
	return float64(db.Metrics().Total().TablesSize), errors.Join(err, db.Close())
}

type quiet struct{}

func (quiet) Infof(string, ...any)      {}
func (quiet) Errorf(string, ...any)     {}
func (quiet) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

// RestPostgres measures in a database that fresh makes anew: what the second
// many rows add, so that what each partition takes is left out.
func RestPostgres(fresh func() (Postgres, error)) AtRest {
	const few, many = 5_000, 25_000
	return func(ctx context.Context, l Load, kind plan.Kind) (size float64, err error) {
		p, err := fresh()
		if err != nil {
			return 0, err
		}
		c := newClock(start())
		e, err := p.open(ctx, c, longest(12*time.Hour))
		if err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, e.Close()) }()
		s := newService(l, e, c, 4)
		if err := s.write(ctx, kind, few, l.Life); err != nil {
			return 0, err
		}
		before, err := p.disk(ctx)
		if err != nil {
			return 0, err
		}
		c.advance(-l.Life)
		if err := s.write(ctx, kind, many, l.Life); err != nil {
			return 0, err
		}
		after, err := p.disk(ctx)
		return (after.Disk - before.Disk) / many, err
	}
}

// Part is what RestCassandra measures.
type Part int

// The parts.
const (
	Rows  Part = iota // of the table, compacted
	Over              // what is left of rows that are over, until gc_grace is
	Paxos             // what transactions leave in system.paxos
)

// RestCassandra measures in one keyspace; end ends it.
func RestCassandra(ctx context.Context, c Cluster, moved MovedClock, what Part) (measure AtRest, end func() error, err error) {
	const keyspace, n = "steady_rest", 4_000
	k, err := moved.clock()
	if err != nil {
		return nil, nil, err
	}
	e, err := c.open(ctx, keyspace, k.now)
	if err != nil {
		return nil, nil, err
	}
	merged := func(ctx context.Context, keyspace, table string) (float64, error) {
		if err := errors.Join(moved.follow(k), c.nodetool("flush", keyspace, table), c.nodetool("compact", keyspace, table)); err != nil {
			return 0, err
		}
		return settled(ctx, func() (int64, error) { return c.files(keyspace, table+"-") })
	}
	measure = func(ctx context.Context, l Load, kind plan.Kind) (float64, error) {
		in, table, before := keyspace, string(kind), 0.0
		if kind == plan.Codes || kind == plan.Logins {
			table = "documents"
		}
		if err := c.truncate(ctx, keyspace, table); err != nil {
			return 0, err
		}
		if what == Paxos {
			in, table = "system", "paxos"
			k.advance(4 * time.Hour) // what was there before is over
			if before, err = merged(ctx, in, table); err != nil {
				return 0, err
			}
		}
		if err := newService(l, e, k, 32).write(ctx, kind, n, min(l.Life, time.Hour)); err != nil {
			return 0, err
		}
		if what == Over {
			k.advance(l.Life + 15*time.Minute)
		}
		bytes, err := merged(ctx, in, table)
		return (bytes - before) / n, err
	}
	return measure, e.Close, nil
}

func (c Cluster) truncate(ctx context.Context, keyspace, table string) error {
	s, err := c.connect(keyspace)
	if err != nil {
		return err
	}
	defer s.Close()
	return s.Query("TRUNCATE " + table).ExecContext(ctx)
}
