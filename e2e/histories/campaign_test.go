package histories

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/store/storetest"
)

// S5 asks for so many histories of each engine, and as many of the protocol on
// it.
const historiesEach = 1000

// mostAtOnce bounds the histories of one round.
const mostAtOnce = 20

// rig is one engine under test: its nodes, and what may befall it.
type rig struct {
	name   string
	stores []target
	wires  []wire
	faults []fault
}

// node adds an issuer over e, which stays open as long as the test, and runs
// it.
func (r *rig) node(t *testing.T, e store.Engine) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	is, err := newIssuer(ctx, e, nil)
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { _ = is.Run(ctx) }) // it returns nil
	t.Cleanup(func() { cancel(); running.Wait() })
	r.stores = append(r.stores, e)
	r.wires = append(r.wires, newWire(inProcess{is.Handler()}))
}

// campaign runs and judges histories of the store and of the protocol at once,
// a round for each fault, until there are enough.
func (r *rig) campaign(t *testing.T) {
	t.Helper()
	total, seed := storetest.Count(historiesEach), seedOf(t)
	rng := rand.New(rand.NewPCG(seed, 0))
	each := min(mostAtOnce, (total+len(r.faults)-1)/len(r.faults))
	stores, protocols := &tally{}, &tally{}
	for round := 0; stores.histories < total; round++ {
		f := r.faults[round%len(r.faults)]
		loads, flows := r.histories(t, round, each, rng)
		drive(t, append(loads, flows...), f, rng)
		stores.judge(t, loads, f, seed)
		protocols.judge(t, flows, f, seed)
		if t.Failed() {
			t.Fatalf("seed %d: stopped in round %d, under %q", seed, round, f.name)
		}
	}
	for _, f := range r.faults {
		onBoth := stores.disturbed[f.name] > 0 && protocols.disturbed[f.name] > 0
		onOne := stores.disturbed[f.name]+protocols.disturbed[f.name] > 0 // of a twentieth, a fault may miss one kind
		if f.breaks && !onBoth && (long() || !onOne) {
			t.Errorf("%q disturbed no operation: it shows nothing", f.name)
		}
	}
	t.Logf("%s: store: %s", r.name, stores)
	t.Logf("%s: protocol: %s", r.name, protocols)
}

// histories makes n histories of each level.
func (r *rig) histories(t *testing.T, round, n int, rng *rand.Rand) (loads, flows []driver) {
	t.Helper()
	codes, err := r.wires[0].codes(t.Context(), n*grantsEach)
	if err != nil {
		t.Fatal(err)
	}
	var nodes []issuing
	for _, w := range r.wires {
		nodes = append(nodes, w)
	}
	for i := range n {
		name := fmt.Sprintf("%s-%d-%d", r.name, round, i)
		loads = append(loads, newLoad(name, r.stores, rng.Uint64()))
		flows = append(flows, newProtocol(name, nodes, codes[i*grantsEach:][:grantsEach], rng.Uint64()))
	}
	return loads, flows
}
