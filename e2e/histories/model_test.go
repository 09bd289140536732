package histories

import (
	"fmt"
	"strings"

	"github.com/anishathalye/porcupine"
)

// sequential is what one key does when its operations come one after the other.
type sequential[S comparable] func(S, input) (S, output)

// judge reports whether out may follow in at s, and what is then.
type judge[S comparable] func(s S, in input, out output) (S, bool)

// phase is a state, and whether every operation whose outcome is known is past.
type phase[S comparable] struct {
	State S
	Over  bool
}

// judge compares what was told with what must be. A record whose end has passed
// is gone for calls that return later, whatever its state.
func (next sequential[S]) judge(s S, in input, out output) (S, bool) {
	after, want := next(s, in)
	switch {
	case out.Err == unknown:
		return after, true
	case in.End > 0 && out.Return >= in.End && (out.Err == notFound || out.Err == ended):
		return s, true
	case in.End > 0 && in.Call >= in.End:
		return s, false
	}
	want.Return = out.Return
	return after, out == want
}

// modelOf has judge step through a history. An operation of unknown outcome is
// placed where it changes something; one that never did comes when all is over.
// That explains as much as placing it anywhere, with less to try.
func modelOf[S comparable](rule judge[S]) porcupine.Model {
	step := func(s phase[S], in input, out output) (bool, phase[S]) {
		switch {
		case in.Op == opOver:
			return true, phase[S]{s.State, true}
		case out.Err == unknown && s.Over:
			return true, s
		}
		after, ok := rule(s.State, in, out)
		return ok && (out.Err != unknown || after != s.State), phase[S]{after, s.Over}
	}
	return porcupine.Model{
		Init: func() any { return phase[S]{} },
		Step: func(s, in, out any) (bool, any) {
			ok, after := step(s.(phase[S]), in.(input), out.(output))
			return ok, after
		},
		DescribeOperation: func(in, out any) string { return describe(in.(input), out.(output)) },
		DescribeState:     func(s any) string { return fmt.Sprintf("%+v", s.(phase[S]).State) },
	}
}

// describe writes one operation for people.
func describe(in input, out output) string {
	if in.Op == opOver {
		return "(over)"
	}
	var b strings.Builder
	b.WriteString(string(in.Op))
	for _, part := range []struct {
		there bool
		text  string
	}{
		{in.Next > 0 || in.Old > 0, fmt.Sprintf("%d->%d", in.Old, in.Next)}, {in.Value != "", in.Value}, {in.Ended, "ended"},
		{true, "="}, {out.Err != done, string(out.Err)}, {in.Op == opFirst && out.Err == done, fmt.Sprint(out.First)},
		{in.Op == opRead && out.Err == done, fmt.Sprintf("%d", out.Version)}, {out.Value != "", out.Value}, {out.Ended, "ended"},
	} {
		if part.there {
			b.WriteString(" " + part.text)
		}
	}
	return b.String()
}

// record is a session, a document or an entry of the registry.
type record struct {
	There   bool
	Version uint64
	Ended   bool
	Value   string
}

// sessions is store.Sessions for one id.
func sessions(s record, in input) (record, output) {
	switch {
	case in.Op == opCreate && s.There:
		return s, output{Err: conflict}
	case in.Op == opCreate:
		return record{There: true, Version: 1, Value: in.Value}, output{}
	case in.Op == opReplace && (!s.There || s.Ended || s.Version != in.Old || in.Next != in.Old+1):
		return s, output{Err: conflict}
	case in.Op == opReplace:
		return record{true, in.Next, in.Ended, in.Value}, output{}
	case !s.There:
		return s, output{Err: notFound}
	case in.Op == opRevoke:
		s.Ended = true
		return s, output{}
	default:
		return s, output{Version: s.Version, Value: s.Value, Ended: s.Ended}
	}
}

// documents is store.Documents for one id.
func documents(s record, in input) (record, output) {
	switch {
	case in.Op == opCreate && s.There, in.Op == opReplace && (!s.There || s.Version != in.Old):
		return s, output{Err: conflict}
	case in.Op == opCreate:
		return record{There: true, Version: 1, Value: in.Value}, output{}
	case in.Op == opReplace:
		return record{There: true, Version: in.Old + 1, Value: in.Value}, output{}
	case !s.There:
		return s, output{Err: notFound}
	default:
		return s, output{Version: s.Version, Value: s.Value}
	}
}

// entries is store.Registry for one key; no Value is a removed entry.
func entries(s record, in input) (record, output) {
	switch {
	case in.Op == opRead:
		return s, output{Version: s.Version, Value: s.Value}
	case s.Version != in.Old:
		return s, output{Err: conflict}
	default:
		return record{Version: in.Old + 1, Value: in.Value}, output{}
	}
}

// marks is store.Marks for one mark.
func marks(marked bool, _ input) (bool, output) { return true, output{First: !marked} }

// The kinds of keys.
const (
	kindSession  = "session"
	kindDocument = "document"
	kindEntry    = "entry"
	kindMark     = "mark"
	kindGrant    = "grant"
)

// storeModels are the models of package store.
func storeModels() map[string]porcupine.Model {
	return map[string]porcupine.Model{
		kindSession:  modelOf(sequential[record](sessions).judge),
		kindDocument: modelOf(sequential[record](documents).judge),
		kindEntry:    modelOf(sequential[record](entries).judge),
		kindMark:     modelOf(sequential[bool](marks).judge),
	}
}

// grant is what one authorization code has become: a session, its newest
// refresh token and that one's predecessor.
type grant struct {
	Used             bool
	Newest, Previous string // lost: nobody was told yet
	Ended            bool
}

const lost = "?"

// grants is the rule of rotation (DESIGN 3.2) as clients see it, with a grace
// that outlasts the history.
func grants(s grant, in input, out output) (grant, bool) {
	switch in.Op {
	case opRedeem:
		return s.redeem(out)
	case opRevoke:
		s.Ended = true
		return s, out.Err == done || out.Err == unknown
	default:
		return s.refresh(in.Value, out)
	}
}

// redeem: the first use makes the session, any other ends it.
func (s grant) redeem(out output) (grant, bool) {
	if s.Used {
		s.Ended = true
		return s, out.Err != done
	}
	s.Used, s.Newest = true, out.Value
	if out.Err == unknown {
		s.Newest = lost
	}
	return s, out.Err != invalid
}

// refresh: the newest token rotates, its predecessor gets the same successor
// again, any other ends the session.
func (s grant) refresh(presented string, out output) (grant, bool) {
	switch {
	case s.Ended:
		return s, out.Err != done
	case presented == s.Newest && out.Err == unknown:
		s.Newest, s.Previous = lost, presented
		return s, true
	case presented == s.Newest:
		fresh := out.Value != s.Newest && out.Value != s.Previous
		s.Newest, s.Previous = out.Value, presented
		return s, out.Err == done && fresh
	case presented != s.Previous:
		s.Ended = true
		return s, out.Err != done
	case out.Err == unknown:
		return s, true
	case s.Newest == lost && out.Value != presented:
		s.Newest = out.Value
	}
	return s, out.Err == done && out.Value == s.Newest
}

// grantModels is the model of the refresh protocol.
func grantModels() map[string]porcupine.Model {
	return map[string]porcupine.Model{kindGrant: modelOf(grants)}
}
