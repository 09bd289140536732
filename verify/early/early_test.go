package early

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unsafe"

	"pgregory.net/rapid"

	"github.com/longcase/longcase/token"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

// floor is the longest life of a token in these tests.
const floor = 5 * time.Minute

func TestEarlyEndsAreFoundByWhatTheyName(t *testing.T) {
	x := New(100)
	for _, e := range []Entry{
		{Kind: Token, Value: "t1", End: at(900)},
		{Kind: Session, Value: "s1", End: at(900)},
		{Kind: Key, Value: "k1", End: at(900)},
		{Kind: Client, Value: "c1", Before: at(-60), End: at(900)},
		{Kind: Subject, Value: "u1", Before: at(60), End: at(900)},
	} {
		x.Add(e, floor, start)
	}
	issued := func(seconds int) time.Time { return at(seconds) }
	tests := []struct {
		name   string
		kid    string
		claims token.Claims
		want   token.Reason
	}{
		{"nothing in common", "k2", token.Claims{ID: "t2", Session: "s2", ClientID: "c2", Subject: "u2"}, ""},
		{"the token", "k2", token.Claims{ID: "t1"}, token.Revoked},
		{"the session", "k2", token.Claims{Session: "s1"}, token.Revoked},
		{"the key", "k1", token.Claims{}, token.KeyRevoked},
		{"the names in other places", "t1", token.Claims{ID: "s1", Session: "t1", ClientID: "u1", Subject: "c1"}, ""},
		{"nothing at all", "", token.Claims{}, ""},
		{"the client, issued before", "k2", token.Claims{ClientID: "c1", IssuedAt: issued(-61)}, token.Revoked},
		{"the client, issued then", "k2", token.Claims{ClientID: "c1", IssuedAt: issued(-60)}, ""},
		{"the client, issued after, though before now", "k2", token.Claims{ClientID: "c1", IssuedAt: issued(-1)}, ""},
		{"the client, nobody knows when", "k2", token.Claims{ClientID: "c1"}, token.Revoked},
		{"the subject, ended in the future, issued now", "k2", token.Claims{Subject: "u1", IssuedAt: issued(0)}, token.Revoked},
		{"the subject, issued after that", "k2", token.Claims{Subject: "u1", IssuedAt: issued(60)}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := x.Ended(tt.kid, &tt.claims)
			if tt.want == "" && got != nil || tt.want != "" && !errors.Is(got, tt.want) {
				t.Errorf("Ended = %v, want %q", got, tt.want)
			}
		})
	}
}

func TestTheLaterOfTwoEndsHolds(t *testing.T) {
	x := New(100)
	for _, before := range []int{30, 60, 10} {
		x.Add(Entry{Kind: Client, Value: "c", Before: at(before), End: at(900 + before)}, floor, start)
	}
	if err := x.Ended("", &token.Claims{ClientID: "c", IssuedAt: at(59)}); !errors.Is(err, token.Revoked) {
		t.Errorf("issued before the latest end: %v", err)
	}
	if !x.HasBefore(Client, "c", at(59)) || x.HasBefore(Client, "c", at(60)) || x.Has(Token, "c") {
		t.Error("asked by name it says otherwise")
	}
	if news, room := x.Add(Entry{Kind: Client, Value: "c", Before: at(60), End: at(960)}, floor, at(1)); news || !room || x.Len() != 1 {
		t.Errorf("the same once more: news %v, room %v, %d names", news, room, x.Len())
	}
}

func TestWhatIsOverLeavesTheIndex(t *testing.T) {
	x := New(2)
	x.Add(Entry{Kind: Token, Value: "short", End: at(400)}, floor, start)
	x.Add(Entry{Kind: Token, Value: "long", End: at(400)}, floor, start)
	x.Add(Entry{Kind: Token, Value: "long", End: at(800)}, floor, start) // prolonged
	if _, room := x.Add(Entry{Kind: Token, Value: "third", End: at(800)}, floor, start); room {
		t.Error("a third of two found room")
	}
	x.Drop(at(500))
	if x.Len() != 1 || !x.Has(Token, "long") {
		t.Errorf("%d names, want the prolonged one", x.Len())
	}
	// When it is full it looks for room itself.
	x.Add(Entry{Kind: Token, Value: "fourth", End: at(5000)}, floor, at(501))
	if _, room := x.Add(Entry{Kind: Token, Value: "fifth", End: at(5000)}, floor, at(900)); !room || x.Has(Token, "long") {
		t.Error("no room although one is over")
	}
	x.Drop(at(9000))
	if x.Len() != 0 || len(x.minutes) != 0 {
		t.Errorf("%d names and %d minutes are left", x.Len(), len(x.minutes))
	}
}

func TestAnEntryIsKeptForTheLongestLife(t *testing.T) {
	for name, end := range map[string]time.Time{
		"that is over":              at(-1),
		"that is over since a day":  at(-86_400),
		"of an end before all time": {},
		"of an end that is never":   time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		t.Run("an entry "+name, func(t *testing.T) {
			x := New(100)
			if news, room := x.Add(Entry{Kind: Token, Value: "t", End: end}, floor, start); !news || !room {
				t.Errorf("news %v, room %v", news, room)
			}
			x.Drop(at(299))
			if !x.Has(Token, "t") {
				t.Error("forgotten while a token may live")
			}
		})
	}
}

// step is now with another wall clock: what a reading is after the clock was
// set. Package time has no way to make one.
func step(t *testing.T, now time.Time, d time.Duration) time.Time {
	t.Helper()
	stepped := now
	*(*uint64)(unsafe.Pointer(&stepped)) += uint64(d/time.Second) << 30 // the seconds of a reading that is monotonic too
	if !stepped.Round(0).Equal(now.Add(d).Round(0)) || stepped.Sub(now) != 0 {
		t.Fatalf("package time keeps its readings otherwise now: %v is not %v, set by %s", stepped, now, d)
	}
	return stepped
}

func TestARepeatedEntryIsNotKeptForEver(t *testing.T) {
	x := New(100)
	for second := range 301 {
		x.Add(Entry{Kind: Token, Value: "t", End: at(30)}, floor, at(second))
	}
	x.Drop(at(360))
	if x.Len() != 0 {
		t.Error("who repeats an entry that is over prolongs it")
	}
	// A clock that was wrong when it came is put right later.
	x.Add(Entry{Kind: Token, Value: "t", End: at(3600)}, floor, at(90_000))
	x.Add(Entry{Kind: Token, Value: "t", End: at(3600)}, floor, at(400))
	x.Drop(at(3599))
	if !x.Has(Token, "t") {
		t.Error("forgotten before its end")
	}
}

func TestAWallClockThatIsSetMakesNobodyForget(t *testing.T) {
	now := time.Now()
	x := New(100)
	x.Add(Entry{Kind: Token, Value: "before", End: now.Add(time.Hour)}, floor, now)
	ahead := step(t, now.Add(2*time.Minute), 30*24*time.Hour)
	x.Drop(ahead)
	x.Add(Entry{Kind: Token, Value: "meanwhile", End: now.Add(time.Hour)}, floor, ahead)
	x.Drop(now.Add(6 * time.Minute))
	for _, value := range []string{"before", "meanwhile"} {
		if !x.Has(Token, value) {
			t.Errorf("%q was forgotten", value)
		}
	}
	x.Drop(now.Add(2 * time.Hour))
	if x.Len() != 0 {
		t.Errorf("%d names are left", x.Len())
	}
}

func TestWhatCannotBeEnforcedIsRefused(t *testing.T) {
	if err := (Entry{Kind: Key, Value: "k", End: at(900)}).Check(); err != nil {
		t.Errorf("a good one: %v", err)
	}
	for name, e := range map[string]Entry{
		"an unknown kind":          {Kind: "tenant", Value: "x", End: at(900)},
		"no value":                 {Kind: Token, End: at(900)},
		"no end":                   {Kind: Token, Value: "x"},
		"a client without before":  {Kind: Client, Value: "x", End: at(900)},
		"a subject without before": {Kind: Subject, Value: "x", End: at(900)},
		"a huge value":             {Kind: Token, Value: strings.Repeat("x", maxValue+1), End: at(900)},
	} {
		if e.Check() == nil {
			t.Errorf("%s passed", name)
		}
	}
}

// The index against a plain list of entries, at instants in any order: nothing
// is forgotten before its end or the longest life after it came.
func TestIndexAgreesWithAList(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		x := New(1000)
		type heard struct {
			Entry
			at int
		}
		var all []heard
		now := 0
		for range rapid.IntRange(1, 60).Draw(rt, "entries") {
			now += rapid.IntRange(0, 90).Draw(rt, "pause")
			e := Entry{Kind: Client, Value: fmt.Sprint(rapid.IntRange(0, 4).Draw(rt, "value")), Before: at(now - 5), End: at(now + rapid.IntRange(-300, 600).Draw(rt, "life"))}
			all = append(all, heard{e, now})
			x.Add(e, floor, at(now))
			x.Drop(at(now))
		}
		for v := range 5 {
			c := token.Claims{ClientID: fmt.Sprint(v), IssuedAt: at(rapid.IntRange(-10, now+10).Draw(rt, "issued"))}
			must := false // an entry that is kept names it
			for _, e := range all {
				kept := at(now).Before(e.End) || at(now).Before(at(e.at).Add(floor))
				must = must || e.Value == c.ClientID && c.IssuedAt.Before(e.Before) && kept
			}
			if must && x.Ended("", &c) == nil {
				rt.Fatalf("client %d, issued at %s: an early end was forgotten", v, c.IssuedAt)
			}
		}
		x.Drop(at(now + 1000))
		if x.Len() != 0 || len(x.minutes) != 0 {
			rt.Fatalf("%d names and %d minutes are left after all is over", x.Len(), len(x.minutes))
		}
	})
}
