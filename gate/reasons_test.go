package gate

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/longcase/longcase/internal/gatetest"
	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify"
	"github.com/longcase/longcase/verify/early"
)

// said is what a caller hears through an edge.
type said struct {
	status int
	header http.Header
	body   string
}

// sent is a caller's request, before any edge.
type sent struct {
	method, target string
	header         http.Header
}

// an edge is one way to the judgement: how a gate is asked there, and how its
// answer comes back to the caller.
type edge struct {
	name    string // of Decision
	forward Forward
	ask     func(g *Gate, q sent) said
}

const proxyAddress = "10.1.2.3:5555"

var edges = []edge{
	{edgeMiddleware, NoForward, func(g *Gate, q sent) said {
		return heard(do(g.Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})), q.request(q.method, q.target)))
	}},
	{edgeProxy, NoForward, func(g *Gate, q sent) said { return heard(do(g.Handler(), q.request(q.method, q.target))) }},
	{edgeVerify, Nginx, func(g *Gate, q sent) said {
		return throughNginx(do(g.Handler(), q.forwarded("X-Original-Method", "X-Original-Uri")))
	}},
	{edgeVerify, Traefik, func(g *Gate, q sent) said {
		return heard(do(g.Handler(), q.forwarded("X-Forwarded-Method", "X-Forwarded-Uri")))
	}},
	{edgeVerify, Envoy, func(g *Gate, q sent) said {
		r := q.request(q.method, verifyPath+q.target)
		r.RemoteAddr = proxyAddress
		return heard(do(g.Handler(), r))
	}},
	{EdgeGRPC, NoForward, func(g *Gate, q sent) said { return answered(g.Judge(context.Background(), q.judged(EdgeGRPC))) }},
	{EdgeExtAuthz, NoForward, func(g *Gate, q sent) said { return answered(g.Judge(context.Background(), q.judged(EdgeExtAuthz))) }},
}

func (q sent) request(method, target string) *http.Request {
	u, err := url.ParseRequestURI(target)
	if err != nil {
		panic(err)
	}
	r := httptest.NewRequest(method, "/", nil)
	r.URL, r.RequestURI, r.Host, r.RemoteAddr, r.Header = u, target, "api.test", "192.0.2.7:40000", q.header.Clone()
	return r
}

func (q sent) forwarded(methodName, uriName string) *http.Request {
	r := q.request("GET", verifyPath)
	r.RemoteAddr = proxyAddress
	r.Header[methodName], r.Header[uriName] = []string{q.method}, []string{q.target}
	return r
}

func (q sent) judged(edge string) Request {
	return Request{Edge: edge, Method: q.method, Target: q.target, Scheme: "https", Host: "api.test", Header: q.header.Clone(), Peer: "192.0.2.7:40000"}
}

func heard(resp *http.Response) said {
	body, _ := io.ReadAll(resp.Body)
	return said{resp.StatusCode, resp.Header, string(body)}
}

func answered(a Answer) said { return said{a.Status, a.Header, string(a.Body)} }

// throughNginx is what auth_request makes of an answer: the body is gone, a
// refusal is 401 or 403, and what the caller gets is told by headers.
func throughNginx(resp *http.Response) said {
	if resp.StatusCode == 200 {
		return heard(resp)
	}
	s := said{header: resp.Header, body: resp.Header.Get("X-Token-Problem") + "\n"}
	_, _ = fmt.Sscan(resp.Header.Get("X-Token-Status"), &s.status)
	if resp.StatusCode != 401 && resp.StatusCode != 403 && resp.StatusCode < 500 {
		s.body = fmt.Sprintf("nginx makes 500 of %d", resp.StatusCode)
	}
	if len(s.body)+len(resp.Header.Get("Www-Authenticate")) > 3500 {
		s.body = "nginx has no room for these headers"
	}
	return s
}

// newEdgeGate is a gate whose one route, /, asks for scope and client.
func newEdgeGate(t testing.TB, key token.Signer, forward Forward, change func(*Config)) *Gate {
	t.Helper()
	upstream := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	cfg := config(key)
	cfg.URL = "https://api.test"
	cfg.Routes = []Route{{Path: "/", Methods: []string{"GET"}, Scopes: []string{"orders.read"}, Clients: []string{"web"}, Upstream: upstream.URL}}
	cfg.Forward, cfg.TrustedProxies = forward, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	if change != nil {
		change(&cfg)
	}
	g := mustNew(t, cfg)
	run(t, g)
	return g
}

// row is a request and a configuration that produce one reason.
type row struct {
	name   string
	send   sent
	times  int // the last answer counts
	config func(*Config)
	reason string
	status int
	oauth  string
}

// bearing is a request with a token of key that says c.
func bearing(t testing.TB, key token.Signer, c claims) sent {
	t.Helper()
	return asking("Bearer " + sign(t, key, good().With(c)))
}

func feedOf(c *Config) {
	c.Revocations = still(Event{Kind: early.Token, Value: "t9", End: at(900)}, Event{Kind: early.Key, Value: "k0", End: at(900)})
}

func silentFeed(c *Config) {
	c.Revocations = func(ctx context.Context, _ func(Event), _ func()) error { <-ctx.Done(); return nil }
}

// tokenRows are the reasons that lie in a token.
func tokenRows(t *testing.T, key token.Signer) []row {
	secret, err := token.NewSecretSigner("k1", bytes.Repeat([]byte("s"), 32))
	if err != nil {
		t.Fatal(err)
	}
	stranger, other, gone := newSigner(t, "k1"), newSigner(t, "k2"), newSigner(t, "k0")
	bearer := func(raw string) sent { return asking("Bearer " + raw) }
	with := func(c claims) sent { return bearing(t, key, c) }
	fine := with(nil)
	return []row{
		{"a good token", fine, 1, nil, "", 200, ""},
		{"the scheme in capitals", asking("BEARER " + sign(t, key, good())), 1, nil, "", 200, ""},
		{"not ended", fine, 1, feedOf, "", 200, ""},
		{"no header", asking(), 1, nil, "no_token", 401, ""},
		{"another scheme", asking("Basic d2ViOnNlY3JldA=="), 1, nil, "no_token", 401, ""},
		{"two headers", asking("Bearer "+sign(t, key, good()), "Bearer "+sign(t, key, good())), 1, nil, "malformed", 401, "invalid_token"},
		{"two tokens in one header", asking("Bearer " + sign(t, key, good()) + ", Bearer x"), 1, nil, "malformed", 401, "invalid_token"},
		{"no token behind the scheme", asking("Bearer"), 1, nil, "malformed", 401, "invalid_token"},
		{"no JWT", bearer("opaque"), 1, nil, "malformed", 401, "invalid_token"},
		{"too large", bearer(strings.Repeat("a", 16385)), 1, nil, "too_large", 401, "invalid_token"},
		{"HS256", bearer(sign(t, secret, good())), 1, nil, "bad_algorithm", 401, "invalid_token"},
		{"an unknown key", bearer(sign(t, other, good())), 1, nil, "unknown_key", 401, "invalid_token"},
		{"a forged signature", bearer(sign(t, stranger, good())), 1, nil, "bad_signature", 401, "invalid_token"},
		{"an ID token", bearer(gatetest.SignAs(t, key, "JWT", good())), 1, nil, "wrong_type", 401, "invalid_token"},
		{"another issuer", with(claims{"iss": "https://b.test/ë\"\\"}), 1, nil, "wrong_issuer", 401, "invalid_token"},
		{"another audience", with(claims{"aud": mail}), 1, nil, "wrong_audience", 401, "invalid_token"},
		{"very many long audiences", with(claims{"aud": []string{strings.Repeat("\u2028", 500), strings.Repeat("<", 900), strings.Repeat("\U0001F600", 300)}}), 1, nil, "wrong_audience", 401, "invalid_token"},
		{"no jti", with(claims{"jti": ""}), 1, nil, "missing_claim", 401, "invalid_token"},
		{"a clock 40 s ahead", bearer(sign(t, key, gatetest.Good(at(40)))), 1, nil, "not_yet_valid", 401, "invalid_token"},
		{"issued ahead", with(claims{"iat": at(40).Unix()}), 1, nil, "issued_in_future", 401, "invalid_token"},
		{"over", bearer(sign(t, key, gatetest.Good(at(-400)))), 1, nil, "expired", 401, "invalid_token"},
		{"over, the feed not loaded", bearer(sign(t, key, gatetest.Good(at(-400)))), 1, silentFeed, "expired", 401, "invalid_token"},
		{"a life of a day", with(claims{"exp": at(86400).Unix()}), 1, nil, "lifetime_too_long", 401, "invalid_token"},
		{"no scope", with(claims{"scope": "orders.write"}), 1, nil, "insufficient_scope", 403, "insufficient_scope"},
		{"another client", with(claims{"client_id": "batch"}), 1, nil, "client_not_allowed", 403, "insufficient_scope"},
		{"ended early", with(claims{"jti": "t9"}), 1, feedOf, "revoked", 401, "invalid_token"},
		{"of a withdrawn key", bearer(sign(t, gone, good())), 1, feedOf, "key_revoked", 401, "invalid_token"},
	}
}

// gateRows are the reasons that lie in the request, or in what the gate knows.
func gateRows(t *testing.T, key token.Signer) []row {
	own, foreign := gatetest.NewProver(t), gatetest.NewProver(t)
	bound := own.Token(t, key)
	fine := bearing(t, key, nil)
	return []row{
		{"a bound token with its proof", proving(t, own, bound), 1, nil, "", 200, ""},
		{"a second use", fine, 2, func(c *Config) { c.Routes[0].Once = true }, "replayed", 401, "invalid_token"},
		{"a second use of a proof", proving(t, own, bound), 2, nil, "replayed", 401, "invalid_dpop_proof"},
		{"a bound token without proof", asking("Bearer " + bound), 1, nil, "binding_missing", 401, "invalid_token"},
		{"an unbound token as a bound one", proving(t, own, sign(t, key, good())), 1, nil, "binding_missing", 401, "invalid_token"},
		{"an unbound token where one must be bound", fine, 1, func(c *Config) { c.Routes[0].Binding = verify.DPoP }, "binding_missing", 401, "invalid_token"},
		{"a bound token under DPoP without proof", asking("DPoP " + bound), 1, nil, "binding_missing", 401, "invalid_dpop_proof"},
		{"a proof without nonce", proving(t, own, bound), 1, func(c *Config) { c.Routes[0].Binding = verify.DPoP }, "binding_missing", 401, "use_dpop_nonce"},
		{"a proof of another key", proving(t, foreign, bound), 1, nil, "binding_mismatch", 401, "invalid_token"},
		{"keys out of reach", fine, 1, func(c *Config) { c.Issuers[0].Keys = gatetest.Unreachable{} }, "keys_unavailable", 503, ""},
		{"the feed not loaded", fine, 1, silentFeed, "revocations_stale", 503, ""},
		{"single uses cannot be remembered", fine, 1, func(c *Config) { c.Routes[0].Once, c.First = true, newMarks(0, fixed).First }, "revocations_stale", 503, ""},
		{"a method no route lists", sent{"PUT", "/x", fine.header}, 1, nil, "not_allowed", 403, ""},
		{"OPTIONS that is no preflight", sent{"OPTIONS", "/x", fine.header}, 1, nil, "not_allowed", 403, ""},
		{"too many from one address", fine, 3, func(c *Config) { c.Rates.Address = 2 }, "rate_limited", 429, ""},
		{"too many from one client", fine, 3, func(c *Config) { c.Rates.Client = 2 }, "rate_limited", 429, ""},
		{"a path of no route", sent{"GET", "/x", fine.header}, 1, func(c *Config) { c.Routes[0].Path = "/y" }, reasonNoRoute, 404, ""},
		{"a path with two readings", sent{"GET", "/a/..%2fb", fine.header}, 1, nil, reasonAmbiguous, 400, ""},
	}
}

// TestEveryReasonIsTheSameAtEveryEdge is the table of refusals: what a caller
// hears does not depend on the way it came.
func TestEveryReasonIsTheSameAtEveryEdge(t *testing.T) {
	key := newSigner(t, "k1")
	produced := map[string]bool{}
	for _, tt := range append(tokenRows(t, key), gateRows(t, key)...) {
		produced[tt.reason] = true
		t.Run(tt.name, func(t *testing.T) {
			var first said
			for i, e := range edges {
				got := checkEdge(t, e, key, tt)
				if i == 0 {
					first = got
				} else if tt.reason != "" {
					checkSame(t, e, got, first)
				}
			}
		})
	}
	for _, r := range token.Reasons() {
		if !produced[string(r)] {
			t.Errorf("no row produces %s", r)
		}
	}
}

// checkEdge asks at e, and wants what the row says, told once.
func checkEdge(t *testing.T, e edge, key token.Signer, tt row) said {
	t.Helper()
	got, decision, log := askOnce(t, e, key, tt.config, tt.send, tt.times)
	checkSaid(t, e, got, tt.reason, tt.status, tt.oauth)
	if decision.Reason != tt.reason || decision.Edge != e.name {
		t.Errorf("%s: decision %+v", e.name, decision)
	}
	if wants := tt.reason != ""; strings.Count(log, "msg=refused") != map[bool]int{true: 1}[wants] {
		t.Errorf("%s: not one line of log for each refusal: %q", e.name, log)
	}
	checkNoToken(t, log, tt.send)
	return got
}

// askOnce asks times times at e, and returns the last answer, the decision and
// the log it made.
func askOnce(t *testing.T, e edge, key token.Signer, change func(*Config), q sent, times int) (got said, d Decision, log string) {
	t.Helper()
	var lines bytes.Buffer
	g := newEdgeGate(t, key, e.forward, func(c *Config) {
		c.Hooks.Decided = func(heard Decision) { d = heard }
		if change != nil {
			change(c)
		}
		c.Log = slog.New(slog.NewTextHandler(&lines, nil))
	})
	if g.index != nil && g.cfg.Revocations != nil {
		waitForFeed(g)
	}
	for range times {
		d = Decision{}
		lines.Reset()
		got = e.ask(g, q)
	}
	return got, d, lines.String()
}

// waitForFeed waits until a feed that is ever live is.
func waitForFeed(g *Gate) {
	for range 20 {
		if g.Ready() == nil {
			return
		}
		_ = sleep(context.Background(), leastWait/20)
	}
}

func checkSaid(t *testing.T, e edge, got said, reason string, status int, oauth string) {
	t.Helper()
	at := fmt.Sprintf("%s %s", e.name, e.forward)
	if got.status != status || got.header.Get("X-Token-Reason") != reason {
		t.Errorf("%s: %d %q, want %d %q: %s", at, got.status, got.header.Get("X-Token-Reason"), status, reason, got.body)
	}
	if reason == "" {
		return
	}
	var p problem
	if err := json.Unmarshal([]byte(got.body), &p); err != nil {
		t.Fatalf("%s: body %q: %v", at, got.body, err)
	}
	if p.Reason != reason || p.Status != status || !strings.HasSuffix(p.Type, "/reasons/"+reason) || p.Detail == "" || p.Title == "" {
		t.Errorf("%s: problem %+v", at, p)
	}
	if strings.Count(got.body, "\n") != 1 || strings.ContainsFunc(got.body, func(r rune) bool { return r > '~' }) {
		t.Errorf("%s: body %q is not one line of ASCII", at, got.body)
	}
	if got.header.Get("Content-Type") != "application/problem+json" || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s: headers %v", at, got.header)
	}
	checkChallenge(t, at, got, reason, oauth)
	if wants := status == 503 || status == 429; wants != (got.header.Get("Retry-After") != "") {
		t.Errorf("%s: Retry-After = %q", at, got.header.Get("Retry-After"))
	}
	if (reason == "not_yet_valid" || reason == "issued_in_future") && (p.Skew == nil || math.Abs(*p.Skew-40) > 1) {
		t.Errorf("%s: skew_seconds = %v (%s)", at, p.Skew, p.Detail)
	}
}

func checkChallenge(t *testing.T, at string, got said, reason, oauth string) {
	t.Helper()
	challenge := got.header.Get("WWW-Authenticate")
	if wants := got.status == 401 || got.status == 403; wants != strings.Contains(challenge, ` realm="`+orders+`"`) {
		t.Errorf("%s: WWW-Authenticate = %q", at, challenge)
	}
	if (oauth != "") != strings.Contains(challenge, `error="`+oauth+`"`) {
		t.Errorf("%s: WWW-Authenticate = %q, want error %q", at, challenge, oauth)
	}
	if (reason == "insufficient_scope") != strings.Contains(challenge, `scope="orders.read"`) {
		t.Errorf("%s: WWW-Authenticate = %q and scope", at, challenge)
	}
	if oauth == "use_dpop_nonce" && got.header.Get("DPoP-Nonce") == "" {
		t.Errorf("%s: DPoP-Nonce = %q", at, got.header.Get("DPoP-Nonce"))
	}
}

// checkSame compares what a caller hears through e with what it hears elsewhere.
func checkSame(t *testing.T, e edge, got, want said) {
	t.Helper()
	if got.status != want.status || got.body != want.body {
		t.Errorf("%s %s: %d %s\nelsewhere: %d %s", e.name, e.forward, got.status, got.body, want.status, want.body)
	}
	for _, name := range []string{"WWW-Authenticate", "Retry-After", "Content-Type", "Cache-Control", "X-Token-Reason"} {
		if !slices.Equal(got.header.Values(name), want.header.Values(name)) {
			t.Errorf("%s %s: %s = %q, elsewhere %q", e.name, e.forward, name, got.header.Values(name), want.header.Values(name))
		}
	}
}

func checkNoToken(t *testing.T, log string, q sent) {
	t.Helper()
	for _, a := range q.header["Authorization"] {
		if parts := strings.Split(a, "."); len(parts) == 3 && strings.Contains(log, parts[1]) {
			t.Error("the log holds a token")
		}
	}
}

// asking is a GET of /x?y=1 with these Authorization headers.
func asking(authorization ...string) sent {
	h := http.Header{}
	if authorization != nil {
		h["Authorization"] = authorization
	}
	return sent{"GET", "/x?y=1", h}
}

// proving is a request of /x with raw and a fresh proof of p for it.
func proving(t testing.TB, p gatetest.Prover, raw string) sent {
	t.Helper()
	q := asking("DPoP " + raw)
	q.header["Dpop"] = []string{p.Proof(t, "GET", called+"/x", raw, "", nil)}
	return q
}
