package introspect

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify"
)

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

// GHSA-qvp4-rpmr-xwrr, CVE-2026-33496: an answer that was kept skipped the
// checks. Here it gets the verdict of a new one, whatever the issuer says and
// whatever the request needs.
func TestAKeptAnswerGetsTheSameVerdict(t *testing.T) {
	says := new(atomic.Pointer[string])
	e := newEndpoint(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(*says.Load()))
	})
	asking := e.source(t, func(c *Config) { c.Cache = NoCache })
	seen := map[token.Reason]int{}
	rapid.Check(t, func(r *rapid.T) {
		body := drawAnswer(r)
		says.Store(&body)
		need := verify.Need{
			Audience: rapid.SampledFrom([]string{"", "https://b.test"}).Draw(r, "audience"),
			Scopes:   rapid.SampledFrom([][]string{nil, {"r"}, {"w"}}).Draw(r, "scopes"),
			Clients:  rapid.SampledFrom([][]string{nil, {"c"}, {"d"}}).Draw(r, "clients"),
		}
		now := start.Add(time.Duration(rapid.IntRange(0, 900).Draw(r, "ms")) * time.Millisecond)
		keeping := e.source(t, nil)
		want := judge(t, asking, need, now)
		judge(t, keeping, verify.Need{}, start)
		asked := e.asked.Load()
		got := judge(t, keeping, need, now)
		if e.asked.Load() != asked && want.Accepted() {
			r.Fatalf("the answer was not kept: %s", body)
		}
		if got.Reason != want.Reason || got.Detail != want.Detail {
			r.Fatalf("%s: kept %s %q, new %s %q", body, got.Reason, got.Detail, want.Reason, want.Detail)
		}
		seen[got.Reason]++
		keeping.CloseIdleConnections()
	})
	if seen[""] == 0 || len(seen) < 6 {
		t.Errorf("the verdicts are %v", seen)
	}
}

func drawAnswer(t *rapid.T) string {
	c := map[string]any{"active": true, "sub": "u", "client_id": "c", "jti": "j", "iat": start.Unix()}
	good := rapid.Bool().Draw(t, "good") // else hardly one answer in thirty is taken
	for name, values := range map[string][]any{
		"active": {true, true, true, true, true, false}, "aud": {"https://b.test", "https://b.test", []string{"https://b.test"}, "https://c.test"},
		"exp":   {start.Unix() + 300, start.Unix() + 300, start.Unix() + 1, start.Unix() - 60, start.Unix() + 90000},
		"scope": {"r", "r w", ""}, "iss": {"https://a.test", "https://a.test", "https://evil.test"}, "nbf": {start.Unix(), start.Unix() + 40},
	} {
		if c[name] = values[0]; !good {
			c[name] = rapid.SampledFrom(values).Draw(t, name)
		}
	}
	if !good && rapid.IntRange(0, 5).Draw(t, "bound") == 0 {
		c["cnf"] = map[string]string{"jkt": "k"}
	}
	body, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func judge(t *testing.T, s *Source, need verify.Need, now time.Time) verify.Verdict {
	t.Helper()
	v, err := verify.New(verify.Config{Issuers: []verify.Issuer{{URL: "https://a.test", Audience: "https://b.test", Introspect: s}}})
	if err != nil {
		t.Fatal(err)
	}
	return v.Verify(t.Context(), opaque, need, now)
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
