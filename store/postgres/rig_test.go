package postgres

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/longcase/longcase/internal/servertest"
	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/store/storetest"
)

// server is the PostgreSQL of this package's tests; each engine has a schema of
// its own there. Only what must not be shared starts another.
var server *servertest.Postgres

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("rapid.checks", strconv.Itoa(storetest.Count(400))); err != nil {
		panic(err)
	}
	p := &process{}
	server = servertest.StartPostgres(p, "-c fsync=off -c autovacuum_naptime=1s")
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent(), goleak.Cleanup(func(code int) {
		p.end()
		os.Exit(code)
	}))
}

// process is a testing.TB that lives as long as all tests together.
type process struct {
	testing.TB
	cleanups []func()
}

func (p *process) Helper()          {}
func (p *process) Cleanup(f func()) { p.cleanups = append(p.cleanups, f) }

func (p *process) Fatal(args ...any) {
	p.end()
	fmt.Fprintln(os.Stderr, args...)
	os.Exit(1)
}

func (p *process) Fatalf(format string, args ...any) { p.Fatal(fmt.Sprintf(format, args...)) }

func (p *process) end() {
	for i := len(p.cleanups) - 1; i >= 0; i-- {
		p.cleanups[i]()
	}
}

var schemas atomic.Int64

// newSchema names a schema that is dropped with the test, and its URL.
func newSchema(tb testing.TB, s *servertest.Postgres) (url string) {
	name := fmt.Sprintf("s%d", schemas.Add(1))
	url = s.URL("postgres") + "?search_path=" + name
	tb.Cleanup(func() { execute(tb, s.URL("postgres"), "DROP SCHEMA IF EXISTS "+name+" CASCADE") })
	return url
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func open(tb testing.TB, cfg Config) *Engine {
	tb.Helper()
	if cfg.Log == nil {
		cfg.Log = quiet()
	}
	e, err := Open(context.Background(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { e.Close() })
	return e
}

// fresh opens an engine on a schema of its own.
func fresh(tb testing.TB) *Engine {
	tb.Helper()
	return open(tb, Config{URL: newSchema(tb, server), Longest: 3 * time.Hour})
}

// execute runs SQL on a connection of its own.
func execute(tb testing.TB, url, sql string) {
	tb.Helper()
	c := dial(tb, url)
	defer c.Close(context.Background())
	if _, err := c.Exec(context.Background(), sql); err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
}

func dial(tb testing.TB, url string) *pgx.Conn {
	tb.Helper()
	c, err := pgx.Connect(context.Background(), url)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// session makes a session that ends after life; it is not written.
func session(now time.Time, life time.Duration) store.Session {
	end := now.Add(life).Truncate(time.Second)
	return store.Session{ID: store.NewID(now, end), End: end, Generation: 1, Client: "web-app", Subject: "alice", Data: []byte(`{"aud":"b"}`)}
}

// rotated is one at its next generation.
func rotated(one store.Session) store.Session {
	one.Generation++
	return one
}
