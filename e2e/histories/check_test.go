package histories

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// patience bounds the judging of one key; what is not judged by then counts as
// wrong.
const patience = time.Minute

// flaw is a key whose operations no order explains.
type flaw struct {
	key    key
	result porcupine.CheckResult
	model  porcupine.Model
	ops    []porcupine.Operation // the least that is still wrong
}

// flaws judges every key.
func (h *history) flaws() (all []flaw) {
	for k, ops := range h.ops {
		model := h.models[k.kind]
		result := porcupine.CheckOperationsTimeout(model, closed(ops), patience)
		switch result {
		case porcupine.Illegal:
			all = append(all, flaw{k, result, model, least(model, ops)})
		case porcupine.Unknown:
			all = append(all, flaw{k, result, model, ops})
		case porcupine.Ok:
		}
	}
	return all
}

// report fails the test if the history has a flaw, and shows it.
func (h *history) report(t *testing.T, seed uint64) {
	t.Helper()
	for _, w := range h.wrongs {
		t.Errorf("seed %d, history %s: %s", seed, h.name, w)
	}
	for _, f := range h.flaws() {
		path := filepath.Join(t.ArtifactDir(), strings.NewReplacer("/", "-", " ", "-").Replace(h.name+"-"+f.key.kind)+".html")
		_, info := porcupine.CheckOperationsVerbose(f.model, closed(f.ops), patience)
		if err := porcupine.VisualizePath(f.model, info, path); err != nil {
			t.Error(err)
		}
		t.Errorf("seed %d, history %s, %s %s: linearizable: %s\n%sdrawn in %s", seed, h.name, f.key.kind, f.key.name, f.result, listing(f.ops), path)
	}
}

// listing writes operations a line each, in the order of their calls.
func listing(ops []porcupine.Operation) string {
	ops = slices.Clone(ops)
	slices.SortFunc(ops, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	var b strings.Builder
	for _, o := range ops {
		from := time.Duration(o.Call - ops[0].Call)
		until := time.Duration(o.Return - ops[0].Call).String()
		if o.Output.(output).Err == unknown {
			until = "…"
		}
		fmt.Fprintf(&b, "  %12s to %12s  client %d  %s\n", from, until, o.ClientId, describe(o.Input.(input), o.Output.(output)))
	}
	return b.String()
}

// least is the shortest beginning of ops that is wrong already, without the
// operations that change nothing and are not needed to show it.
func least(model porcupine.Model, ops []porcupine.Operation) []porcupine.Operation {
	illegal := func(ops []porcupine.Operation) bool {
		return porcupine.CheckOperationsTimeout(model, closed(ops), patience) == porcupine.Illegal
	}
	ends := returnsOf(ops)
	at, _ := slices.BinarySearchFunc(ends, true, func(end int64, _ bool) int {
		if illegal(until(ops, end)) {
			return 0
		}
		return -1
	})
	if at < len(ends) {
		ops = until(ops, ends[at])
	}
	for i := len(ops) - 1; i >= 0; i-- {
		without := slices.Delete(slices.Clone(ops), i, i+1)
		if idle(ops[i]) && illegal(without) {
			ops = without
		}
	}
	return ops
}

func returnsOf(ops []porcupine.Operation) (ends []int64) {
	for _, o := range ops {
		if o.Output.(output).Err != unknown {
			ends = append(ends, o.Return)
		}
	}
	slices.Sort(ends)
	return ends
}

// until is what was known at end: calls under way then have no outcome yet.
func until(ops []porcupine.Operation, end int64) (kept []porcupine.Operation) {
	for _, o := range ops {
		switch {
		case o.Call > end:
			continue
		case o.Return > end && o.Input.(input).Op == opRead:
			continue
		case o.Return > end:
			o.Output = output{Err: unknown}
		}
		kept = append(kept, o)
	}
	return kept
}

// idle reports whether o certainly changed nothing, so that a history is no
// more wrong without it.
func idle(o porcupine.Operation) bool {
	out, in := o.Output.(output), o.Input.(input)
	switch {
	case in.Op == opRead:
		return true
	case in.Op == opRedeem, in.Op == opRefresh, in.Op == opRevoke, out.Err == unknown:
		return false
	default:
		return out.Err != done || in.Op == opFirst && !out.First
	}
}
