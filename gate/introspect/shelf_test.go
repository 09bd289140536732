package introspect

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/longcase/longcase/token"
)

func newSigner(t *testing.T) token.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := token.NewSigner("", token.EdDSA, key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestHowLongAnAnswerCounts(t *testing.T) {
	over := fmt.Sprintf(`{"active":true,"exp":%d}`, start.Unix()+3)
	endless := `{"active":true}`
	tests := []struct {
		name   string
		cache  time.Duration
		answer string
		later  time.Duration
		kept   bool
	}{
		{"just under a second", 0, endless, 999 * time.Millisecond, true},
		{"a second, and no longer", 0, endless, time.Second, false},
		{"as long as configured", 5 * time.Second, endless, 4999 * time.Millisecond, true},
		{"no longer than configured", 5 * time.Second, endless, 5 * time.Second, false},
		{"until the token's end", 10 * time.Second, over, 2999 * time.Millisecond, true},
		{"not from the token's end on", 10 * time.Second, over, 3 * time.Second, false},
		{"that a token is not active", 0, `{"active":false}`, 999 * time.Millisecond, true},
		{"that a token is not active, no longer", 0, `{"active":false}`, time.Second, false},
		{"no answer at all", NoCache, endless, 0, false},
		{"with a clock that went back a little", 0, endless, -500 * time.Millisecond, true},
		{"not with a clock that went back", 0, endless, -time.Second, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := newEndpoint(t, says(tt.answer))
			s := e.source(t, func(c *Config) { c.Cache = tt.cache })
			_, before := s.at(t, opaque, start)
			_, after := s.at(t, opaque, start.Add(tt.later))
			if kept := e.asked.Load() == 1; kept != tt.kept {
				t.Errorf("kept: %v, want %v", kept, tt.kept)
			}
			if fmt.Sprint(before) != fmt.Sprint(after) {
				t.Errorf("first %v, then %v", before, after)
			}
		})
	}
}

// The issuer ends a token early: it counts once the answer is a second old.
func TestAnEarlyEndCountsWithinASecond(t *testing.T) {
	e := newEndpoint(t, says(`{"active":true,"sub":"u"}`))
	s := e.source(t, nil)
	if _, err := s.at(t, opaque, start); err != nil {
		t.Fatal(err)
	}
	ended := says(`{"active":false}`)
	e.answer.Store(&ended)
	if _, err := s.at(t, opaque, start.Add(time.Second)); !errors.Is(err, token.Revoked) {
		t.Errorf("a second later: %v", err)
	}
}

// A model that keeps everything: the shelf never has another answer than it, nor
// one about another token, and stays within its bounds.
func TestTheShelfIsNeverWrong(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type entry struct {
			sub   string
			asked time.Time
			exp   time.Time
		}
		s, model, now := newShelf(time.Second), map[string]entry{}, start
		for i := range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(-300, 700).Draw(t, "ms")) * time.Millisecond)
			raw := rapid.SampledFrom([]string{"a", "b", "ab", "A", "a."}).Draw(t, "token")
			if rapid.Bool().Draw(t, "put") {
				exp := now.Add(time.Duration(rapid.IntRange(-1, 3).Draw(t, "life")) * 400 * time.Millisecond)
				model[raw] = entry{fmt.Sprint(i), now, exp}
				s.put(raw, answer{claims: token.Claims{Subject: fmt.Sprint(i), Expires: exp}, lasts: true}, now)
			}
			got, ok := s.get(raw, now)
			m := model[raw]
			if ok && (got.claims.Subject != m.sub || now.Sub(m.asked) >= time.Second || !now.Before(m.exp)) {
				t.Fatalf("%s: got %s asked %s ago, the model has %+v", raw, got.claims.Subject, now.Sub(m.asked), m)
			}
		}
		sum := 0
		for e := s.order.Front(); e != nil; e = e.Next() {
			sum += e.Value.(*book).size()
		}
		if len(s.kept) != s.order.Len() || sum != s.bytes {
			t.Fatalf("%d kept, %d in order; %d bytes of %d", len(s.kept), s.order.Len(), sum, s.bytes)
		}
	})
}

func TestTheShelfIsBounded(t *testing.T) {
	s := newShelf(time.Second)
	big := answer{claims: token.Claims{Raw: make([]byte, maxBody)}}
	for i := range 2000 {
		s.put(fmt.Sprint("big", i), big, start)
		if s.bytes > maxBytes {
			t.Fatalf("%d bytes", s.bytes)
		}
	}
	if _, ok := s.get("big1999", start); !ok {
		t.Error("the last one is not kept")
	}
	if _, ok := s.get("big0", start); ok {
		t.Error("the first one is kept")
	}
	s = newShelf(time.Second)
	for i := range maxKept + 10 {
		s.put(fmt.Sprint(i), answer{}, start)
	}
	if len(s.kept) != maxKept {
		t.Errorf("%d kept, want %d", len(s.kept), maxKept)
	}
	s.put("later", answer{}, start.Add(time.Second))
	if len(s.kept) != 1 {
		t.Errorf("%d kept once the others are over", len(s.kept))
	}
}
