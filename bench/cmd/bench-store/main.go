// Command bench-store prints durable rotations per second on the embedded engine
// over the disk's own fsync rate (goal S1), those on PostgreSQL and Cassandra over
// the bare statement, and what it costs to retire ended sessions (goal S2). Its
// argument is a directory on the disk to measure (default: the current one).
//
//	go run ./cmd/bench-store -engines postgres -only retire -sessions 100000
//
// It starts its own PostgreSQL and Cassandra by the scripts in servers/.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"

	"github.com/longcase/longcase/bench/store"
)

func main() {
	root := flag.String("root", "..", "the repository")
	only := flag.String("only", "", "rotate or retire; default both")
	engines := flag.String("engines", strings.Join(all(), ","), "which ones, in this order")
	sessions := flag.Int("sessions", 0, "how many ended sessions are retired; default 1,000,000")
	flag.Parse()
	dir := "."
	if flag.NArg() > 0 {
		dir = flag.Arg(0)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	r := run{w: os.Stdout, root: *root, rotate: *only != "retire", retire: *only != "rotate", retirement: store.Retirement{Sessions: *sessions}}
	err := r.engines(ctx, strings.Split(*engines, ","), dir)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-store:", err)
		os.Exit(1)
	}
}

func all() []string { return []string{"embedded", "postgres", "cassandra"} }

// run is what was asked for.
type run struct {
	w              io.Writer
	root           string
	rotate, retire bool
	rotation       store.Rotation
	retirement     store.Retirement
}

func (r run) engines(ctx context.Context, names []string, dir string) (err error) {
	for _, name := range names {
		if !slices.Contains(all(), name) {
			return fmt.Errorf("there is no engine %q: name some of %s", name, strings.Join(all(), ", "))
		}
	}
	if dir, err = os.MkdirTemp(dir, "bench-store-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // PostgreSQL may run as another user, who enters it
		return err
	}
	servers := store.Servers{Root: r.root, Dir: dir}
	for _, name := range names {
		switch name {
		case "embedded":
			err = r.embedded(ctx, dir)
		case "postgres":
			err = r.postgres(ctx, servers)
		case "cassandra":
			err = r.cassandra(ctx, servers)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (r run) embedded(ctx context.Context, dir string) error {
	return r.both(
		func() error { return r.rotation.Embedded(ctx, r.w, dir) },
		func() error { return r.retirement.Embedded(ctx, r.w, dir) })
}

func (r run) postgres(ctx context.Context, servers store.Servers) error {
	server, stop, err := servers.Postgres(ctx)
	if err != nil {
		return err
	}
	return errors.Join(r.both(
		func() error { return r.rotation.Postgres(ctx, r.w, server) },
		func() error { return r.retirement.Postgres(ctx, r.w, server) }), stop())
}

// cassandra has nothing to retire: rows end by themselves.
func (r run) cassandra(ctx context.Context, servers store.Servers) error {
	if !r.rotate {
		return nil
	}
	host, stop, err := servers.Cassandra(ctx)
	if err != nil {
		return err
	}
	return errors.Join(r.both(func() error { return r.rotation.Cassandra(ctx, r.w, host) }, nil), stop())
}

// both does what was asked for.
func (r run) both(rotate, retire func() error) error {
	if r.rotate {
		if err := rotate(); err != nil {
			return err
		}
		fmt.Fprintln(r.w)
	}
	if r.retire && retire != nil {
		if err := retire(); err != nil {
			return err
		}
		fmt.Fprintln(r.w)
	}
	return nil
}
