package histories

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"testing"

	"github.com/longcase/longcase/store/embedded"
	"github.com/longcase/longcase/store/memory"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	r := &rig{name: "memory", faults: []fault{calm()}}
	e := memory.New(memory.Config{})
	t.Cleanup(func() { e.Close() })
	r.node(t, e)
	r.node(t, e)
	t.Run("histories", r.campaign)
}

// TestEmbedded has two issuers in the process of the engine: one process at a
// time may open it.
func TestEmbedded(t *testing.T) {
	t.Parallel()
	r := &rig{name: "embedded", faults: []fault{calm()}}
	e, err := embedded.Open(embedded.Config{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	r.node(t, e)
	r.node(t, e)
	t.Run("histories", r.campaign)
}

// TestEmbeddedKilled goes on with its histories after the process was killed
// and started again.
func TestEmbeddedKilled(t *testing.T) {
	t.Parallel()
	c := startChild(t, t.TempDir())
	r := &rig{name: "embedded-killed", stores: []target{c}, wires: []wire{c.wire()}}
	kill := fault{"kill", true, func(rng *rand.Rand) {
		for range 1 + rng.IntN(3) {
			c.kill()
			pause(rng, 1, 60)
			c.start()
			pause(rng, 30, 120)
		}
	}}
	stop := fault{"pause", false, func(rng *rand.Rand) {
		c.signal(stopped)
		pause(rng, 200, 2500)
		c.signal(continued)
	}}
	r.faults = []fault{kill, stop}
	t.Run("histories", r.campaign)
	t.Run("raced refreshes", func(t *testing.T) {
		m := newMember(t, func(context.Context) (wire, func(), error) { return c.wire(), func() {}, nil })
		(&race{members: []*member{m}, faults: repeated([]fault{kill, stop, kill}), trouble: &lines{}, goal: goalOf(1)}).run(t)
	})
}
