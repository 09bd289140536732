package cassandra

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/longcase/longcase/internal/servertest"
	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/store/storetest"
)

// testPace is short: the suite sets stores read only again and again.
func testPace() pace {
	return pace{poll: 50 * time.Millisecond, stale: 300 * time.Millisecond, settle: 700 * time.Millisecond, watch: 50 * time.Millisecond}
}

// house is a cluster whose tests share one keyspace, each in a space of its own.
type house struct {
	*servertest.Cassandra
	cfg    Config
	link   link
	spaces atomic.Int64
	ca     authority     // of the node's certificate, since killed
	opens  func(n int64) // called before the n-th space begins, if it is there
}

func newHouse(t *testing.T, c *servertest.Cassandra) *house {
	h := &house{Cassandra: c, cfg: Config{Hosts: c.Hosts, Keyspace: "longcase", Log: slog.New(slog.DiscardHandler)}}
	h.cfg.User, h.cfg.Password = "cassandra", "cassandra" // as long as nobody asks, they do no harm
	h.link = h.mustOpen(t, h.cfg).link
	return h
}

// mustOpen tries as long as it is worth it, as a server that starts does: a
// node that has just begun may be slow.
func (h *house) mustOpen(t *testing.T, cfg Config) *Engine {
	t.Helper()
	e, err := patiently(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func patiently(ctx context.Context, cfg Config) (e *Engine, err error) {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if e, err = Open(ctx, cfg); !errors.Is(err, store.ErrUnavailable) {
			break
		}
	}
	return e, err
}

const patience = 3 * time.Minute

// open begins an engine in a space of its own.
func (h *house) open(tb testing.TB, now func() time.Time) *Engine {
	n := h.spaces.Add(1)
	if h.opens != nil {
		h.opens(n)
	}
	return h.openIn(tb, now, fmt.Appendf(nil, "%06x", n))
}

func (h *house) openIn(tb testing.TB, now func() time.Time, space []byte) *Engine {
	tb.Helper()
	cfg, err := h.cfg.withDefaults()
	if err != nil {
		tb.Fatal(err)
	}
	if now != nil {
		cfg.Now = now
	}
	e, err := newEngine(tb.Context(), cfg, h.link, testPace(), space)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { e.Close() })
	return e
}

func (h *house) suite(t *testing.T) {
	if os.Getenv("LONGCASE_LONG") != "1" {
		defer flag.Set("rapid.checks", flag.Lookup("rapid.checks").Value.String())
		flag.Set("rapid.checks", "10") // every step of the model lists the whole table
	}
	storetest.Run(t, h.traits(), func(tb testing.TB, cfg storetest.Config) store.Engine { return h.open(tb, cfg.Now) })
}

func (h *house) traits() storetest.Traits {
	return storetest.Traits{
		Uncounted: true,
		Again: func(tb testing.TB, e store.Engine, cfg storetest.Config) store.Engine {
			return h.openIn(tb, cfg.Now, e.(*Engine).space)
		},
		Forever: forever,
	}
}

// forever lists the columns without a TTL.
func forever(tb testing.TB, of store.Engine) (all []string) {
	e := of.(*Engine)
	for _, t := range schema() {
		if t.name == "registry" || t.name == "state" {
			continue
		}
		for _, column := range t.ofKind("regular") {
			q := e.session.Query(fmt.Sprintf("SELECT %s, TTL(%s), WRITETIME(%s) FROM %s", t.ofKind("partition_key")[0], column, column, t.name))
			err := e.each(tb.Context(), "look for what stays", q, func(scan func(...any) error) error {
				var key []byte
				var left, written *int64
				err := scan(&key, &left, &written)
				if strings.HasPrefix(string(key), string(e.space)) && left == nil && written != nil {
					all = append(all, fmt.Sprintf("%s of %x in %s", column, key, t.name))
				}
				return err
			})
			if err != nil {
				tb.Fatal(err)
			}
		}
	}
	return all
}

// tombstones are what one read may meet at the cluster under test.
const tombstones = 1000

func TestOneNode(t *testing.T) {
	t.Parallel() // beside tests that wait for nobody
	h := newHouse(t, servertest.StartCassandra(t, 1, fmt.Sprint("tombstone_failure_threshold: ", tombstones)))
	t.Run("as it runs", func(t *testing.T) {
		t.Run("keeps the contract", beside(h.suite))
		t.Run("traps", beside(h.traps))
		t.Run("beside nodes that are down", beside(h.ghosts))
	})
	t.Run("a stretch that is too much is read in halves", h.halves) // nobody reads past what it leaves
	t.Run("schema", h.schema)
	t.Run("a node that is silent for a while", h.paused)
	t.Run("a node that dies and comes back", h.killed)
	t.Run("a password that is asked for", h.password)
	t.Run("TLS", h.tls)
}

// beside runs a test at the same time as its neighbours.
func beside(test func(*testing.T)) func(*testing.T) {
	return func(t *testing.T) {
		t.Parallel()
		test(t)
	}
}
