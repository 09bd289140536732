package gate

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/longcase/longcase/internal/gatetest"
	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify"
)

func TestMiddlewareHandsOverTheClaims(t *testing.T) {
	key := newSigner(t, "k1")
	g := mustNew(t, config(key))
	var seen token.Claims
	h := g.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		seen, _ = FromContext(r.Context())
		if len(r.Header["X-Token-Subject"]) != 0 || len(r.Header["X_token_subject"]) != 0 {
			t.Errorf("a client's own identity headers are passed on: %v", r.Header)
		}
		if r.URL.EscapedPath() != "/a%2Fb" {
			t.Errorf("without routes the path is not the gate's business, yet it became %s", r.URL.EscapedPath())
		}
	}))
	r := get("/a%2Fb", sign(t, key, good()))
	r.Header["X-Token-Subject"], r.Header["X_token_subject"] = []string{"root"}, []string{"root"}
	if resp := do(h, r); resp.StatusCode != 200 || seen.Subject != "alice" {
		t.Errorf("status %d, claims %+v", resp.StatusCode, seen)
	}
	if _, ok := FromContext(context.Background()); ok {
		t.Error("claims out of nowhere")
	}
}

// What a handler writes into its claims, the next request is not judged by.
func TestClaimsBelongToWhoeverAsksForThem(t *testing.T) {
	key := newSigner(t, "k1")
	g := mustNew(t, config(key))
	raw := sign(t, key, good())
	var seen []token.Claims
	h := g.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		c, _ := FromContext(r.Context())
		c.Audience[0] = mail
		clear(c.Raw)
		again, _ := FromContext(r.Context())
		seen = append(seen, again)
	}))
	for range 3 {
		if resp := do(h, get("/x", raw)); resp.StatusCode != 200 {
			t.Fatalf("%d %s", resp.StatusCode, resp.Header.Get("X-Token-Reason"))
		}
	}
	for i, c := range seen {
		if c.Audience[0] != orders || !strings.HasPrefix(string(c.Raw), "{") {
			t.Errorf("request %d: aud %q, %q", i, c.Audience, c.Raw)
		}
	}
}

// RFC 9700 section 4.3: a token in a URL was already seen by others.
func TestATokenInTheQueryIsIgnored(t *testing.T) {
	raw := sign(t, newSigner(t, "k1"), good())
	var log bytes.Buffer
	g := newEdgeGate(t, newSigner(t, "k1"), NoForward, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	for _, path := range []string{"/x?access_token=" + raw, "/verify?access_token=" + raw} {
		if p := readProblem(t, do(g.Handler(), get(path, ""))); p.Reason != string(token.NoToken) {
			t.Errorf("%s: reason %q", path[:10], p.Reason)
		}
	}
	form := httptest.NewRequest(http.MethodGet, "/x", strings.NewReader("access_token="+raw))
	form.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if p := readProblem(t, do(g.Handler(), form)); p.Reason != string(token.NoToken) {
		t.Errorf("form: reason %q", p.Reason)
	}
	if strings.Contains(log.String(), raw[:60]) {
		t.Error("the log holds a token")
	}
}

func TestVerifySaysWhoItIs(t *testing.T) {
	key := newSigner(t, "k1")
	g := mustNew(t, config(key))
	tests := []struct{ subject, header string }{
		{"alice", "alice"},
		{"auth0|5f7c8ec7", "auth0|5f7c8ec7"},
		{"Zoë", "Zo%C3%AB"},
		{"a%b", "a%25b"},
		{" alice", "%20alice"},
		{"alice smith", "alice smith"},
		{"eve\r\nX-Token-Client: root", "eve%0D%0AX-Token-Client: root"},
	}
	for _, tt := range tests {
		resp := do(g.Handler(), get("/verify", sign(t, key, good().With(claims{"sub": tt.subject}))))
		h := resp.Header
		if resp.StatusCode != 200 || h.Get("X-Token-Subject") != tt.header {
			t.Errorf("%q: status %d, X-Token-Subject %q, want %q", tt.subject, resp.StatusCode, h.Get("X-Token-Subject"), tt.header)
		}
		if h.Get("X-Token-Client") != "web" || h.Get("X-Token-Scope") != "orders.read" || h.Get("X-Token-Expires") != fmt.Sprint(at(300).Unix()) {
			t.Errorf("headers %v", h)
		}
	}
}

// Two audiences at two routes: what serves one does not serve the other.
func TestEachRouteHasItsAudience(t *testing.T) {
	key := newSigner(t, "k1")
	cfg := config(key)
	cfg.Issuers = append(cfg.Issuers, verify.Issuer{URL: issuerA, Audience: mail, Keys: verify.Fixed{key.Key()}})
	cfg.Routes = []Route{{Path: "/orders/", Audience: orders}, {Path: "/mail/", Audience: mail}}
	h := mustNew(t, cfg).Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for _, tt := range []struct {
		path, aud string
		status    int
	}{
		{"/orders/1", orders, 200}, {"/orders/1", mail, 401}, {"/mail/1", orders, 401}, {"/mail/1", mail, 200},
	} {
		resp := do(h, get(tt.path, sign(t, key, good().With(claims{"aud": tt.aud}))))
		if resp.StatusCode != tt.status {
			t.Errorf("%s with a token for %s: %d, want %d", tt.path, tt.aud, resp.StatusCode, tt.status)
		}
	}
	cfg.Routes[0].Audience = ""
	if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "every route names its own") {
		t.Errorf("a route without audience among several: %v", err)
	}
}

// Beside services' tokens, those whose audience is the user have the routes that
// name no audience, and no others have them.
func TestARouteWithoutAudienceIsForUsers(t *testing.T) {
	const issuerB = "https://b.test"
	key := newSigner(t, "k1")
	cfg := config(key)
	cfg.Issuers = append(cfg.Issuers, verify.Issuer{URL: issuerB, SubjectFrom: "aud", Profile: verify.JWT, Keys: verify.Fixed{key.Key()}})
	cfg.Routes = []Route{{Path: "/orders/", Audience: orders}, {Path: "/me/"}}
	g := mustNew(t, cfg)
	h := g.Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	service, user := sign(t, key, good()), sign(t, key, good().With(claims{"iss": issuerB, "aud": "alice"}))
	for _, tt := range []struct {
		path, raw, says string
	}{
		{"/orders/1", service, ""}, {"/me/1", user, ""},
		{"/orders/1", user, "name a user, not an audience"}, {"/me/1", service, "takes tokens whose aud is the user"},
		{"/elsewhere", user, "no route"},
	} {
		resp := do(h, get(tt.path, tt.raw))
		body, err := io.ReadAll(resp.Body)
		if err != nil || (resp.StatusCode == 200) != (tt.says == "") || !strings.Contains(string(body), tt.says) {
			t.Errorf("%s: %d %s %v, want %q", tt.path, resp.StatusCode, body, err, tt.says)
		}
	}
	for who, raw := range map[string]string{"s": service, "u": user} {
		if resp := do(g.Handler(), get("/verify", raw)); resp.StatusCode != 200 {
			t.Errorf("/verify, of which no route is known, refuses %s: %d", who, resp.StatusCode)
		}
	}
	cfg.Issuers = append(cfg.Issuers, verify.Issuer{URL: issuerA, Audience: mail, Keys: verify.Fixed{key.Key()}})
	mustNew(t, cfg) // still told apart
	cfg.Issuers = append(cfg.Issuers[:1:1], cfg.Issuers[2])
	if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "every route names its own") {
		t.Errorf("several services and no user: %v", err)
	}
}

func TestRoutesChoose(t *testing.T) {
	key := newSigner(t, "k1")
	cfg := config(key)
	cfg.Routes = []Route{
		{Path: "/", Scopes: []string{"root"}},
		{Path: "/orders", Methods: []string{"GET"}},
		{Path: "/orders/", Methods: []string{"GET"}, Scopes: []string{"orders.read"}},
		{Path: "/orders/", Methods: []string{"POST", "DELETE"}, Scopes: []string{"orders.write"}},
		{Path: "/orders/public/", Clients: []string{"batch"}},
	}
	h := mustNew(t, cfg).Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	raw := sign(t, key, good())
	for _, tt := range []struct {
		method, path string
		reason       string
	}{
		{"GET", "/", "insufficient_scope"},
		{"GET", "/ordersx", "insufficient_scope"},
		{"GET", "/orders", ""},
		{"HEAD", "/orders", "not_allowed"},
		{"GET", "/orders/", ""},
		{"GET", "/orders/7?as=json", ""},
		{"GET", "/%6frders/7", ""},
		{"GET", "/Orders/7", "insufficient_scope"},
		{"POST", "/orders/7", "insufficient_scope"},
		{"PUT", "/orders/7", "not_allowed"},
		{"get", "/orders/7", "not_allowed"},
		{"OPTIONS", "/orders/7", "not_allowed"},
		{"GET", "/orders/public/x", "client_not_allowed"},
		{"GET", "/orders/public", ""},
		{"GET", "/orders/public/../7", "ambiguous_path"},
	} {
		r := get(tt.path, raw)
		r.Method = tt.method
		resp := do(h, r)
		if got := resp.Header.Get("X-Token-Reason"); got != tt.reason {
			t.Errorf("%s %s: %d %q, want %q", tt.method, tt.path, resp.StatusCode, got, tt.reason)
		}
	}
}

func TestAnUnmatchedPathIsNotFound(t *testing.T) {
	key := newSigner(t, "k1")
	cfg := config(key)
	cfg.Routes = []Route{{Path: "/forward-only/"}}
	g := mustNew(t, cfg)
	for _, path := range []string{"/", "/orders", "/forward-only/x", "/verify/x"} {
		if p := readProblem(t, do(g.Handler(), get(path, sign(t, key, good())))); p.Status != 404 || p.Reason != reasonNoRoute {
			t.Errorf("%s: %+v", path, p)
		}
	}
}

func TestNewNamesEveryWrongField(t *testing.T) {
	_, err := New(Config{
		Issuers: []verify.Issuer{{URL: "http://tokens.example.com", Audience: "*"}, {URL: issuerA, Audience: orders, Keys: verify.Fixed{}}},
		Forward: "apache", TrustedProxies: []netip.Prefix{{}},
		URL: "ftp://api.test/?x", NonceKey: []byte("short"), Rates: Rates{Client: -1},
		Revocations: still(), StaleAfter: time.Millisecond, WhenStale: "maybe", KeysStale: -1,
		Routes: []Route{
			{Path: "orders", Audience: orders},
			{Path: "/a/../b", Audience: orders, Upstream: "ftp://x"},
			{Path: "/verify", Audience: "https://nobody.test", Methods: []string{"G T"}, Scopes: []string{"a b"}, Clients: []string{""}},
			{Path: "/c/", Audience: orders, Upstream: "http://user:secret@x/"}, {Path: "/c/", Audience: orders},
			{Path: "/d/", Audience: orders, Binding: "password", UpstreamTLS: &tls.Config{}},
		},
	})
	if err == nil {
		t.Fatal("New succeeds")
	}
	contains(t, "error", err.Error(), "issuers[0]", "forward", "trusted proxies[0]", "name the one the feed comes from", "stale after", "when stale", "keys stale",
		`routes[0] "orders"`, "ftp", "/verify is the gate's own", "nobody.test", "G T", "a b", "clients", "no user", "two routes", "rates: client -1", "nonce key: 5 bytes",
		"ftp://api.test", `binding: "password"`, "upstream TLS: only for an https upstream")
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("the error holds a password: %v", err)
	}
}

func TestRefusalsHaveNoBodyForHead(t *testing.T) {
	g := mustNew(t, config(newSigner(t, "k1")))
	r := get("/verify", "")
	r.Method = http.MethodHead
	resp := do(g.Handler(), r)
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 401 || len(body) != 0 {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
}

// What a token says must not break out of the header it is quoted in
// (RFC 6750 section 3).
func TestTheChallengeQuotesNothingDangerous(t *testing.T) {
	key := newSigner(t, "k1")
	g := mustNew(t, config(key))
	for _, iss := range []string{`x", error="none`, "x\r\nSet-Cookie: a=b", `back\slash`, "Zo\u00eb", strings.Repeat("long", 500)} {
		resp := do(g.Handler(), get("/verify", sign(t, key, good().With(claims{"iss": iss}))))
		challenge := resp.Header.Get("WWW-Authenticate")
		if strings.Count(challenge, `"`) != 6 || strings.ContainsAny(challenge, "\r\n\\") || len(challenge) > 1000 || len(resp.Header) != 4 {
			t.Errorf("iss %q: %q in %v", token.Clip(iss), challenge, resp.Header)
		}
		for _, r := range challenge {
			if r < ' ' || r > '~' {
				t.Errorf("iss %q: %q holds %q", token.Clip(iss), challenge, r)
			}
		}
	}
}

func TestRefusalsForLackOfAnIssuerSayWhenToComeBack(t *testing.T) {
	key := newSigner(t, "k1")
	cfg := config(key)
	cfg.Issuers[0].Keys = gatetest.Unreachable{}
	resp := do(mustNew(t, cfg).Handler(), get("/verify", sign(t, key, good())))
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("%d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
	}
}

func TestHooksHearOfRequestsWithoutARoute(t *testing.T) {
	key := newSigner(t, "k1")
	var heard []Decision
	cfg := config(key)
	cfg.Routes = []Route{{Path: "/orders/", Methods: []string{"GET"}}}
	cfg.Hooks.Decided = func(d Decision) { heard = append(heard, d) }
	h := mustNew(t, cfg).Handler()
	for _, path := range []string{"/nowhere", "/orders/../x"} {
		do(h, get(path, ""))
	}
	if len(heard) != 2 || heard[0] != (Decision{Edge: edgeProxy, Reason: reasonNoRoute}) || heard[1] != (Decision{Edge: edgeProxy, Reason: reasonAmbiguous}) {
		t.Errorf("heard %+v", heard)
	}
}
