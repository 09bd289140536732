package e2e

import (
	"crypto/ecdsa"
	"fmt"
	"maps"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/longcase/longcase/token"
)

// trial makes one reason, at any adapter.
type trial struct {
	reason string
	says   string  // stands in the detail
	skew   float64 // seconds; 0: whatever is known
	ask    func(t *testing.T, f *fleet, e *edge) answer
}

// with asks once with a token that is made anew each time.
func with(path string, make func(f *fleet) string) func(*testing.T, *fleet, *edge) answer {
	return func(t *testing.T, f *fleet, e *edge) answer {
		return e.ask(t, probe{path: path, token: make(f)})
	}
}

// changed asks with a good token of the house but for some claims.
func changed(path string, change func(now time.Time) claims) func(*testing.T, *fleet, *edge) answer {
	return with(path, func(f *fleet) string { return f.house.token(change(time.Now())) })
}

// same is a change that does not look at the clock.
func same(c claims) func(time.Time) claims { return func(time.Time) claims { return c } }

// early dates claims 45 s ahead.
func early(names ...string) claims {
	c := claims{}
	for _, n := range names {
		c[n] = time.Now().Add(45 * time.Second).Unix()
	}
	return c
}

// trials has every reason, in the order of token.Reasons but for the end, and
// the refusals that are not about a token.
func trials(ended *endings) []trial {
	return slices.Concat(formTrials(), claimTrials(), routeTrials(), []trial{
		{"revoked", "", 0, with("", func(*fleet) string { return ended.revoked })},
		{"key_revoked", "", 0, with("", func(*fleet) string { return ended.keyRevoked })},
		{"keys_unavailable", "", 0, with("", func(f *fleet) string { return f.dead.token(nil) })},
	})
}

// formTrials are refused before the claims are believed.
func formTrials() []trial {
	stranger := func(t *testing.T, f *fleet, kid string) string {
		return sign(t, jose.ES256, jose.JSONWebKey{Key: newKey(t), KeyID: kid}, "at+jwt", f.house.good(nil))
	}
	return []trial{
		{"no_token", "Authorization: Bearer", 0, func(t *testing.T, _ *fleet, e *edge) answer { return e.ask(t, probe{}) }},
		{"malformed", "1 parts", 0, with("", func(*fleet) string { return "not-a-token" })},
		{"too_large", "16384", 0, changed("", same(claims{"pad": strings.Repeat("x", 14000)}))},
		{"bad_algorithm", "alg HS256", 0, func(t *testing.T, f *fleet, e *edge) answer {
			return e.ask(t, probe{token: sign(t, jose.HS256, []byte(strings.Repeat("k", 32)), "at+jwt", f.house.good(nil))})
		}},
		{"unknown_key", "nobody", 0, func(t *testing.T, f *fleet, e *edge) answer { return e.ask(t, probe{token: stranger(t, f, "nobody")}) }},
		{"bad_signature", "SHA256:", 0, func(t *testing.T, f *fleet, e *edge) answer { return e.ask(t, probe{token: stranger(t, f, "house")}) }},
		{"wrong_type", `"jwt"`, 0, func(t *testing.T, f *fleet, e *edge) answer {
			return e.ask(t, probe{token: sign(t, jose.ES256, jose.JSONWebKey{Key: f.house.key, KeyID: "house"}, "JWT", f.house.good(nil))})
		}},
	}
}

// claimTrials are signed well and say the wrong thing.
func claimTrials() []trial {
	return []trial{
		{"wrong_issuer", "stranger.example.com", 0, changed("", same(claims{"iss": "https://stranger.example.com"}))},
		{"wrong_audience", elsewhere, 0, changed("", same(claims{"aud": elsewhere}))},
		{"missing_claim", "jti", 0, changed("", same(claims{"jti": nil}))},
		{"not_yet_valid", "nbf is", 45, with("", func(f *fleet) string { return f.late.token(early("nbf", "iat")) })},
		{"issued_in_future", "iat is", 45, with("", func(f *fleet) string { return f.ahead.token(early("iat")) })},
		{"expired", "exp", 0, changed("", func(now time.Time) claims {
			return claims{"iat": now.Add(-10 * time.Minute).Unix(), "exp": now.Add(-5 * time.Minute).Unix()}
		})},
		{"lifetime_too_long", "exp - iat", 0, changed("", func(now time.Time) claims { return claims{"exp": now.Add(2 * time.Hour).Unix()} })},
	}
}

// routeTrials are good tokens at routes that ask for more.
func routeTrials() []trial {
	return []trial{
		{"insufficient_scope", "orders.write", 0, changed("/orders/new", same(nil))},
		{"client_not_allowed", `"web`, 0, changed("/partner/1", same(nil))},
		{"replayed", "", 0, askTwice},
		{"binding_missing", "", 0, changed("/bound/1", same(nil))},
		{"binding_mismatch", "", 0, func(t *testing.T, f *fleet, e *edge) answer { return askBound(t, f, e, f.house.key, f.late.key) }},
		{"not_allowed", "method", 0, changed("/read/1", same(nil))},
		{"no_route", "", 0, changed("/nowhere/1", same(nil))},
		{"ambiguous_path", "more than one way", 0, changed("/orders/a%2fb", same(nil))},
		{"rate_limited", "", 0, askOften},
	}
}

// askTwice uses a token up.
func askTwice(t *testing.T, f *fleet, e *edge) answer {
	p := probe{path: "/once/1", token: f.house.token(nil)}
	if first := e.ask(t, p); first.status != http.StatusOK {
		t.Errorf("the first use is answered %d: %s", first.status, first.body)
	}
	return e.ask(t, p)
}

// askBound sends a token bound to one key with the proof of another, after it
// has learned the nonce to prove with.
func askBound(t *testing.T, f *fleet, e *edge, bound, shown *ecdsa.PrivateKey) answer {
	p := probe{path: "/bound/1", scheme: "DPoP", token: f.house.token(claims{"cnf": claims{"jkt": thumbprint(t, bound)}})}
	p.header = http.Header{"Dpop": {proof(t, shown, e.URL+p.path, p.token, "")}}
	a := e.ask(t, p)
	nonce := a.header.Get("Dpop-Nonce")
	if nonce == "" {
		t.Errorf("no nonce: %d %s", a.status, a.body)
	}
	p.header = http.Header{"Dpop": {proof(t, shown, e.URL+p.path, p.token, nonce)}}
	return e.ask(t, p)
}

// askOften asks until there was enough.
func askOften(t *testing.T, f *fleet, e *edge) answer {
	client := "greedy" + freshName()
	for range 200 {
		if a := e.ask(t, probe{token: f.house.token(claims{"client_id": client})}); a.status != http.StatusOK {
			return a
		}
	}
	return answer{}
}

// endings are tokens of our issuer that end in some way.
type endings struct{ keyRevoked, revoked, stale string }

// end ends tokens by way of our issuer.
func (f *fleet) end() *endings {
	f.t.Helper()
	e := &endings{keyRevoked: f.own.token("service", "orders.read")}
	must(f.t, "", nil, "keys", "revoke", f.own.active(f.t), "-c", f.own.file)
	e.revoked, e.stale = f.own.token("service", "orders.read"), f.own.token("service", "orders.read")
	r := f.own.as("service", form(f.own.Issuer+"/revoke", "token", e.revoked))
	if a := send(f.t, r); a.status != http.StatusOK {
		f.t.Fatalf("/revoke answers %d: %s", a.status, a.body)
	}
	return e
}

// TestEveryAdapter holds every adapter to one and the same answer for each
// reason, all of them to the table of reasons, and each to what else may go
// wrong between a caller and a gate.
func TestEveryAdapter(t *testing.T) {
	f := newFleet(t)
	ended := f.end()
	tried := map[string]bool{"revocations_stale": true}
	f.eventuallyEverywhere(ended.revoked, "revoked")
	f.eventuallyEverywhere(ended.stale, "")
	for _, tt := range trials(ended) {
		tried[tt.reason] = true
		t.Run(tt.reason, func(t *testing.T) { f.try(t, tt) })
	}
	t.Run("let through", f.letThrough)
	t.Run("who calls is the gate's word alone", f.identities)
	t.Run("lies about the request", f.lies)
	t.Run("a certificate that was only copied", f.certificates)
	t.Run("a certificate that was shown", f.shownCertificates)
	t.Run("preflights", f.preflights)
	t.Run("WebSocket", f.sockets)
	t.Run("server-sent events", f.events)
	t.Run("detours", f.paths)
	t.Run("revocations_stale", func(t *testing.T) {
		f.own.kill()
		f.t = t
		f.eventuallyEverywhere(ended.stale, "revocations_stale")
		f.try(t, trial{"revocations_stale", "", 0, with("", func(*fleet) string { return ended.stale })})
	})
	t.Run("without its gate", f.orphans)
	for _, r := range token.Reasons() {
		if !tried[string(r)] {
			t.Errorf("no trial makes %s", r)
		}
	}
}

// eventuallyEverywhere waits until every adapter answers a token with a reason.
func (f *fleet) eventuallyEverywhere(raw, reason string) {
	f.t.Helper()
	for _, e := range f.edges {
		eventually(f.t, patience, e.name+" says "+reason, func() bool {
			a := e.ask(f.t, probe{token: raw})
			return a.code() == reason && (a.status == http.StatusOK) == (reason == "") || e.mute && a.status == token.Reason(reason).Meaning().Status
		})
	}
}

// try asks every adapter and compares what they say.
func (f *fleet) try(t *testing.T, tt trial) {
	t.Helper()
	first := judged(tt.ask(t, f, f.edges[0]))
	first.meets(t, tt)
	for _, e := range f.edges[1:] {
		t.Run(e.name, func(t *testing.T) {
			first.compare(t, judged(tt.ask(t, f, e)), e)
		})
	}
}

// letThrough holds every adapter to passing on what is good, and who it is.
func (f *fleet) letThrough(t *testing.T) {
	tests := []struct {
		name string
		ask  func(t *testing.T, f *fleet, e *edge) answer
	}{
		{"a good token", changed("/orders/1?x=1", same(nil))},
		{"with the scope", changed("/orders/new", same(claims{"scope": "orders.read orders.write"}))},
		{"a client of the list", changed("/partner/1", same(claims{"client_id": "partner"}))},
		{"a bound token with its proof", func(t *testing.T, f *fleet, e *edge) answer { return askBound(t, f, e, f.late.key, f.late.key) }},
		{"a clock 10 s ahead", func(t *testing.T, f *fleet, e *edge) answer {
			return e.ask(t, probe{token: f.house.token(claims{"iat": time.Now().Add(9 * time.Second).Unix()})})
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, e := range f.edges {
				if a := tt.ask(t, f, e); a.status != http.StatusOK || !strings.Contains(a.body, "alice") {
					t.Errorf("%s answers %d %s", e.name, a.status, a.body)
				}
			}
		})
	}
}

// judgement is what a refusal says, made comparable: every number in its text
// is a #.
type judgement struct {
	answer
	problem   map[string]any
	challenge string
	skew      float64 // NaN: none
}

// numbers are those that differ from one moment to the next.
var numbers = regexp.MustCompile(`-?[0-9]+(\.[0-9]+)?`)

func numberless(s string) string { return numbers.ReplaceAllString(s, "#") }

func judged(a answer) judgement {
	j := judgement{answer: a, problem: maps.Clone(a.json), challenge: numberless(strings.Join(a.header["Www-Authenticate"], " + ")), skew: math.NaN()}
	if skew, ok := a.json["skew_seconds"].(float64); ok {
		j.skew = skew
	}
	delete(j.problem, "skew_seconds")
	for name, v := range j.problem {
		j.problem[name] = numberless(fmt.Sprint(v))
	}
	return j
}

// meets holds the first adapter's answer against the table of reasons.
func (j judgement) meets(t *testing.T, tt trial) {
	t.Helper()
	m := token.Reason(tt.reason).Meaning()
	if want := slices.Contains(token.Reasons(), token.Reason(tt.reason)); want && (j.status != m.Status || j.text("title") != m.Title) {
		t.Errorf("answer is %d %q, want %d %q", j.status, j.text("title"), m.Status, m.Title)
	}
	if j.code() != tt.reason || !strings.Contains(j.text("detail"), tt.says) {
		t.Errorf("answer is %d %s: %s, want %s that says %q", j.status, j.code(), j.body, tt.reason, tt.says)
	}
	if tt.skew != 0 && !(math.Abs(j.skew-tt.skew) < 2) {
		t.Errorf("skew_seconds is %v, want about %v", j.skew, tt.skew)
	}
	if has := j.challenge != ""; has != (j.status == http.StatusUnauthorized || j.status == http.StatusForbidden) {
		t.Errorf("answer is %d with challenge %q", j.status, j.challenge)
	}
}

// compare holds another adapter's answer against j. Over gRPC there is no body
// and no type of one.
func (j judgement) compare(t *testing.T, other judgement, e *edge) {
	t.Helper()
	grpc := e.name == "grpc"
	if e.mute && j.status >= http.StatusInternalServerError {
		if other.status != j.status || other.body != "" {
			t.Errorf("says %d %q, want %d", other.status, other.body, j.status)
		}
		return
	}
	want := maps.Clone(j.problem)
	if grpc {
		delete(want, "type")
	} else if numberless(other.body) != numberless(j.body) {
		t.Errorf("the body is\n%q, want\n%q", other.body, j.body)
	}
	if !maps.Equal(want, other.problem) || j.status != other.status {
		t.Errorf("says %d %v\nwant %d %v", other.status, other.problem, j.status, want)
	}
	if j.challenge != other.challenge {
		t.Errorf("challenges\n%s, want\n%s", other.challenge, j.challenge)
	}
	if !(math.Abs(j.skew-other.skew) < 2) && !(math.IsNaN(j.skew) && math.IsNaN(other.skew)) {
		t.Errorf("skew_seconds is %v, want %v", other.skew, j.skew)
	}
	for _, name := range []string{"X-Token-Reason", "Retry-After", "Content-Type", "Cache-Control"} {
		if grpc && name[0] == 'C' { // of a body
			continue
		}
		if got, want := other.header.Get(name), j.header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if got, want := other.header.Get("Dpop-Nonce") != "", j.header.Get("Dpop-Nonce") != ""; got != want {
		t.Errorf("a nonce: %v, want %v", got, want)
	}
}

// TestTheGateOfEveryPage holds what the pages say of the gate against what the
// program takes.
func TestTheGateOfEveryPage(t *testing.T) {
	for _, name := range []string{"nginx.md", "caddy.md", "traefik.md", "haproxy.md", "envoy.md", "istio.md"} {
		blocks := pages(t, name, "yaml gate")
		for _, block := range blocks {
			if r := longcase(t, "", "config", "check", "-c", writeFile(t, t.TempDir(), "gate.yaml", block)); r.code != 0 {
				t.Errorf("docs/%s: %s", name, r.stderr)
			}
		}
		if len(blocks) == 0 {
			t.Errorf("docs/%s shows no gate", name)
		}
	}
}
