package gate

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/longcase/longcase/internal/gatetest"
	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify"
	"github.com/longcase/longcase/verify/dpop"
)

// called is what clients call the gate of these tests.
const called = "https://api.test"

// bindingGate has a route of each kind.
func bindingGate(t testing.TB, key token.Signer, change func(*Config)) *Gate {
	t.Helper()
	cfg := config(key)
	cfg.URL = called
	cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")}
	cfg.Routes = []Route{
		{Path: "/any/"}, {Path: "/dpop/", Binding: verify.DPoP}, {Path: "/mtls/", Binding: verify.MTLS},
		{Path: "/once/", Once: true}, {Path: "/scoped/", Scopes: []string{"admin"}},
	}
	if change != nil {
		change(&cfg)
	}
	return mustNew(t, cfg)
}

// presenting is a request of the test's client.
func presenting(scheme, raw, path string, proofs ...string) Request {
	h := http.Header{"Authorization": {scheme + " " + raw}}
	if proofs != nil {
		h["Dpop"] = proofs
	}
	return Request{Edge: EdgeGRPC, Method: "GET", Target: path, Scheme: "http", Host: "inside.test", Header: h, Peer: "192.0.2.1:1000"}
}

func TestDPoPAtTheGate(t *testing.T) {
	key, p, other := newSigner(t, "k1"), gatetest.NewProver(t), gatetest.NewProver(t)
	bound, unbound := p.Token(t, key), sign(t, key, good())
	g := bindingGate(t, key, nil)
	nonce := g.keys.nonces.At(start)
	prove := func(path, nonce string, change claims) string {
		return p.Proof(t, "GET", called+path, bound, nonce, change)
	}
	tests := []struct {
		name   string
		sent   Request
		reason token.Reason
		code   string // error of the challenge
		detail string
	}{
		{"a proof with the nonce", presenting("DPoP", bound, "/dpop/1", prove("/dpop/1", nonce, nil)), "", "", ""},
		{"the scheme in other letters", presenting("dpop", bound, "/dpop/1", prove("/dpop/1", nonce, nil)), "", "", ""},
		{"the query is not proved", presenting("DPoP", bound, "/dpop/1?a=b", prove("/dpop/1", nonce, nil)), "", "", ""},
		{"no nonce where none is asked for", presenting("DPoP", bound, "/any/1", prove("/any/1", "", nil)), "", "", ""},
		{"a stray proof beside a bearer token", presenting("Bearer", unbound, "/any/1", "nonsense"), "", "", ""},
		{"no proof", presenting("DPoP", bound, "/dpop/1"), token.BindingMissing, "invalid_dpop_proof", "no DPoP header"},
		{"no nonce", presenting("DPoP", bound, "/dpop/1", prove("/dpop/1", "", nil)), token.BindingMissing, "use_dpop_nonce", "no nonce"},
		{"an old nonce", presenting("DPoP", bound, "/dpop/1", prove("/dpop/1", g.keys.nonces.At(at(-600)), nil)), token.BindingMissing, "use_dpop_nonce", "none of the last"},
		{"two proofs", presenting("DPoP", bound, "/dpop/1", prove("/dpop/1", nonce, nil), prove("/dpop/1", nonce, nil)), token.BindingMismatch, "invalid_dpop_proof", "2 DPoP headers"},
		{"for another path", presenting("DPoP", bound, "/dpop/1", prove("/dpop/2", nonce, nil)), token.BindingMismatch, "invalid_dpop_proof", "htu is"},
		{"for the inner name", presenting("DPoP", bound, "/dpop/1", p.Proof(t, "GET", "http://inside.test/dpop/1", bound, nonce, nil)), token.BindingMismatch, "invalid_dpop_proof", "htu is"},
		{"for another method", presenting("DPoP", bound, "/dpop/1", prove("/dpop/1", nonce, claims{"htm": "POST"})), token.BindingMismatch, "invalid_dpop_proof", "htm is"},
		{"for another token", presenting("DPoP", bound, "/dpop/1", p.Proof(t, "GET", called+"/dpop/1", unbound, nonce, nil)), token.BindingMismatch, "invalid_dpop_proof", "ath"},
		{"too old", presenting("DPoP", bound, "/any/1", prove("/any/1", "", claims{"iat": at(-95).Unix()})), token.BindingMismatch, "invalid_dpop_proof", "95 s old (at most 60 s)"},
		{"by another key", presenting("DPoP", bound, "/dpop/1", other.Proof(t, "GET", called+"/dpop/1", bound, nonce, nil)), token.BindingMismatch, "invalid_token", "cnf.jkt"},
		{"bound, as a bearer token", presenting("Bearer", bound, "/any/1"), token.BindingMissing, "invalid_token", "proof"},
		{"bound, as a bearer token with a proof", presenting("Bearer", bound, "/any/1", prove("/any/1", nonce, nil)), token.BindingMissing, "invalid_token", ""},
		{"bound, as a bearer token with a proof, where DPoP is asked for", presenting("Bearer", bound, "/dpop/1", prove("/dpop/1", nonce, nil)), token.BindingMissing, "invalid_token", ""},
		{"not bound, as DPoP", presenting("DPoP", unbound, "/any/1", p.Proof(t, "GET", called+"/any/1", unbound, nonce, nil)), token.BindingMissing, "invalid_token", "not bound"},
		{"not bound, where DPoP is asked for", presenting("Bearer", unbound, "/dpop/1"), token.BindingMissing, "invalid_token", "no jkt"},
		{"bound to a key, where a certificate is asked for", presenting("DPoP", bound, "/mtls/1", prove("/mtls/1", nonce, nil)), token.BindingMissing, "invalid_token", "x5t#S256"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := g.Judge(context.Background(), tt.sent)
			if a.Allowed != (tt.reason == "") || a.Reason != string(tt.reason) || !strings.Contains(a.Detail, tt.detail) {
				t.Fatalf("%q (%s), want %q with %q", a.Reason, a.Detail, tt.reason, tt.detail)
			}
			if tt.reason != "" {
				checkDPoPChallenge(t, a.Header, tt.code, strings.HasPrefix(tt.sent.Target, "/dpop/"), nonce)
			}
		})
	}
}

// checkDPoPChallenge wants the challenge of RFC 9449 section 7.1 and, where a
// nonce is asked for, one.
func checkDPoPChallenge(t *testing.T, h http.Header, code string, asked bool, nonce string) {
	t.Helper()
	challenge := h.Get("WWW-Authenticate")
	if !strings.HasPrefix(challenge, "DPoP ") || !strings.Contains(challenge, `error="`+code+`"`) || !strings.Contains(challenge, `algs="`+proofAlgorithms+`"`) {
		t.Errorf("WWW-Authenticate = %q, want error %q", challenge, code)
	}
	want := []string{nonce}
	if !asked {
		want = nil
	}
	if got := h.Values("DPoP-Nonce"); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("DPoP-Nonce = %q, want %q", got, want)
	}
}

func TestTheChallengeNamesEveryAlgorithmOfAProof(t *testing.T) {
	var names []string
	for _, a := range dpop.Algorithms() {
		names = append(names, string(a))
	}
	if got := strings.Join(names, " "); got != proofAlgorithms {
		t.Errorf("%q, want %q", proofAlgorithms, got)
	}
}

// A client without a nonce learns one with the first answer, whatever that is,
// and the next one before its own is too old.
func TestTheLifeOfANonce(t *testing.T) {
	key, p := newSigner(t, "k1"), gatetest.NewProver(t)
	now := start
	g := bindingGate(t, key, func(c *Config) { c.Now = func() time.Time { return now } })
	raw := p.Token(t, key)
	h := g.Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Cache-Control", "max-age=60") }))
	ask := func(nonce string) (int, string) {
		t.Helper()
		r := httptest.NewRequest("GET", called+"/dpop/1", nil)
		r.Header.Set("Authorization", "DPoP "+raw)
		r.Header.Set("DPoP", p.Proof(t, "GET", called+"/dpop/1", raw, nonce, claims{"iat": now.Unix()}))
		resp := do(h, r)
		return resp.StatusCode, resp.Header.Get("DPoP-Nonce")
	}
	if r := do(h, httptest.NewRequest("GET", called+"/dpop/1", nil)); r.StatusCode != 401 || r.Header.Get("DPoP-Nonce") == "" {
		t.Errorf("without a token: %d, %v", r.StatusCode, r.Header)
	}
	status, first := ask("")
	if status != 401 || first == "" {
		t.Fatalf("without a nonce: %d %q", status, first)
	}
	if status, next := ask(first); status != 200 || next != "" {
		t.Errorf("with it: %d %q", status, next)
	}
	now = at(150)
	status, second := ask(first)
	if status != 200 || second == "" || second == first {
		t.Errorf("in the next slot: %d %q", status, second)
	}
	now = at(300)
	if status, third := ask(first); status != 401 || third == "" || third == second {
		t.Errorf("in the one after that: %d %q", status, third)
	}
	if status, _ := ask(second); status != 200 {
		t.Errorf("with the one that was offered: %d", status)
	}
}

// uses is a memory of single uses that can be looked at.
type uses struct {
	keys map[string]time.Time
	err  error
}

func (u *uses) first(_ context.Context, kind, key string, end time.Time) (bool, error) {
	_, known := u.keys[kind+" "+key]
	u.keys[kind+" "+key] = end
	return !known, u.err
}

func TestAProofIsUsedOnceAndLast(t *testing.T) {
	key, p, other := newSigner(t, "k1"), gatetest.NewProver(t), gatetest.NewProver(t)
	bound := p.Token(t, key)
	u := &uses{keys: map[string]time.Time{}}
	now := start
	g := bindingGate(t, key, func(c *Config) { c.First, c.Now = u.first, func() time.Time { return now } })
	judge := func(path, proof string) string {
		return g.Judge(context.Background(), presenting("DPoP", bound, path, proof)).Reason
	}
	wrong := other.Proof(t, "GET", called+"/any/1", bound, "", nil)
	scoped := p.Proof(t, "GET", called+"/scoped/1", bound, "", nil)
	old := p.Proof(t, "GET", called+"/any/1", bound, "", claims{"iat": at(-61).Unix()})
	for _, refused := range []string{judge("/any/1", wrong), judge("/scoped/1", scoped), judge("/any/1", old)} {
		if refused == "" || refused == string(token.Replayed) || len(u.keys) != 0 {
			t.Errorf("%q, and %d proofs are used up", refused, len(u.keys))
		}
	}
	proof := p.Proof(t, "GET", called+"/any/1", bound, "", claims{"jti": "once"})
	again := p.Proof(t, "GET", called+"/any/1", bound, "", claims{"jti": "once", "x": 1})
	elsewhere := p.Proof(t, "GET", called+"/any/2", bound, "", claims{"jti": "once"})
	if judge("/any/1", proof) != "" || judge("/any/2", elsewhere) != "" {
		t.Error("two URLs share one jti")
	}
	now = at(60)
	for _, replay := range []string{proof, again} {
		if got := judge("/any/1", replay); got != string(token.Replayed) {
			t.Errorf("a proof that was used: %q", got)
		}
	}
	now = at(61)
	if got := judge("/any/1", proof); got != string(token.BindingMismatch) {
		t.Errorf("outside its window: %q", got)
	}
	for key, end := range u.keys {
		if !strings.HasPrefix(key, "dpop ") || len(key) != len("dpop ")+43 || end != start.Add(dpop.MaxAge+dpop.MaxAhead) {
			t.Errorf("mark %q until %s", key, end)
		}
	}
	u.err = errors.New("no connection")
	if got := judge("/any/1", p.Proof(t, "GET", called+"/any/1", bound, "", claims{"iat": now.Unix()})); got != string(token.RevocationsStale) {
		t.Errorf("without a memory: %q", got)
	}
}

// RFC 9449 section 11.1: however many proofs come and however large their jti,
// what is remembered is bounded by their window.
func TestTheMemoryOfProofsIsBounded(t *testing.T) {
	total := 1_000_000
	if os.Getenv("LONGCASE_LONG") == "" {
		total /= 20
	}
	const perSecond = 100
	key, p := newSigner(t, "k1"), gatetest.NewProver(t)
	now := start
	clock := func() time.Time { return now }
	m := newMarks(total, clock)
	h := sha256.Sum256([]byte(p.Token(t, key)))
	for i := range total {
		now = start.Add(time.Duration(i) * time.Second / perSecond)
		key := base64.RawURLEncoding.EncodeToString(h[:])
		h = sha256.Sum256(h[:])
		if first, err := m.First(context.Background(), "dpop", key, now.Add(dpop.MaxAge+dpop.MaxAhead)); !first || err != nil {
			t.Fatalf("proof %d: %v, %v", i, first, err)
		}
	}
	if most := perSecond * int((dpop.MaxAge + dpop.MaxAhead + 3*time.Minute).Seconds()); len(m.until) > most {
		t.Errorf("%d of %d proofs are remembered, more than %d", len(m.until), total, most)
	}
	g := bindingGate(t, key, func(c *Config) { c.First = newMarks(10, clock).First; c.Now = fixed })
	raw := p.Token(t, key)
	for i := range 12 {
		a := g.Judge(context.Background(), presenting("DPoP", raw, "/any/1", p.Proof(t, "GET", called+"/any/1", raw, "", nil)))
		if want := map[bool]string{true: "", false: string(token.RevocationsStale)}[i < 10]; a.Reason != want {
			t.Errorf("proof %d of 10: %q (%s), want %q", i+1, a.Reason, a.Detail, want)
		}
	}
}

func TestTheURLOfAProof(t *testing.T) {
	key, p := newSigner(t, "k1"), gatetest.NewProver(t)
	raw := p.Token(t, key)
	for _, tt := range []struct {
		own, scheme, target, htu string
		ok                       bool
	}{
		{"https://api.test/", "http", "/any/1", "https://api.test/any/1", true},
		{"https://api.test//", "http", "/any/1", "https://api.test/any/1", true},
		{"https://api.test/v1", "http", "/any/1", "https://api.test/v1/any/1", true},
		{"https://api.test/v1", "http", "/any/1", "https://api.test/any/1", false},
		{"", "http", "/any/1", "http://inside.test/any/1", true},
		{"", "https", "/any/1", "https://inside.test:443/any/1", true},
		{"", "https", "/any/1", "http://inside.test/any/1", false},
		{"", "https", "/any/%31", "https://inside.test/any/1", true},
		{"", "https", "/any/a%20b", "https://inside.test/any/a%20b", true},
	} {
		g := bindingGate(t, key, func(c *Config) { c.URL = tt.own })
		r := presenting("DPoP", raw, tt.target, p.Proof(t, "GET", tt.htu, raw, "", nil))
		r.Scheme = tt.scheme
		if a := g.Judge(context.Background(), r); a.Allowed != tt.ok {
			t.Errorf("%+v: %q (%s)", tt, a.Reason, a.Detail)
		}
	}
}

// Where nobody tells /verify what the original request was, no proof can be
// judged.
func TestForwardAuthWithoutForwardTakesNoProof(t *testing.T) {
	key, p := newSigner(t, "k1"), gatetest.NewProver(t)
	raw := p.Token(t, key)
	g := bindingGate(t, key, nil)
	r := get("/verify", "")
	r.Header.Set("Authorization", "DPoP "+raw)
	r.Header.Set("DPoP", p.Proof(t, "GET", called+"/verify", raw, "", nil))
	if got := readProblem(t, do(g.Handler(), r)); got.Reason != string(token.BindingMismatch) || !strings.Contains(got.Detail, "configure forward") {
		t.Errorf("%+v", got)
	}
}

// A token that is good for one request is used up by none that is refused for
// what only the gate judges; neither is a proof.
func TestNothingIsUsedUpByARefusal(t *testing.T) {
	key, p := newSigner(t, "k1"), gatetest.NewProver(t)
	own := certified(t, newECKey(t), nil)
	bound := p.Token(t, key)
	u := &uses{keys: map[string]time.Time{}}
	g := bindingGate(t, key, func(c *Config) {
		c.First = u.first
		c.Routes = append(c.Routes, Route{Path: "/certified/", Binding: verify.MTLS, Once: true})
	})
	prove := func(jti string) string {
		return p.Proof(t, "GET", called+"/once/1", bound, "", claims{"jti": jti})
	}
	used := func() (kinds string) {
		for key := range u.keys {
			kinds += strings.Fields(key)[0] + " "
		}
		return kinds
	}
	certified := gatetest.SignFor(t, key, own)
	byCertificate := presenting("DPoP", certified, "/certified/1", p.Proof(t, "GET", called+"/certified/1", certified, "", nil))
	byCertificate.Certificate = own.Certificate[0]
	if a := g.Judge(context.Background(), byCertificate); a.Reason != string(token.BindingMissing) || used() != "" {
		t.Errorf("under the wrong scheme: %q (%s), used up: %s", a.Reason, a.Detail, used())
	}
	proof := prove("once")
	if a := g.Judge(context.Background(), presenting("DPoP", bound, "/once/1", proof)); !a.Allowed || len(u.keys) != 2 {
		t.Fatalf("%q (%s), used up: %s", a.Reason, a.Detail, used())
	}
	other := sign(t, key, good().With(claims{"jti": "t2", "cnf": claims{"jkt": p.JKT}}))
	same := p.Proof(t, "GET", called+"/once/1", other, "", claims{"jti": "once"}) // a client that makes the same jti twice
	if a := g.Judge(context.Background(), presenting("DPoP", other, "/once/1", same)); a.Reason != string(token.Replayed) || len(u.keys) != 2 {
		t.Errorf("with a proof that was used: %q (%s), used up: %s", a.Reason, a.Detail, used())
	}
	fresh := p.Proof(t, "GET", called+"/once/1", other, "", nil)
	if a := g.Judge(context.Background(), presenting("DPoP", other, "/once/1", fresh)); !a.Allowed {
		t.Errorf("afterwards: %q (%s)", a.Reason, a.Detail)
	}
}
