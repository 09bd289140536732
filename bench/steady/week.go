package steady

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/longcase/longcase/internal/config"
	"github.com/longcase/longcase/internal/plan"
)

// Usual is a service whose users stay for half a day.
func Usual(rate float64) Load {
	return Load{Step: time.Minute, Load: plan.Load{
		Sessions: rate, Life: 12 * time.Hour, Idle: 12 * time.Hour, Used: 12 * time.Hour, Every: 5 * time.Hour, Access: time.Hour,
		Codes: true, Logins: 0.5, Revoked: 0.01, Assertions: 0.2, Subject: 24, Shared: 47,
	}}
}

// Hourly is one whose users stay for an hour.
func Hourly(rate float64) Load {
	l := Usual(rate)
	l.Life, l.Every = time.Hour, 25*time.Minute
	return l
}

// Place is where a benchmark finds the servers' scripts and leaves its files.
type Place struct {
	Root string // of the repository
	Dir  string // on the disk to measure
}

func (p Place) script(name string) string { return filepath.Join(p.Root, "servers", name) }

// Jars is where servers/cassandra keeps what it runs.
func (p Place) Jars() string { return filepath.Join(p.Root, ".cache", "cassandra", "jars") }

// Week runs each engine, the embedded one at ten token requests a second for a
// week of its time, prints what was measured beside what plan foresaw, and returns the lines of the graph.
func (p Place) Week(ctx context.Context, w io.Writer, part float64) ([]Line, error) {
	const week = 7 * 24 * time.Hour
	var lines []Line
	for _, one := range []struct {
		run   Run
		name  string
		color string
		dash  string
		on    func(context.Context, Run) (Result, error)
	}{
		{Run{Name: config.Embedded, Load: Usual(3.4 * part), Warm: 24 * time.Hour, For: week - 24*time.Hour, Each: 5 * time.Hour}, "Longcase, embedded store", "#1a7f37", "", p.embedded},
		{Run{Name: config.Postgres, Load: Usual(0.5 * part), Warm: 24 * time.Hour, For: week - 24*time.Hour, Each: 5 * time.Hour}, "Longcase on PostgreSQL", "#0969da", "7 3", p.postgres},
		{Run{Name: config.Cassandra, Load: Hourly(part), Setup: plan.Setup{GCGrace: 3 * time.Hour, Replicas: 1}, Warm: 310 * time.Minute, For: 530 * time.Minute, Each: 17 * time.Minute}, "Longcase on Cassandra (lives of an hour, gc_grace of three)", "#8250df", "2 3", p.cassandra},
	} {
		one.run.Early = true
		result, err := one.on(ctx, one.run)
		if err != nil {
			return nil, err
		}
		fmt.Fprintln(w, result)
		lines = append(lines, result.Line(one.name, one.color, one.dash))
	}
	return lines, nil
}

func (p Place) embedded(ctx context.Context, r Run) (Result, error) {
	return r.Embedded(ctx, filepath.Join(p.Dir, "embedded"))
}

func (p Place) postgres(ctx context.Context, r Run) (result Result, err error) {
	fresh, stop, err := p.StartPostgres(ctx)
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	database, err := fresh()
	if err != nil {
		return result, err
	}
	return r.Postgres(ctx, database)
}

func (p Place) cassandra(ctx context.Context, r Run) (result Result, err error) {
	c, moved, stop, err := p.StartCassandra(ctx)
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	return r.Cassandra(ctx, c, moved)
}

// StartPostgres starts a PostgreSQL; fresh makes its one database anew.
func (p Place) StartPostgres(ctx context.Context) (fresh func() (Postgres, error), stop func() error, err error) {
	dir := filepath.Join(p.Dir, "postgres")
	out, err := run(ctx, "LONGCASE_PG_OPTIONS="+ServerOptions, p.script("postgres"), "start", dir, "55499")
	if err != nil {
		return nil, nil, err
	}
	admin := Postgres{URL: strings.TrimSpace(out)}
	fresh = func() (Postgres, error) {
		err := errors.Join(admin.exec(ctx, "DROP DATABASE IF EXISTS steady WITH (FORCE)"), admin.exec(ctx, "CREATE DATABASE steady"))
		return Postgres{URL: strings.TrimSuffix(admin.URL, "/longcase") + "/steady", Dir: filepath.Join(dir, "data")}, err
	}
	return fresh, func() error { return stopped(p.script("postgres"), dir) }, nil
}

// StartCassandra starts a Cassandra whose clock can be moved.
func (p Place) StartCassandra(ctx context.Context) (c Cluster, moved MovedClock, stop func() error, err error) {
	if moved, err = NewMovedClock(p.Dir, p.Jars()); err != nil {
		return c, moved, nil, err
	}
	c = Cluster{Script: p.script("cassandra/cassandra"), Dir: filepath.Join(p.Dir, "cassandra")}
	if _, err := run(ctx, "JAVA_TOOL_OPTIONS="+moved.Options, c.Script, "start", c.Dir, "127.0.0.99"); err != nil {
		return c, moved, nil, err
	}
	return c, moved, func() error { return stopped(c.Script, c.Dir) }, nil
}

func run(ctx context.Context, variable, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.Stderr = append(os.Environ(), variable), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return string(out), nil
}

// stopped ends a server whatever the context says.
func stopped(script, dir string) error {
	if out, err := exec.Command(script, "stop", dir).CombinedOutput(); err != nil {
		return fmt.Errorf("%s stop %s: %w: %s", script, dir, err, out)
	}
	return nil
}
