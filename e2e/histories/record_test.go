package histories

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/longcase/longcase/store"
)

// op names what a client asks for.
type op string

const (
	opCreate  op = "create"
	opRead    op = "read"
	opReplace op = "replace"
	opRevoke  op = "revoke"
	opFirst   op = "first"
	opRedeem  op = "redeem"
	opRefresh op = "refresh"
	opOver    op = "over" // not asked for: ends every history, see sequential
)

// input is what a client asked for.
type input struct {
	Op    op
	Old   uint64 // the version expected
	Next  uint64 // the version to be written
	Value string // what is written or presented
	Ended bool

	Call instant
	End  instant // when the record is over; 0: not while the history lasts
}

// output is what it was told.
type output struct {
	Err     outcome
	Version uint64
	Value   string
	Ended   bool
	First   bool

	Return instant
}

// outcome is how a call ended.
type outcome string

const (
	done     outcome = ""
	conflict outcome = "conflict"
	notFound outcome = "not found"
	ended    outcome = "ended"
	invalid  outcome = "invalid_grant"
	unknown  outcome = "unknown"  // it may take effect at any time from its call, or never
	not      outcome = "not done" // it certainly never does
	wrong    outcome = "wrong"    // no engine may answer this here
)

// instant is nanoseconds since began.
type instant int64

var began = time.Now()

func now() instant                  { return instant(time.Since(began)) }
func instantOf(t time.Time) instant { return instant(t.Sub(began)) }

// outcomeOf sorts the errors of a store.
func outcomeOf(err error) outcome {
	switch {
	case err == nil:
		return done
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrClosed):
		return not
	case errors.Is(err, store.ErrUnknown), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return unknown
	case errors.Is(err, store.ErrConflict):
		return conflict
	case errors.Is(err, store.ErrNotFound):
		return notFound
	case errors.Is(err, store.ErrEnded):
		return ended
	case errors.Is(err, store.ErrTooLate), errors.Is(err, store.ErrTooLarge), errors.Is(err, store.ErrFull),
		errors.Is(err, store.ErrReadOnly), errors.Is(err, store.ErrSchema), errors.Is(err, store.ErrLocked):
		return wrong
	default: // of the network
		return unknown
	}
}

// history is what the clients of a few keys asked for and were told.
type history struct {
	name   string
	models map[string]porcupine.Model // by the kind of a key

	mu      sync.Mutex
	ops     map[key][]porcupine.Operation
	wrongs  []string // what needs no model to be judged
	unknown int
	undone  int // calls that failed, for whatever is no answer of the contract
	aliases map[string]string
}

// key is one record.
type key struct{ kind, name string }

func newHistory(name string, models map[string]porcupine.Model) *history {
	return &history{name: name, models: models, ops: map[key][]porcupine.Operation{}, aliases: map[string]string{}}
}

// do calls, and records what was asked for and told. It returns what was told.
func (h *history) do(client int, k key, in input, call func() (output, error)) output {
	in.Call = now()
	out, err := call()
	out.Return = now()
	if out.Err == done {
		out.Err = outcomeOf(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil && (out.Err == not || out.Err == unknown) && (!givenUp(err) || out.Return-in.Call >= soon) {
		h.undone++
	}
	switch {
	case out.Err == wrong:
		h.wrongs = append(h.wrongs, fmt.Sprintf("%s %s: %s: %v", k.kind, k.name, describe(in, out), err))
		return out
	case out.Err == not, out.Err == unknown && in.Op == opRead:
		return out // says nothing
	case out.Err == unknown:
		h.unknown++
		out.Version, out.Value, out.Ended, out.First = 0, "", false, false
	}
	h.ops[k] = append(h.ops[k], porcupine.Operation{ClientId: client, Input: in, Call: int64(in.Call), Output: out, Return: int64(out.Return)})
	return out
}

// fault records what no order of operations can explain.
func (h *history) fault(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wrongs = append(h.wrongs, fmt.Sprintf(format, args...))
}

// alias names a long text by the order in which it was first seen.
func (h *history) alias(text string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.aliases[text]; !ok {
		h.aliases[text] = fmt.Sprintf("t%d", len(h.aliases)+1)
	}
	return h.aliases[text]
}

// counts says how many operations were recorded, how many of them have no known
// outcome, and how many calls failed.
func (h *history) counts() (recorded, unknown, undone int) {
	for _, ops := range h.ops {
		recorded += len(ops)
	}
	return recorded, h.unknown, h.undone
}

// soon is how early a client gives up that gives up for no reason; a busy
// machine takes its time to say so.
const soon = instant(1800 * time.Millisecond)

// givenUp reports whether it was the caller who ended a call.
func givenUp(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// closed is ops with the end of the history: what is unknown lasts beyond it.
func closed(ops []porcupine.Operation) []porcupine.Operation {
	var last int64
	for _, o := range ops {
		last = max(last, o.Call)
		if o.Output.(output).Err != unknown {
			last = max(last, o.Return)
		}
	}
	all := slices.Clone(ops)
	for i := range all {
		if all[i].Output.(output).Err == unknown {
			all[i].Return = last + 3
		}
	}
	return append(all, porcupine.Operation{Input: input{Op: opOver}, Call: last + 1, Output: output{}, Return: last + 2})
}
