package oracle

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/longcase/longcase/gate"
	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify"
)

// families are the kinds of attack; each is generated, none is a list of tokens.
func families() map[string]func(*forger) {
	return map[string]func(*forger){
		"algorithm confusion": confusions, "another hash": wrongHash, "key injection": injections, "kid": kids, "other issuer": foreign,
		"duplicate members": duplicates, "numbers": numbers, "times spelled": spelledTimes, "text": unreadable, "encoding": encodings, "size and depth": oversized,
		"audience and issuer": audiences, "encryption and compression": encrypted, "crit and b64": critical, "nesting and serialization": wrapped, "other kinds": otherKinds,
		"psychic signatures": psychic, "moved signatures": numerals, "changed signatures": flipped, "base64": respelled, "time and life": timeLies, "binding": bound, "absent claims": absent,
	}
}

// profiles are the two rules a token may be judged by.
func profiles() []verify.Profile { return []verify.Profile{verify.RFC9068, verify.JWT} }

// Of every family nothing is accepted at any edge, with or without a cache,
// cold or warm; nothing panics, nothing is a 5xx, and every edge says the same
// (goal V4).
func TestFamiliesAreRefusedAtEveryEdge(t *testing.T) {
	total := 0
	for name, family := range families() {
		f := &forger{T: t}
		family(f)
		set := distinct(f.set)
		t.Logf("%s: %d", name, len(set))
		total += len(set)
		for _, profile := range profiles() {
			t.Run(name+"/"+string(profile), func(t *testing.T) {
				all := edges(t, world(profile))
				for _, alg := range algorithms() {
					everyEdgeAccepts(t, all, "the control", good(t, pairs()[alg]))
				}
				for i, a := range set {
					if profile == verify.RFC9068 || !a.strict && i%5 < long(100)/20 { // the second profile: a fifth, all if long
						everyEdgeRefuses(t, all, a)
					}
				}
			})
		}
	}
	t.Logf("%d attacks", total)
	if total < 5000 {
		t.Errorf("%d attacks, want at least 5000", total)
	}
}

// distinct leaves each token once.
func distinct(set []attack) []attack {
	seen := make(map[string]bool, len(set))
	var kept []attack
	for _, a := range set {
		if !seen[a.raw] {
			seen[a.raw] = true
			kept = append(kept, a)
		}
	}
	return kept
}

// harmless are near the attacks and none: what each family changes, changed so
// that it still says one thing only, rightly signed.
func harmless(t *testing.T, p pair) map[string]string {
	t.Helper()
	all := map[string]string{
		"no kid":                p.forge(t, `{"alg":"`+string(p.alg)+`","typ":"at+jwt"}`, goodClaims()),
		"kid escaped":           p.forge(t, `{"alg":"`+string(p.alg)+`","kid":"\u006b","typ":"at+jwt"}`, goodClaims()),
		"typ in full":           p.forge(t, `{"alg":"`+string(p.alg)+`","kid":"k","typ":"application/AT+JWT"}`, goodClaims()),
		"members escaped":       p.forge(t, p.header(""), strings.Replace(goodClaims(), `"exp"`, `"\u0065xp"`, 1)),
		"an unknown member":     p.forge(t, p.header(`,"x":{"alg":"none"}`), with(`"x":{"exp":1,"aud":["other"]}`)),
		"spaces":                p.forge(t, p.header(""), " "+strings.ReplaceAll(goodClaims(), ",", " ,\n\t")+"\r\n"),
		"aud in a list of one":  p.forge(t, p.header(""), without("aud", `"aud":["`+me+`"]`)),
		"scope in a list":       p.forge(t, p.header(""), without("scope", `"scope":["orders.read","a:b"]`)),
		"scope in no list":      p.forge(t, p.header(""), without("scope", `"scope":[]`)),
		"scp that is no scope":  p.forge(t, p.header(""), with(`"scp":[1,{"a":"b"},"a b"]`)),
		"32 levels":             p.forge(t, p.header(""), with(`"x":`+strings.Repeat("[", 31)+strings.Repeat("]", 31))),
		"a pair of surrogates":  p.forge(t, p.header(""), without("sub", `"sub":"\ud83d\ude00"`)),
		"cnf of another method": p.forge(t, p.header(""), with(`"x5t#S256":"a"`)),
		"the last second":       p.forge(t, p.header(""), without("exp", fmt.Sprintf(`"exp":%d.001`, epoch-30))),
		"the first second":      p.forge(t, p.header(""), with(fmt.Sprintf(`"nbf":%d`, epoch+30))),
		"the other issuer's":    strangersPairs()[p.alg].forge(t, p.header(""), strings.Replace(goodClaims(), us, them, 1)),
		"the other signature":   negated(t, p, good(t, p)),
	}
	if p.alg == token.EdDSA {
		all["its name of RFC 9864"] = p.forge(t, `{"alg":"Ed25519","kid":"k","typ":"at+jwt"}`, goodClaims())
	}
	for i, offer := range offersOf(t, strangersPairs()[p.alg]) {
		all[fmt.Sprintf("another key offered (%d)", i)] = p.forge(t, p.header(","+offer), goodClaims())
	}
	for _, exp := range spellTime(epoch + 300) {
		all["exp as "+exp] = p.forge(t, p.header(""), without("exp", `"exp":`+exp))
	}
	return all
}

// The control of the families: what is no attack passes at every edge.
func TestWhatIsNoAttackIsTaken(t *testing.T) {
	for _, profile := range profiles() {
		all := edges(t, world(profile))
		for _, alg := range algorithms() {
			for name, raw := range harmless(t, pairs()[alg]) {
				everyEdgeAccepts(t, all, string(alg)+": "+name, raw)
			}
		}
	}
}

// What a handler does to the claims it is handed, the next request does not see:
// a cache that lends out its own memory would hand it on.
func TestHandlersCannotWriteIntoTheCache(t *testing.T) {
	g := newGate(t, gate.Config{Issuers: world(verify.RFC9068), CacheBytes: 1 << 20})
	var seen token.Claims
	h := g.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		c, _ := gate.FromContext(r.Context())
		seen = c
		seen.Audience, seen.Raw = slices.Clone(c.Audience), slices.Clone(c.Raw)
		for i := range c.Audience {
			c.Audience[i] = "other"
		}
		clear(c.Raw)
	}))
	raws := make(map[token.Algorithm]string)
	for _, alg := range algorithms() {
		raws[alg] = good(t, pairs()[alg])
		for range 3 {
			if said := asking(h, "/orders")(raws[alg]); !said.accepted || !slices.Equal(seen.Audience, []string{me}) || string(seen.Raw) != goodClaims() {
				t.Fatalf("%s: %+v, aud %q, claims %q", alg, said, seen.Audience, seen.Raw)
			}
		}
	}
}
