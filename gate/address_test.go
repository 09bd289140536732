package gate

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

func TestTheClientIsWhoTheLastTrustedProxySaw(t *testing.T) {
	g := &Gate{cfg: Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}}}
	tests := []struct {
		name, peer string
		from       []string
		want       string
	}{
		{"nobody in front", "192.0.2.1:5", nil, "192.0.2.1"},
		{"an untrusted peer that tells tales", "192.0.2.1:5", []string{"10.0.0.1"}, "192.0.2.1"},
		{"one proxy", "10.0.0.1:5", []string{"192.0.2.1"}, "192.0.2.1"},
		{"two proxies", "10.0.0.1:5", []string{"192.0.2.1, 10.0.0.2"}, "192.0.2.1"},
		{"a client that tells tales to the proxy", "10.0.0.1:5", []string{"203.0.113.9, 10.9.9.9, 192.0.2.1"}, "192.0.2.1"},
		{"in two lines", "10.0.0.1:5", []string{"203.0.113.9", "192.0.2.1 ,\t10.0.0.2"}, "192.0.2.1"},
		{"a proxy that says nothing", "10.0.0.1:5", nil, "10.0.0.1"},
		{"rubbish", "10.0.0.1:5", []string{"192.0.2.1, unknown"}, "10.0.0.1"},
		{"rubbish left of a trusted one", "10.0.0.1:5", []string{"192.0.2.1, _x, 10.0.0.2"}, "10.0.0.2"},
		{"an empty line", "10.0.0.1:5", []string{""}, "10.0.0.1"},
		{"trusted ones only", "10.0.0.1:5", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"IPv6 with brackets and a port", "[fd00::1]:5", []string{"[2001:db8::1]:443"}, "2001:db8::1"},
		{"IPv6 bare", "fd00::1", []string{"2001:db8::1"}, "2001:db8::1"},
		{"IPv4 in IPv6", "[::ffff:10.0.0.1]:5", []string{"::ffff:192.0.2.1"}, "192.0.2.1"},
		{"with a zone", "[fd00::1%eth0]:5", []string{"fe80::1%eth0"}, "fe80::1"},
	}
	for _, tt := range tests {
		got, ok := g.client(tt.peer, http.Header{"X-Forwarded-For": tt.from})
		if !ok || got.String() != tt.want {
			t.Errorf("%s: %s, %v; want %s", tt.name, got, ok, tt.want)
		}
	}
	for _, peer := range []string{"", "@", "proxy.test:80", "10.0.0.1:x:y"} {
		if ip, ok := g.client(peer, http.Header{"X-Forwarded-For": {"192.0.2.1"}}); ok || g.trusts(peer) {
			t.Errorf("%q is %s", peer, ip)
		}
	}
}

// What an untrusted peer says of itself reaches neither routes nor the upstream.
func TestForwardedLiesOfStrangers(t *testing.T) {
	key := newSigner(t, "k1")
	var seen http.Header
	upstream := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.Header }))
	g := newEdgeGate(t, key, Traefik, func(c *Config) { c.Routes[0].Upstream = upstream.URL })
	q := asking("Bearer " + sign(t, key, good()))
	q.header["X-Forwarded-For"], q.header["X-Forwarded-Proto"], q.header["X-Forwarded-Host"] = []string{"10.0.0.9"}, []string{"https"}, []string{"bank.test"}
	q.header["X-Forwarded-Method"], q.header["X-Forwarded-Uri"] = []string{"GET"}, []string{"/x"}
	if resp := do(g.Handler(), q.request("GET", verifyPath)); resp.StatusCode != 403 {
		t.Errorf("a stranger asks /verify: %d", resp.StatusCode)
	}
	do(g.Handler(), q.request("GET", "/x"))
	if seen.Get("X-Forwarded-For") != "192.0.2.7" || seen.Get("X-Forwarded-Proto") != "http" || seen.Get("X-Forwarded-Host") != "api.test" {
		t.Errorf("a stranger's word is passed on: %v", seen)
	}
	trusted := q.request("GET", "/x")
	trusted.RemoteAddr = proxyAddress
	do(g.Handler(), trusted)
	if seen.Get("X-Forwarded-For") != "10.0.0.9, 10.1.2.3" || seen.Get("X-Forwarded-Proto") != "https" {
		t.Errorf("a trusted proxy's word is lost: %v", seen)
	}
}

func FuzzForwardedFor(f *testing.F) {
	g := &Gate{cfg: Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}
	for _, seed := range []string{"192.0.2.1", "10.0.0.2,,", "[::1]:80, 10.0.0.3", ",", "[", "]", "[]", "1.2.3.4:99999", "fe80::1%x,10.1.1.1"} {
		f.Add(seed, "198.51.100.7")
	}
	f.Fuzz(func(t *testing.T, tale, seen string) {
		entry, ok := addressOf(seen)
		if strings.Contains(seen, ",") || !ok || g.trustsAddress(entry) {
			return
		}
		got, ok := g.client("10.0.0.1:5", http.Header{"X-Forwarded-For": {tale, tale + "," + seen}})
		if !ok || got != entry {
			t.Errorf("%q behind %q is %v", seen, tale, got)
		}
		if got, ok := g.client("192.0.2.200:1", http.Header{"X-Forwarded-For": {tale}}); !ok || got.String() != "192.0.2.200" {
			t.Errorf("a stranger's %q makes it %v", tale, got)
		}
	})
}

func FuzzOriginal(f *testing.F) {
	g, err := New(Config{Issuers: config(newSigner(f, "k1")).Issuers, Forward: Nginx, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Routes: []Route{{Path: "/orders/", Methods: []string{"GET"}}}})
	if err != nil {
		f.Fatal(err)
	}
	for _, target := range ambiguousTargets {
		f.Add("GET", target)
	}
	f.Add("OPTIONS", "/orders/1?x=/../")
	f.Fuzz(func(t *testing.T, method, target string) {
		r := forwarded(Nginx, proxyAddress, "", "GET", "/")
		r.Header["X-Original-Method"], r.Header["X-Original-Uri"] = []string{method}, []string{target}
		o := outcome{route: g.any}
		refused := g.decide(r.Context(), g.original(r), &o)
		if refused == nil {
			t.Fatalf("%q %q needs no token", method, target)
		}
		if o.path != "" && (!strings.HasPrefix(o.path, "/orders/") || method != "GET" || checkSegments(o.path) != nil) {
			t.Errorf("%q %q is taken for %q of %s", method, target, o.path, o.route.Path)
		}
	})
}

func FuzzAuthorization(f *testing.F) {
	for _, seed := range []string{"", "Bearer", "Bearer ", "bearer  a.b.c", "DPoP x", "dpop\tx", "Basic x", "Bearer a,b", "Bearer a b", "Bearer\u00a0x", "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		scheme, raw, err := authorization(http.Header{"Authorization": {value}})
		switch {
		case err != nil && raw != "":
			t.Errorf("%q: %q and %v", value, raw, err)
		case err != nil:
			return
		case scheme != schemeBearer && scheme != schemeDPoP, raw == "", strings.ContainsAny(raw, " \t,"):
			t.Errorf("%q: scheme %q, token %q", value, scheme, raw)
		case !strings.EqualFold(strings.Join(strings.Fields(value), " "), scheme+" "+raw) && !strings.ContainsAny(raw, "\n\v\f\r\u0085\u00a0"):
			t.Errorf("%q became %q %q", value, scheme, raw)
		}
		if _, _, err := authorization(http.Header{"Authorization": {value, value}}); err == nil {
			t.Errorf("%q twice passes", value)
		}
	})
}
