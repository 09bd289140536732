package oracle

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/c2sp/wycheproof"

	"github.com/longcase/longcase/jwks"
	"github.com/longcase/longcase/token"
)

// group is a key of Wycheproof's file and the signatures it is tried with.
type group struct {
	Comment string
	Public  json.RawMessage // a JWK; absent for a secret
	Private struct{ Kty, Alg, K, Kid string }
	Tests   []struct {
		ID      int `json:"tcId"`
		Comment string
		JWS     any // a string, or an object in the JSON serialization
		Result  string
	}
}

// The vectors whose label is wrong, and what shows it.
const (
	spelling = "RFC 7515 section 2: '?' is no base64url character, and nothing may be skipped"
	twin     = "byte for byte vector 357, which is valid: the padding its comment speaks of is not in the file"
)

func mislabelled() map[int]string {
	return map[int]string{367: twin, 370: twin, 372: spelling, 373: spelling}
}

// tally counts vectors by label and by what became of them.
type tally struct{ taken, outside, refused, twins, misspelt int }

// Every valid vector for our algorithms is taken, no invalid one is. Those of
// other algorithms and those labelled wrongly are counted, so that none is left
// out in silence and an update of the vectors shows.
func TestWycheproofSignatures(t *testing.T) {
	var got tally
	for _, g := range groups(t) {
		keys := g.keys(t)
		for _, v := range g.Tests {
			raw, valid := text(v.JWS), v.Result == "valid"
			accepted := anyVerifies(raw, keys)
			switch why := mislabelled()[v.ID]; {
			case why == twin && !valid && accepted && raw == vector(t, 357):
				got.twins++
			case why == spelling && valid && !accepted && strings.Contains(raw, "?"):
				got.misspelt++
			case valid && accepted:
				got.taken++
			case valid && !named(raw):
				got.outside++
			case !valid && !accepted:
				got.refused++
			default:
				t.Errorf("%s %d: %s, accepted %v: %s", g.Comment, v.ID, v.Result, accepted, v.Comment)
			}
		}
	}
	// 46 valid: 24 + 20 of RS384, RS512, PS384, PS512 and ES512 + 2; 355 invalid: 353 + 2.
	if want := (tally{taken: 24, outside: 20, refused: 353, twins: 2, misspelt: 2}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// vector is the text of one vector.
func vector(t *testing.T, id int) string {
	t.Helper()
	for _, g := range groups(t) {
		for _, v := range g.Tests {
			if v.ID == id {
				return text(v.JWS)
			}
		}
	}
	t.Fatalf("no vector %d", id)
	return ""
}

func groups(t *testing.T) []group {
	t.Helper()
	data, err := fs.ReadFile(wycheproof.TestVectors, "json_web_signature_test.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ TestGroups []group }
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	return file.TestGroups
}

// keys are what the group's JWK may verify: by package jwks, which leaves out
// keys for encryption and algorithms that are not ours, or the secret.
func (g group) keys(t *testing.T) []token.Key {
	t.Helper()
	if g.Public != nil {
		set, err := jwks.Parse(fmt.Appendf(nil, `{"keys":[%s]}`, g.Public))
		if err != nil {
			t.Fatalf("%s: %v", g.Comment, err)
		}
		var all []token.Key
		for _, alg := range algorithms() {
			all = append(all, set.Find("", alg)...)
		}
		return all
	}
	if g.Private.Kty != "oct" {
		t.Fatalf("%s: no public key and no secret", g.Comment)
	}
	secret, err := base64.RawURLEncoding.DecodeString(g.Private.K)
	if err != nil {
		t.Fatalf("%s: %v", g.Comment, err)
	}
	k, err := token.NewKey(g.Private.Kid, token.Algorithm(g.Private.Alg), secret)
	if err != nil {
		t.Fatalf("%s: %v", g.Comment, err)
	}
	return []token.Key{k}
}

// text is a compact JWS as it is, and any other as the JSON it was.
func text(jws any) string {
	if s, ok := jws.(string); ok {
		return s
	}
	b, err := json.Marshal(jws)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func anyVerifies(raw string, keys []token.Key) bool {
	j, err := token.Parse(raw)
	if err != nil {
		return false
	}
	for _, k := range keys {
		if j.Verify(k) == nil {
			return true
		}
	}
	return false
}

// named reports whether the token's header names one of our algorithms.
func named(raw string) bool {
	head, _, _ := strings.Cut(raw, ".")
	data, err := base64.RawURLEncoding.DecodeString(head)
	var h struct{ Alg token.Algorithm }
	return err == nil && json.Unmarshal(data, &h) == nil && slices.Contains(algorithms(), h.Alg)
}
