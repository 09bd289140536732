package verify

import (
	"strings"
	"testing"
	"time"

	"github.com/longcase/longcase/token"
)

// Every contender checks every algorithm's token, which has the size that goal
// V1 speaks of; the costs themselves are not judged here.
func TestMeasure(t *testing.T) {
	results, err := Measure(Config{Rounds: 1, Turn: time.Microsecond}, Algorithms())
	if err != nil {
		t.Fatal(err)
	}
	if want := len(Algorithms()) * len(contenders()); len(results) != want {
		t.Fatalf("%d results, want %d", len(results), want)
	}
	var out strings.Builder
	if err := Print(&out, results); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 1+len(Algorithms()) {
		t.Errorf("table of %d lines:\n%s", len(lines), &out)
	}
	for _, c := range contenders() {
		if !strings.Contains(lines[0], c.name) {
			t.Errorf("%s is not in the head: %s", c.name, lines[0])
		}
	}
}

func TestSubjectsHave700Bytes(t *testing.T) {
	for _, alg := range Algorithms() {
		s, err := newSubject(alg, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if n := len(s.raw); n < size || n > size+3 {
			t.Errorf("%s: %d bytes, want %d", alg, n, size)
		}
	}
}

// A contender that checks nothing would be the fastest.
func TestContendersRefuseAnotherKeysToken(t *testing.T) {
	for _, alg := range []token.Algorithm{token.RS256, token.ES256, token.EdDSA, token.HS256} {
		s, err := newSubject(alg, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		other, err := newSubject(alg, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		s.raw = other.raw
		for _, c := range contenders() {
			check, err := c.make(s)
			if err != nil {
				t.Fatal(err)
			}
			if check() == nil {
				t.Errorf("%s: %s accepts a token of another key", alg, c.name)
			}
		}
	}
}

// Both caches answer from what they hold, and the bound is one.
func TestMeasureHits(t *testing.T) {
	cfg := HitConfig{Config: Config{Rounds: 1, Turn: time.Microsecond}, Live: 50, Seen: 50}
	hits, err := MeasureHits(cfg)
	if err != nil {
		t.Fatal(err)
	}
	memory, err := MeasureMemory(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := PrintHits(&out, hits, memory); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"bare cache", "time.Now", "verify", "after 50 distinct tokens", "bound is 64 MiB"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in the table:\n%s", want, &out)
		}
	}
	if len(hits) != 3 || hits[2].Mallocs >= 1 {
		t.Errorf("hits = %+v: a hit allocates", hits)
	}
}

func TestNumberedTokensDifferAndHave700Bytes(t *testing.T) {
	signer, _, err := newSigner(token.ES256)
	if err != nil {
		t.Fatal(err)
	}
	raws, err := mint(signer, 2)
	if err != nil {
		t.Fatal(err)
	}
	if raws[0] == raws[1] || len(raws[0]) < size || len(raws[0]) > size+3 {
		t.Errorf("%d bytes", len(raws[0]))
	}
}
