package gate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify"
	"github.com/longcase/longcase/verify/early"
)

// edges are the three ways to one judgement.
type edges struct {
	gate *Gate
	log  *bytes.Buffer
}

// newEdges is a gate whose one route, /, asks for scope and client.
func newEdges(t *testing.T, key token.Signer, change func(*Config)) edges {
	t.Helper()
	upstream := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "upstream") }))
	var log bytes.Buffer
	cfg := config(key)
	cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	cfg.Routes = []Route{{Path: "/", Methods: []string{"GET"}, Scopes: []string{"orders.read"}, Clients: []string{"web"}, Upstream: upstream.URL}}
	cfg.Forward, cfg.TrustedProxies = Nginx, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	if change != nil {
		change(&cfg)
	}
	e := edges{gate: mustNew(t, cfg), log: &log}
	run(t, e.gate)
	return e
}

// ask sends the same request through each edge.
func (e edges) ask(authorization ...string) map[string]*http.Response {
	request := func(path string) *http.Request {
		r := get(path, "")
		if authorization != nil {
			r.Header["Authorization"] = authorization
		}
		return r
	}
	forward := request(verifyPath)
	forward.Header.Set("X-Original-Method", "GET")
	forward.Header.Set("X-Original-URI", "/x?y=1")
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "next") })
	return map[string]*http.Response{
		edgeMiddleware: do(e.gate.Middleware(next), request("/x?y=1")),
		edgeVerify:     do(e.gate.Handler(), forward),
		edgeProxy:      do(e.gate.Handler(), request("/x?y=1")),
	}
}

func TestEveryEdgeSaysTheSame(t *testing.T) {
	key, stranger := newSigner(t, "k1"), newSigner(t, "k1")
	other, gone := newSigner(t, "k2"), newSigner(t, "k0")
	secret, err := token.NewSecretSigner("k1", bytes.Repeat([]byte("s"), 32))
	if err != nil {
		t.Fatal(err)
	}
	bearer := func(raw string) []string { return []string{"Bearer " + raw} }
	stale := func(c *Config) {
		c.Revocations = func(ctx context.Context, _ func(Event), _ func()) error { <-ctx.Done(); return nil }
	}
	feed := func(c *Config) {
		c.Revocations = still(Event{Kind: early.Token, Value: "t9", End: at(900)}, Event{Kind: early.Key, Value: "k0", End: at(900)})
	}
	down := func(c *Config) { c.Issuers[0].Keys = unreachable{} }
	tests := []struct {
		name   string
		auth   []string
		config func(*Config)
		reason token.Reason
		status int
		oauth  string
	}{
		{"a good token", bearer(sign(t, key, good())), nil, "", 200, ""},
		{"the scheme in capitals", []string{"BEARER " + sign(t, key, good())}, nil, "", 200, ""},
		{"no header", nil, nil, token.NoToken, 401, ""},
		{"another scheme", []string{"Basic d2ViOnNlY3JldA=="}, nil, token.NoToken, 401, ""},
		{"two headers", []string{"Bearer " + sign(t, key, good()), "Bearer " + sign(t, key, good())}, nil, token.Malformed, 401, "invalid_token"},
		{"two tokens in one header", []string{"Bearer " + sign(t, key, good()) + ", Bearer x"}, nil, token.Malformed, 401, "invalid_token"},
		{"no token behind the scheme", []string{"Bearer"}, nil, token.Malformed, 401, "invalid_token"},
		{"no JWT", bearer("opaque"), nil, token.Malformed, 401, "invalid_token"},
		{"too large", bearer(strings.Repeat("a", 16385)), nil, token.TooLarge, 401, "invalid_token"},
		{"HS256", bearer(sign(t, secret, good())), nil, token.BadAlgorithm, 401, "invalid_token"},
		{"an unknown key", bearer(sign(t, other, good())), nil, token.UnknownKey, 401, "invalid_token"},
		{"a forged signature", bearer(sign(t, stranger, good())), nil, token.BadSignature, 401, "invalid_token"},
		{"an ID token", bearer(signAs(t, key, "JWT", good())), nil, token.WrongType, 401, "invalid_token"},
		{"another issuer", bearer(sign(t, key, good().with(claims{"iss": "https://b.test"}))), nil, token.WrongIssuer, 401, "invalid_token"},
		{"another audience", bearer(sign(t, key, good().with(claims{"aud": mail}))), nil, token.WrongAudience, 401, "invalid_token"},
		{"no jti", bearer(sign(t, key, good().with(claims{"jti": ""}))), nil, token.MissingClaim, 401, "invalid_token"},
		{"a clock 40 s ahead", bearer(sign(t, key, goodAt(at(40)))), nil, token.NotYetValid, 401, "invalid_token"},
		{"issued ahead", bearer(sign(t, key, good().with(claims{"iat": at(40).Unix()}))), nil, token.IssuedInFuture, 401, "invalid_token"},
		{"over", bearer(sign(t, key, goodAt(at(-400)))), nil, token.Expired, 401, "invalid_token"},
		{"a life of a day", bearer(sign(t, key, good().with(claims{"exp": at(86400).Unix()}))), nil, token.LifetimeTooLong, 401, "invalid_token"},
		{"no scope", bearer(sign(t, key, good().with(claims{"scope": "orders.write"}))), nil, token.InsufficientScope, 403, "insufficient_scope"},
		{"another client", bearer(sign(t, key, good().with(claims{"client_id": "batch"}))), nil, token.ClientNotAllowed, 403, "insufficient_scope"},
		{"bound to a key", bearer(sign(t, key, good().with(claims{"cnf": claims{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}))), nil, token.BindingMissing, 401, "invalid_token"},
		{"ended early", bearer(sign(t, key, good().with(claims{"jti": "t9"}))), feed, token.Revoked, 401, "invalid_token"},
		{"not ended", bearer(sign(t, key, good())), feed, "", 200, ""},
		{"of a withdrawn key", bearer(sign(t, gone, good())), feed, token.KeyRevoked, 401, "invalid_token"},
		{"keys out of reach", bearer(sign(t, key, good())), down, token.KeysUnavailable, 503, ""},
		{"the feed not loaded", bearer(sign(t, key, good())), stale, token.RevocationsStale, 503, ""},
		{"over, the feed not loaded", bearer(sign(t, key, goodAt(at(-400)))), stale, token.Expired, 401, "invalid_token"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := newEdges(t, key, tt.config)
			if e.gate.index != nil && tt.reason != token.RevocationsStale && tt.reason != token.Expired {
				eventually(t, "the feed is loaded", func() bool { return e.gate.Ready() == nil })
			}
			answers := e.ask(tt.auth...)
			var bodies, challenges []string
			for edge, resp := range answers {
				if resp.StatusCode != tt.status {
					t.Errorf("%s: status %d, want %d", edge, resp.StatusCode, tt.status)
				}
				challenges = append(challenges, resp.Header.Get("WWW-Authenticate"))
				p := readProblem(t, resp)
				bodies = append(bodies, fmt.Sprint(p.Type, p.Title, p.Status, p.Detail, p.Reason))
				checkRefusal(t, edge, resp, p, tt.reason, tt.oauth)
			}
			if bodies[0] != bodies[1] || bodies[1] != bodies[2] || challenges[0] != challenges[1] || challenges[1] != challenges[2] {
				t.Errorf("edges differ: %q, %q", bodies, challenges)
			}
			checkLog(t, e.log.String(), tt.reason, tt.auth)
		})
	}
}

func checkRefusal(t *testing.T, edge string, resp *http.Response, p problem, reason token.Reason, oauth string) {
	t.Helper()
	if reason == "" {
		return
	}
	h := resp.Header
	if p.Reason != string(reason) || h.Get("X-Token-Reason") != string(reason) || !strings.HasSuffix(p.Type, "/reasons/"+string(reason)) {
		t.Errorf("%s: reason %q (%s) in header %q, type %q; want %q", edge, p.Reason, p.Detail, h.Get("X-Token-Reason"), p.Type, reason)
	}
	if h.Get("Content-Type") != "application/problem+json" || h.Get("Cache-Control") != "no-store" || p.Detail == "" || p.Title == "" {
		t.Errorf("%s: headers %v, problem %+v", edge, h, p)
	}
	challenge := h.Get("WWW-Authenticate")
	if wants := resp.StatusCode != 503; wants != strings.HasPrefix(challenge, `Bearer realm="`+orders+`"`) {
		t.Errorf("%s: WWW-Authenticate = %q", edge, challenge)
	}
	if (oauth != "") != strings.Contains(challenge, `error="`+oauth+`"`) {
		t.Errorf("%s: WWW-Authenticate = %q, want error %q", edge, challenge, oauth)
	}
	if (reason == token.InsufficientScope) != strings.Contains(challenge, `scope="orders.read"`) {
		t.Errorf("%s: WWW-Authenticate = %q and scope", edge, challenge)
	}
	if (reason == token.NotYetValid || reason == token.IssuedInFuture) != (p.Skew != nil && *p.Skew == 40) {
		t.Errorf("%s: skew_seconds = %v", edge, p.Skew)
	}
}

// checkLog wants one line for each refusal, and no token in it.
func checkLog(t *testing.T, log string, reason token.Reason, auth []string) {
	t.Helper()
	lines := 3
	if reason == "" {
		lines = 0
	}
	if n := strings.Count(log, "msg=refused"); n != lines || strings.Count(log, "reason="+string(reason)+" ") != lines {
		t.Errorf("%d lines about refusals, want %d:\n%s", n, lines, log)
	}
	for _, a := range auth {
		if parts := strings.Split(a, "."); len(parts) == 3 && strings.Contains(log, parts[1]) {
			t.Error("the log holds a token")
		}
	}
}

type unreachable struct{}

func (unreachable) Keys(context.Context, string, token.Algorithm) ([]token.Key, error) {
	return nil, &token.Error{Reason: token.KeysUnavailable, Err: errors.New("connection refused")}
}

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

// RFC 9700 section 4.3: a token in a URL was already seen by others.
func TestATokenInTheQueryIsIgnored(t *testing.T) {
	key := newSigner(t, "k1")
	raw := sign(t, key, good())
	e := newEdges(t, key, nil)
	for _, path := range []string{"/x?access_token=" + raw, "/verify?access_token=" + raw} {
		r := get(path, "")
		r.Header.Set("X-Original-Method", "GET")
		r.Header.Set("X-Original-URI", path)
		if p := readProblem(t, do(e.gate.Handler(), r)); p.Reason != string(token.NoToken) {
			t.Errorf("%s: reason %q", path[:10], p.Reason)
		}
	}
	form := httptest.NewRequest(http.MethodGet, "/x", strings.NewReader("access_token="+raw))
	form.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if p := readProblem(t, do(e.gate.Handler(), form)); p.Reason != string(token.NoToken) {
		t.Errorf("form: reason %q", p.Reason)
	}
	if strings.Contains(e.log.String(), raw[:60]) {
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
		resp := do(g.Handler(), get("/verify", sign(t, key, good().with(claims{"sub": tt.subject}))))
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
		resp := do(h, get(tt.path, sign(t, key, good().with(claims{"aud": tt.aud}))))
		if resp.StatusCode != tt.status {
			t.Errorf("%s with a token for %s: %d, want %d", tt.path, tt.aud, resp.StatusCode, tt.status)
		}
	}
	cfg.Routes[0].Audience = ""
	if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "every route names its own") {
		t.Errorf("a route without audience among several: %v", err)
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

func TestHooksHearEachDecision(t *testing.T) {
	key := newSigner(t, "k1")
	var heard []Decision
	e := newEdges(t, key, func(c *Config) { c.Hooks.Decided = func(d Decision) { heard = append(heard, d) } })
	e.ask("Bearer " + sign(t, key, goodAt(at(-400))))
	e.ask()
	if len(heard) != 6 {
		t.Fatalf("%d decisions, want 6", len(heard))
	}
	for i, d := range heard {
		want := Decision{Route: "/", Issuer: issuerA, Reason: string(token.Expired)}
		if i >= 3 {
			want = Decision{Route: "/", Reason: string(token.NoToken)}
		}
		if d.Took < 0 || d.Took > time.Minute {
			t.Errorf("took %s", d.Took)
		}
		d.Took, d.Edge = 0, ""
		if d != want {
			t.Errorf("decision %d = %+v, want %+v", i, d, want)
		}
	}
}

func TestNewNamesEveryWrongField(t *testing.T) {
	_, err := New(Config{
		Issuers: []verify.Issuer{{URL: "http://tokens.example.com", Audience: "*"}, {URL: issuerA, Audience: orders, Keys: verify.Fixed{}}},
		Forward: "apache", TrustedProxies: []netip.Prefix{{}},
		Revocations: still(), StaleAfter: time.Millisecond, WhenStale: "maybe", KeysStale: -1,
		Routes: []Route{
			{Path: "orders", Audience: orders},
			{Path: "/a/../b", Audience: orders, Upstream: "ftp://x"},
			{Path: "/verify", Audience: "https://nobody.test", Methods: []string{"G T"}, Scopes: []string{"a b"}, Clients: []string{""}},
			{Path: "/c/", Audience: orders, Upstream: "http://user:secret@x/"}, {Path: "/c/", Audience: orders},
		},
	})
	if err == nil {
		t.Fatal("New succeeds")
	}
	contains(t, "error", err.Error(), "issuers[0]", "forward", "trusted proxies[0]", "name the one the feed comes from", "stale after", "when stale", "keys stale",
		`routes[0] "orders"`, "ftp", "/verify is the gate's own", "nobody.test", "G T", "a b", "clients", "no user", "two routes")
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
		resp := do(g.Handler(), get("/verify", sign(t, key, good().with(claims{"iss": iss}))))
		challenge := resp.Header.Get("WWW-Authenticate")
		if strings.Count(challenge, `"`) != 6 || strings.ContainsAny(challenge, "\r\n\\") || len(challenge) > 1000 || len(resp.Header) != 4 {
			t.Errorf("iss %q: %q in %v", clip(iss), challenge, resp.Header)
		}
		for _, r := range challenge {
			if r < ' ' || r > '~' {
				t.Errorf("iss %q: %q holds %q", clip(iss), challenge, r)
			}
		}
	}
}

func TestRefusalsForLackOfAnIssuerSayWhenToComeBack(t *testing.T) {
	key := newSigner(t, "k1")
	cfg := config(key)
	cfg.Issuers[0].Keys = unreachable{}
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
