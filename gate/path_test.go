package gate

import (
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/longcase/longcase/token"
)

// targets are ways round a route that worked somewhere (CVE-2025-54576,
// CVE-2026-34457, CVE-2026-40575, CVE-2026-41059 and their like).
var ambiguousTargets = []string{
	"", "*", "orders/1", "http://orders.test/admin", "//orders.test/admin", "/orders//admin", "/orders/../admin",
	"/orders/./admin", "/orders/..", "/orders/.", "/..", "/orders/%2e%2e/admin", "/orders/.%2E/admin", "/orders/%2e/admin",
	"/orders%2fadmin", "/orders%2F..%2Fadmin", "/orders%5cadmin", `/orders\admin`, `/orders/..\admin`, "/orders/..;/admin",
	"/orders;/admin", "/orders/;x=1/admin", "/orders%3b/admin", "/orders/%252e%252e/admin", "/orders/%25%32%65%25%32%65/admin",
	"/orders%252fadmin", "/orders/%c0%ae%c0%ae/admin", "/orders/%ff", "/orders/%00", "/orders/\x00", "/orders/%0d%0aX-A:b",
	"/orders/%7f", "/orders/%0a", "/orders/%", "/orders/%zz", "/orders/%2", "/orders%3f/../admin", "/orders%23", "/orders/#/admin", "/admin#/orders/",
}

func TestAPathWithTwoReadingsIsRefused(t *testing.T) {
	for _, target := range ambiguousTargets {
		if got, err := pathOfURI(target); err == nil {
			t.Errorf("%q is read as %q", target, got)
		}
	}
}

func TestAPathWithOneReadingIsTaken(t *testing.T) {
	for target, want := range map[string]string{
		"/":                         "/",
		"/orders/":                  "/orders/",
		"/orders/1?to=/../admin":    "/orders/1",
		"/orders/1?a=b;c&d=%2f..":   "/orders/1",
		"/%6frders/%31":             "/orders/1",
		"/orders/a%20b":             "/orders/a b",
		"/orders/50%25%20off":       "/orders/50% off",
		"/orders/...":               "/orders/...",
		"/orders/.hidden/..b/c..":   "/orders/.hidden/..b/c..",
		"/orders/Zo%C3%AB":          "/orders/Zoë",
		"/orders/a+b,c:d@e!$&'()*=": "/orders/a+b,c:d@e!$&'()*=",
		"/?":                        "/",
		"/??x":                      "/",
	} {
		got, err := pathOfURI(target)
		if err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", target, got, err, want)
		}
	}
}

// Whatever is accepted has one reading, whoever reads it.
func FuzzOriginalURI(f *testing.F) {
	for _, s := range ambiguousTargets {
		f.Add(s)
	}
	f.Add("/orders/1?x=%2e")
	f.Add("/orders/50%25/a")
	f.Fuzz(func(t *testing.T, target string) {
		got, err := pathOfURI(target)
		if err != nil {
			return
		}
		if clean := path.Clean(got); clean != got && clean+"/" != got {
			t.Errorf("%q is read as %q, a server would make it %q", target, got, clean)
		}
		if twice, err := url.PathUnescape(got); err == nil && twice != got {
			t.Errorf("%q is read as %q, decoded once more it is %q", target, got, twice)
		}
		if u, err := url.ParseRequestURI(target); err == nil && u.Path != got {
			t.Errorf("%q is read as %q, net/url says %q", target, got, u.Path)
		}
		sent := &url.URL{Path: got}
		if again, err := cleanPath(sent.EscapedPath()); err != nil || again != got {
			t.Errorf("%q is read as %q, but sent on as %q (%v)", target, got, sent.EscapedPath(), err)
		}
	})
}

// forwardGate lets readers read below /orders/ and nobody do anything else.
func forwardGate(t *testing.T, key token.Signer, f Forward) *Gate {
	t.Helper()
	cfg := config(key)
	cfg.Forward, cfg.TrustedProxies = f, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	cfg.Routes = []Route{
		{Path: "/orders/", Methods: []string{"GET"}, Scopes: []string{"orders.read"}},
		{Path: "/admin", Scopes: []string{"admin"}},
	}
	return mustNew(t, cfg)
}

// forwarded is what a proxy at peer asks about method and uri.
func forwarded(f Forward, peer, raw, method, uri string) *http.Request {
	r := get("/verify", raw)
	r.RemoteAddr = peer
	names := map[Forward][]string{Nginx: {"X-Original-Method", "X-Original-Uri"}, Traefik: {"X-Forwarded-Method", "X-Forwarded-Uri"}}[f]
	for i, name := range names {
		if v := []string{method, uri}[i]; v != "" {
			r.Header[name] = []string{v}
		}
	}
	return r
}

func TestForwardedRequestsAreJudgedByTheirRoute(t *testing.T) {
	key := newSigner(t, "k1")
	raw := sign(t, key, good())
	const nginx = "10.1.2.3:5555"
	tests := []struct {
		name         string
		peer, method string
		uri          string
		status       int
		reason       string
	}{
		{"a reader reads", nginx, "GET", "/orders/1?x=/admin", 200, ""},
		{"over IPv6", "[fd00::7]:5555", "GET", "/orders/1", 200, ""},
		{"IPv4 in IPv6", "[::ffff:10.1.2.3]:5555", "GET", "/orders/1", 200, ""},
		{"a reader writes", nginx, "POST", "/orders/1", 403, "not_allowed"},
		{"the method in small letters", nginx, "get", "/orders/1", 403, "not_allowed"},
		{"a reader administers", nginx, "GET", "/admin", 403, "insufficient_scope"},
		{"from elsewhere", "11.0.0.1:5555", "GET", "/orders/1", 403, "not_allowed"},
		{"from nowhere", "@", "GET", "/orders/1", 403, "not_allowed"},
		{"no URI", nginx, "GET", "", 403, "not_allowed"},
		{"no method", nginx, "", "/orders/1", 403, "not_allowed"},
	}
	noRoute := map[Forward]int{Nginx: 403, Traefik: 404} // nginx makes 500 of a 404
	ambiguous := map[Forward]int{Nginx: 403, Traefik: 400}
	for _, f := range []Forward{Nginx, Traefik} {
		h := forwardGate(t, key, f).Handler()
		if got := do(h, forwarded(f, nginx, raw, "GET", "/orders")).StatusCode; got != noRoute[f] {
			t.Errorf("%s: no route: %d, want %d", f, got, noRoute[f])
		}
		for _, tt := range tests {
			t.Run(string(f)+": "+tt.name, func(t *testing.T) {
				resp := do(h, forwarded(f, tt.peer, raw, tt.method, tt.uri))
				if resp.StatusCode != tt.status || resp.Header.Get("X-Token-Reason") != tt.reason {
					t.Errorf("%d %q, want %d %q", resp.StatusCode, resp.Header.Get("X-Token-Reason"), tt.status, tt.reason)
				}
				if tt.status == 403 && !strings.HasPrefix(resp.Header.Get("WWW-Authenticate"), "Bearer ") {
					t.Errorf("WWW-Authenticate = %q", resp.Header.Get("WWW-Authenticate"))
				}
			})
		}
		for _, uri := range ambiguousTargets {
			r := forwarded(f, nginx, raw, "GET", "/")
			r.Header[map[Forward]string{Nginx: "X-Original-Uri", Traefik: "X-Forwarded-Uri"}[f]] = []string{uri}
			resp := do(h, r)
			if resp.StatusCode != ambiguous[f] || resp.Header.Get("X-Token-Reason") != reasonAmbiguous {
				t.Errorf("%s: %q: status %d", f, uri, resp.StatusCode)
			}
		}
	}
}

// A client's own headers must not stand in for the proxy's.
func TestForwardedHeadersComeOnceAndFromOneProxy(t *testing.T) {
	key := newSigner(t, "k1")
	raw := sign(t, key, good())
	h := forwardGate(t, key, Nginx).Handler()
	twice := forwarded(Nginx, "10.1.2.3:5555", raw, "GET", "/orders/1")
	twice.Header["X-Original-Uri"] = []string{"/orders/1", "/admin"}
	foreign := forwarded(Traefik, "10.1.2.3:5555", raw, "GET", "/orders/1")
	under := get("/verify", raw)
	under.RemoteAddr = "10.1.2.3:5555"
	under.Header["X_original_method"], under.Header["X_original_uri"] = []string{"GET"}, []string{"/orders/1"}
	for name, r := range map[string]*http.Request{"twice": twice, "of another proxy": foreign, "with underscores": under} {
		if resp := do(h, r); resp.StatusCode != 403 {
			t.Errorf("%s: status %d", name, resp.StatusCode)
		}
	}
	// Without forward they are not looked at.
	g := mustNew(t, config(key))
	if resp := do(g.Handler(), forwarded(Nginx, "192.0.2.1:5555", raw, "POST", "/admin")); resp.StatusCode != 200 {
		t.Errorf("without forward: status %d", resp.StatusCode)
	}
	if _, err := New(Config{Issuers: config(key).Issuers, Forward: Nginx}); err == nil {
		t.Error("forward without trusted proxies is accepted")
	}
}

// Through a real server the ambiguous targets do not pass either.
func TestAmbiguousPathsAreBadRequests(t *testing.T) {
	key := newSigner(t, "k1")
	reached := ""
	upstream := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { reached = r.RequestURI }))
	cfg := config(key)
	cfg.Routes = []Route{{Path: "/orders/", Upstream: upstream.URL}}
	s := serve(t, mustNew(t, cfg).Handler())
	raw := sign(t, key, good())
	for _, target := range ambiguousTargets {
		if strings.ContainsAny(target, "\x00") {
			continue
		}
		status := rawRequest(t, s, "GET "+target+" HTTP/1.1", "Host: x", "Authorization: Bearer "+raw)
		if status < 400 || reached != "" {
			t.Errorf("%q: status %d, upstream saw %q", target, status, reached)
		}
	}
	if status := rawRequest(t, s, "GET http://elsewhere.test/%6frders/a%20b?x=1;y HTTP/1.1", "Host: x", "Authorization: Bearer "+raw); status != 200 || !strings.HasPrefix(reached, "/orders/a%20b") {
		t.Errorf("status %d, upstream saw %q", status, reached)
	}
}

// Envoy asks with the request's own method, and its path below /verify.
func TestEnvoyAsksBelowVerify(t *testing.T) {
	key := newSigner(t, "k1")
	raw := sign(t, key, good())
	cfg := config(key)
	cfg.Routes = []Route{{Path: "/orders/", Methods: []string{"GET"}}, {Path: "/verify/", Methods: []string{"GET"}}}
	cfg.Forward, cfg.TrustedProxies = Envoy, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "below /verify") {
		t.Errorf("a route below /verify: %v", err)
	}
	cfg.Routes = cfg.Routes[:1]
	s := serve(t, mustNew(t, cfg).Handler())
	for _, tt := range []struct {
		method, target string
		status         int
	}{
		{"GET", "/verify/orders/1?x=/admin", 200},
		{"GET", "/verify/%6frders/1", 200},
		{"POST", "/verify/orders/1", 403},
		{"GET", "/verify/admin", 404},
		{"GET", "/verify/", 404},
		{"GET", "/verify", 400},
		{"GET", "/%76erify/orders/1", 400},
		{"GET", "/verify/verify/orders/1", 404},
		{"GET", "/orders/1", 404},
	} {
		if got := rawRequest(t, s, tt.method+" "+tt.target+" HTTP/1.1", "Host: x", "Authorization: Bearer "+raw); got != tt.status {
			t.Errorf("%s %s: %d, want %d", tt.method, tt.target, got, tt.status)
		}
	}
	for _, target := range ambiguousTargets {
		if strings.ContainsAny(target, "\x00") {
			continue
		}
		if got := rawRequest(t, s, "GET /verify"+target+" HTTP/1.1", "Host: x", "Authorization: Bearer "+raw); got < 400 {
			t.Errorf("%q: %d", target, got)
		}
	}
	cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	stranger := serve(t, mustNew(t, cfg).Handler())
	if got := rawRequest(t, stranger, "GET /verify/orders/1 HTTP/1.1", "Host: x", "Authorization: Bearer "+raw); got != 403 {
		t.Errorf("a stranger: %d", got)
	}
}

// The search looks at no more of a path than routes have, however long it is: at
// all of its ends, a path of a header's size would cost seconds before anybody
// asked for a token.
func TestALongPathCostsNoMoreThanARoute(t *testing.T) {
	rs := routes{byPath: map[string][]*route{}}
	for i := range 20 { // a map of few entries compares instead of hashing
		rs.add(&route{Route: Route{Path: "/service" + strings.Repeat("x", i) + "/"}})
	}
	rs.add(&route{Route: Route{Path: "/service/exact"}})
	long := strings.Repeat("a/", 1<<22) // for ever, at all of its ends
	for path, want := range map[string]string{
		"/service/" + long: "/service/", "/servicexx/" + long: "/servicexx/", "/" + long: "",
		"/service/exact": "/service/exact", "/service/exact/" + long: "/service/", "/service/exactly": "/service/",
		"/service" + strings.Repeat("x", 19) + "/": "/service" + strings.Repeat("x", 19) + "/",
		"/service" + strings.Repeat("x", 20) + "/": "",
	} {
		rt, err := rs.find("GET", path)
		if (err != nil) != (want == "") || err == nil && rt.Path != want {
			t.Errorf("%.40s: %v, %v; want %q", path, rt, err, want)
		}
	}
}
