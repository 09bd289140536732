package histories

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// mostTries is how many histories a control may need to be caught.
const mostTries = 200

// TestBrokenEnginesAreCaught is the test of this test: each defect must show in
// some history, and without a defect none may.
func TestBrokenEnginesAreCaught(t *testing.T) {
	tests := []struct {
		name   string
		defect defect
	}{
		{"a compare-and-set that checks, then writes", checksThenWrites},
		{"a document that is found, then consumed", findsThenConsumes},
		{"a mark that is looked for, then made", looksThenMarks},
		{"a rotation that undoes a revoke", undoesRevoke},
		{"a conflict that was a write", conflictButWritten},
		{"a write that was said not to be done", absentButWritten},
		{"an acknowledged write that was lost", losesAcknowledged},
		{"a stale read", readsStale},
		{"marks forgotten in a restart", forgetsMarks},
		{"half a record", tearsRecords},
		{"a feed that skips late commits", skipsLateCommits},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			caughtOnce(t, func(seed uint64) string { return toyHistory(t, tt.defect, seed) })
		})
	}
	t.Run("an engine without a defect is not", func(t *testing.T) {
		t.Parallel()
		neverCaught(t, 40, func(seed uint64) string { return toyHistory(t, sound, seed) })
	})
}

// toyHistory runs one history over a toy that is restarted meanwhile, and
// returns what is wrong with it.
func toyHistory(t *testing.T, d defect, seed uint64) string {
	t.Helper()
	e := newToy(d, seed)
	l := newLoad(fmt.Sprintf("toy-%d", seed), []target{e}, seed)
	restart := fault{"restart", false, func(rng *rand.Rand) { time.Sleep(5 * time.Millisecond); e.restart() }}
	drive(t, []driver{l}, restart, rand.New(rand.NewPCG(seed, 3)))
	return l.first()
}

// first is the first thing wrong with a history, or nothing.
func (h *history) first() string {
	for _, w := range h.wrongs {
		return w
	}
	for _, f := range h.flaws() {
		return fmt.Sprintf("%s: linearizable: %s\n%s", f.key.kind, f.result, listing(f.ops))
	}
	return ""
}

// TestBrokenIssuersAreCaught breaks the protocol in a toy, and the engine below
// the real issuer.
func TestBrokenIssuersAreCaught(t *testing.T) {
	toys := []struct {
		name    string
		mistake mistake
	}{
		{"a grace that takes any ancestor", anyAncestor},
		{"a grace that forks", forks},
		{"a session that is found, then rotated", rotatesTwice},
		{"a code that is found, then consumed", redeemsTwice},
		{"a revoked session that yields again", outlives},
	}
	for _, tt := range toys {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			caughtOnce(t, func(seed uint64) string { return toyProtocol(t, tt.mistake, seed) })
		})
	}
	engines := []struct {
		name   string
		defect defect
	}{
		{"the real issuer on a compare-and-set that checks, then writes", checksThenWrites},
		{"the real issuer on a document that is found, then consumed", findsThenConsumes},
		{"the real issuer on a rotation that undoes a revoke", undoesRevoke},
		{"the real issuer on an acknowledged write that was lost", losesAcknowledged},
	}
	for _, tt := range engines {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			caughtOnce(t, func(seed uint64) string { return brokenBelow(t, tt.defect, seed) })
		})
	}
	t.Run("a right one is not", func(t *testing.T) {
		t.Parallel()
		neverCaught(t, 20, func(seed uint64) string { return toyProtocol(t, right, seed) })
	})
	t.Run("the real issuer on a sound engine is not", func(t *testing.T) {
		t.Parallel()
		neverCaught(t, 20, func(seed uint64) string { return brokenBelow(t, sound, seed) })
	})
}

func toyProtocol(t *testing.T, m mistake, seed uint64) string {
	t.Helper()
	codes := []string{"a", "b", "c"}
	p := newProtocol(fmt.Sprintf("toy-%d", seed), []issuing{newToyIssuers(m, codes, seed)}, codes, seed)
	drive(t, []driver{p}, calm(), rand.New(rand.NewPCG(seed, 3)))
	return p.first()
}

// brokenBelow runs a history of two real issuers over one toy engine.
func brokenBelow(t *testing.T, d defect, seed uint64) string {
	t.Helper()
	e := newToy(d, seed)
	var nodes []issuing
	var codes []string
	for range 2 {
		is, err := newIssuer(t.Context(), e, nil)
		if err != nil {
			t.Fatal(err)
		}
		node := newWire(inProcess{is.Handler()})
		if codes, err = node.codes(t.Context(), grantsEach); err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, node)
	}
	p := newProtocol(fmt.Sprintf("broken-%d", seed), nodes, codes, seed)
	drive(t, []driver{p}, calm(), rand.New(rand.NewPCG(seed, 3)))
	return p.first()
}

// caughtOnce tries until history finds something.
func caughtOnce(t *testing.T, history func(seed uint64) string) {
	t.Helper()
	seed := seedOf(t)
	for n := range mostTries {
		if caught := history(seed + uint64(n)); caught != "" {
			t.Logf("caught by history %d:\n%s", n+1, caught)
			return
		}
	}
	t.Errorf("%d histories and none shows it", mostTries)
}

// neverCaught tries often and wants nothing found.
func neverCaught(t *testing.T, times int, history func(seed uint64) string) {
	t.Helper()
	seed := seedOf(t)
	for n := range times {
		if caught := history(seed + uint64(n)); caught != "" {
			t.Fatalf("history %d:\n%s", n+1, caught)
		}
	}
}
