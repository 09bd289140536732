package remote

import (
	"os"
	"strings"
	"testing"
)

// V6: a storm of unknown keys costs Longcase's issuer one fetch in 30 s at most,
// and a peer's many.
func TestAStormOfUnknownKeys(t *testing.T) {
	tokens := storm
	if os.Getenv("LONGCASE_LONG") != "1" {
		tokens /= 20
	}
	results, err := Measure(tokens)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		switch {
		case r.Contender == ours && r.Fetches > r.Most():
			t.Errorf("%d fetches for %d tokens in %s, want %d at most", r.Fetches, r.Tokens, r.Took, r.Most())
		case r.Contender != ours && r.Fetches <= r.Most():
			t.Errorf("%s fetched %d times for %d tokens: the storm is none", r.Contender, r.Fetches, r.Tokens)
		}
	}
	var out strings.Builder
	if err := Print(&out, results); err != nil || strings.Count(out.String(), "\n") != 1+len(results) {
		t.Errorf("%v\n%s", err, &out)
	}
	t.Logf("\n%s", &out)
}
