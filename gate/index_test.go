package gate

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/longcase/longcase/token"
)

func TestEarlyEndsAreFoundByWhatTheyName(t *testing.T) {
	x := newIndex(100, 10*time.Second)
	for _, e := range []Event{
		{Kind: EndToken, Value: "t1", End: at(900)},
		{Kind: EndSession, Value: "s1", End: at(900)},
		{Kind: EndKey, Value: "k1", End: at(900)},
		{Kind: EndClient, Value: "c1", Before: at(-60), End: at(900)},
		{Kind: EndSubject, Value: "u1", Before: at(60), End: at(900)},
	} {
		x.add(e, start)
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
			got := x.ended(tt.kid, &tt.claims)
			if tt.want == "" && got != nil || tt.want != "" && !errors.Is(got, tt.want) {
				t.Errorf("ended = %v, want %q", got, tt.want)
			}
		})
	}
}

func TestTheLaterOfTwoEndsHolds(t *testing.T) {
	x := newIndex(100, 10*time.Second)
	for _, before := range []int{30, 60, 10} {
		x.add(Event{Kind: EndClient, Value: "c", Before: at(before), End: at(900 + before)}, start)
	}
	if err := x.ended("", &token.Claims{ClientID: "c", IssuedAt: at(59)}); !errors.Is(err, token.Revoked) {
		t.Errorf("issued before the latest end: %v", err)
	}
	if news, room := x.add(Event{Kind: EndClient, Value: "c", Before: at(60), End: at(960)}, start); news || !room || x.len() != 1 {
		t.Errorf("the same once more: news %v, room %v, %d entries", news, room, x.len())
	}
}

func TestWhatIsOverLeavesTheIndex(t *testing.T) {
	x := newIndex(2, 10*time.Second)
	x.add(Event{Kind: EndToken, Value: "short", End: at(30)}, start)
	x.add(Event{Kind: EndToken, Value: "long", End: at(30)}, start)
	x.add(Event{Kind: EndToken, Value: "long", End: at(300)}, start) // prolonged
	if _, room := x.add(Event{Kind: EndToken, Value: "third", End: at(300)}, start); room {
		t.Error("a third of two found room")
	}
	x.hear(at(120))
	if x.len() != 1 || x.ended("", &token.Claims{ID: "long"}) == nil || x.ended("", &token.Claims{ID: "short"}) != nil {
		t.Errorf("%d entries, want the prolonged one", x.len())
	}
	// When it is full it looks for room itself.
	x.add(Event{Kind: EndToken, Value: "fourth", End: at(900)}, at(121))
	if _, room := x.add(Event{Kind: EndToken, Value: "fifth", End: at(900)}, at(400)); !room {
		t.Error("no room although one is over")
	}
	if _, room := x.add(Event{Kind: EndToken, Value: "past", End: at(399)}, at(400)); !room || x.len() != 2 {
		t.Errorf("an event that is over: %d entries", x.len())
	}
	x.hear(at(5000))
	if x.len() != 0 || len(x.minutes) != 0 {
		t.Errorf("%d entries and %d minutes are left", x.len(), len(x.minutes))
	}
}

// The index against a plain list of events.
func TestIndexAgreesWithAList(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		x := newIndex(1000, time.Minute)
		var all []Event
		now := 0
		for range rapid.IntRange(1, 60).Draw(rt, "events") {
			now += rapid.IntRange(0, 90).Draw(rt, "pause")
			e := Event{Kind: EndClient, Value: fmt.Sprint(rapid.IntRange(0, 4).Draw(rt, "value")), Before: at(now - 5), End: at(now + rapid.IntRange(0, 300).Draw(rt, "life"))}
			all = append(all, e)
			x.add(e, at(now))
			x.hear(at(now))
		}
		for v := range 5 {
			c := token.Claims{ClientID: fmt.Sprint(v), IssuedAt: at(rapid.IntRange(-10, now+10).Draw(rt, "issued"))}
			must := false // an event that is not over names it
			for _, e := range all {
				must = must || e.Value == c.ClientID && c.IssuedAt.Before(e.Before) && at(now).Before(e.End)
			}
			if must && x.ended("", &c) == nil {
				rt.Fatalf("client %d, issued at %s: an early end was forgotten", v, c.IssuedAt)
			}
		}
		x.hear(at(now + 1000))
		if x.len() != 0 {
			rt.Fatalf("%d entries are left after all is over", x.len())
		}
	})
}
