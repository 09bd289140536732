package histories

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/longcase/longcase/internal/servertest"
	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/store/cassandra"
	"github.com/longcase/longcase/store/postgres"
	"github.com/longcase/longcase/store/storetest"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// opening bounds the attempts to open an engine.
const opening = 2 * time.Minute

// open opens an engine; one that cannot be reached is tried again.
func open[E store.Engine](ctx context.Context, once func(ctx context.Context) (E, error)) (store.Engine, error) {
	ctx, cancel := context.WithTimeout(ctx, opening)
	defer cancel()
	for {
		e, err := once(ctx)
		if err == nil {
			return e, nil
		}
		if !errors.Is(err, store.ErrUnavailable) || ctx.Err() != nil {
			return nil, err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func mustOpen(t *testing.T, engine func(ctx context.Context) (store.Engine, error)) store.Engine {
	t.Helper()
	e, err := engine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return e
}

// TestPostgres has nodes on engines of their own, each behind its own link to
// one server.
func TestPostgres(t *testing.T) {
	t.Parallel()
	server := servertest.StartPostgres(t, "")
	server.CreateDatabase("histories")
	server.CreateDatabase("races")
	links := []*link{newLink(t, "127.0.0.1:0", server.Address()), newLink(t, "127.0.0.1:0", server.Address())}
	engine := func(l *link, database string) func(ctx context.Context) (store.Engine, error) {
		return func(ctx context.Context) (store.Engine, error) {
			return open(ctx, func(ctx context.Context) (*postgres.Engine, error) {
				url := strings.Replace(server.URL(database), server.Address(), l.address(), 1)
				return postgres.Open(ctx, postgres.Config{URL: url, Log: quiet()})
			})
		}
	}
	kill := fault{"kill", true, func(rng *rand.Rand) {
		server.Kill()
		pause(rng, 1, 200)
		server.Start()
		pause(rng, 20, 200)
	}}
	still := fault{"pause", false, func(rng *rand.Rand) {
		server.Pause()
		pause(rng, 200, 2600)
		server.Resume()
	}}
	t.Run("histories", func(t *testing.T) {
		r := &rig{name: "postgres", faults: append(links[0].faults(), calm(), kill, still)}
		for _, l := range links {
			r.node(t, mustOpen(t, engine(l, "histories")))
		}
		r.campaign(t)
	})
	t.Run("raced refreshes", func(t *testing.T) {
		races(t, []fault{kill, {"cut", true, links[0].cut}, still}, engine(links[0], "races"), engine(links[1], "races"))
	})
}

// races runs the two topologies of I5: one node, and three.
func races(t *testing.T, faults []fault, engines ...func(ctx context.Context) (store.Engine, error)) {
	t.Helper()
	for _, nodes := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d nodes", nodes), func(t *testing.T) {
			x := &race{trouble: &lines{}, goal: goalOf(2)}
			for i := range nodes {
				x.members = append(x.members, newMember(t, opener(x.trouble, engines[i%len(engines)])))
			}
			node := fault{"kill of a node", true, func(*rand.Rand) {
				if err := x.members[nodes-1].restart(); err != nil {
					t.Error(err)
				}
			}}
			x.faults = repeated(append([]fault{node}, faults...))
			x.run(t)
		})
	}
}

// TestCassandra has one server behind a link, and with LONGCASE_LONG three of
// which one at a time is killed or paused. The commit log is synced before an
// answer, as it is for whoever wants no acknowledged write lost.
func TestCassandra(t *testing.T) {
	t.Parallel()
	if err := os.Setenv("LONGCASE_CASSANDRA_SYNC", "group"); err != nil { // nobody else here starts one
		t.Fatal(err)
	}
	t.Run("one server", func(t *testing.T) {
		front := fmt.Sprintf("127.%d.%d.200", 10+rand.IntN(240), rand.IntN(256))
		// It takes the link for its own address, so that the driver finds no
		// other way.
		c := cluster{servertest.StartCassandra(t, 1, "broadcast_rpc_address: "+front), "cassandra", []string{front}}
		l := newLink(t, net.JoinHostPort(front, "9042"), net.JoinHostPort(c.Hosts[0], "9042"))
		raced := []fault{{"cut", true, l.cut}, c.pause()}
		if long() {
			raced = append(raced, c.kill()) // a start takes long
		}
		c.run(t, append(l.faults(), calm(), c.kill(), c.pause()), raced)
	})
	if long() {
		t.Run("three servers", func(t *testing.T) {
			three := servertest.StartCassandra(t, 3)
			c := cluster{three, "cassandra-of-three", three.Hosts}
			c.run(t, []fault{c.kill(), calm(), c.pause()}, []fault{c.kill(), c.pause()})
		})
	}
}

// long reports whether everything is to be run.
func long() bool { return storetest.Count(2) == 2 }

// cluster is Cassandra and how engines reach it.
type cluster struct {
	*servertest.Cassandra
	name  string
	hosts []string
}

func (c cluster) run(t *testing.T, histories, raced []fault) {
	engine := func(keyspace string) func(ctx context.Context) (store.Engine, error) {
		return func(ctx context.Context) (store.Engine, error) {
			return open(ctx, func(ctx context.Context) (*cassandra.Engine, error) {
				return cassandra.Open(ctx, cassandra.Config{Hosts: c.hosts, Keyspace: keyspace, LocalDC: "datacenter1", Log: quiet()})
			})
		}
	}
	t.Run("histories", func(t *testing.T) {
		r := &rig{name: c.name, faults: histories}
		for range 2 {
			r.node(t, mustOpen(t, engine("histories")))
		}
		r.campaign(t)
	})
	t.Run("raced refreshes", func(t *testing.T) { races(t, raced, engine("races")) })
}

func (c cluster) kill() fault {
	return fault{"kill", true, func(rng *rand.Rand) {
		i := rng.IntN(len(c.Hosts))
		c.Kill(i)
		pause(rng, 1, 300)
		c.Start(i)
		pause(rng, 100, 1000)
	}}
}

func (c cluster) pause() fault {
	return fault{"pause", false, func(rng *rand.Rand) {
		i := rng.IntN(len(c.Hosts))
		c.Pause(i)
		pause(rng, 200, 2600)
		c.Resume(i)
	}}
}
