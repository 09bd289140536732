package gate

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/longcase/longcase/token"
)

// spellings of a header's name that some server reads as that name: any case,
// and any of "-", "_" and "." between the words.
func spellings(name string) []string {
	words := strings.Split(name, "-")
	list := []string{""}
	for i, word := range words {
		var longer []string
		for _, head := range list {
			for _, w := range []string{word, strings.ToLower(word), strings.ToUpper(word)} {
				for _, sep := range []string{"-", "_", "."} {
					if i == 0 {
						sep = ""
					}
					longer = append(longer, head+sep+w)
				}
			}
		}
		slices.Sort(longer)
		list = slices.Compact(longer)
	}
	return list
}

// RFC 9700 section 4.13, CVE-2025-64484: no spelling of a header in which a
// client says who it is gets past the gate.
func TestNoSpellingOfAnIdentityPasses(t *testing.T) {
	identity := []string{"X-Token-Subject", "X-Token-Client", "X-Token-Scope", "X-Token-Expires", "X-Token-Admin"}
	forwarding := []string{
		"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-User", "X-Forwarded-Client-Cert", "X-Forwarded-Tls-Client-Cert",
		"X-Original-Uri", "X-Original-Method", "Forwarded", "X-Real-Ip", "Client-Cert", "Client-Cert-Chain", "X-Ssl-Client-Cert", "X-Http-Method-Override",
		"Remote-User", "X-Remote-User", "X-Auth-Request-Email", "X-Webauth-User", "X-Client-Ip", "True-Client-Ip", "X-Rewrite-Url",
	}
	key := newSigner(t, "k1")
	var seen http.Header
	upstream := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.Header }))
	g := newEdgeGate(t, key, NoForward, func(c *Config) { c.Routes[0].Upstream = upstream.URL })
	next := g.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.Header }))
	tried := 0
	for _, name := range append(identity, forwarding...) {
		q := asking("Bearer " + sign(t, key, good()))
		for _, spelt := range spellings(name) {
			q.header[spelt] = []string{"mallory"}
			tried++
		}
		if s := heard(do(g.Handler(), q.request("GET", "/x"))); s.status != 200 {
			t.Fatalf("%s: %+v", name, s)
		}
		noMallory(t, "the upstream", seen)
		do(next, q.request("GET", "/x"))
		noMallory(t, "the handler", seen)
		if slices.Contains(identity, name) {
			for spelt := range q.header {
				if spelt != "Authorization" && !Reserved(spelt) {
					t.Errorf("an adapter lets %q pass", spelt)
				}
			}
		}
	}
	if tried < 500 {
		t.Errorf("only %d spellings", tried)
	}
}

func noMallory(t *testing.T, who string, h http.Header) {
	t.Helper()
	for name, values := range h {
		if strings.Contains(strings.Join(values, ","), "mallory") {
			t.Errorf("%s was told %s: %v", who, name, values)
		}
	}
}

func TestWhatOnlyLooksLikeAnIdentityPasses(t *testing.T) {
	for _, name := range []string{"X-Tokenizer", "X-Token", "Token-Subject", "X-Forward", "Authorization", "Dpop", "X-Request-Id", "Client-Certificates-Wanted", "Remote", "X-Remote", "True-Client", ""} {
		if Reserved(name) || isForwardingHeader(name) {
			t.Errorf("%q is taken away", name)
		}
	}
}

// Whoever copies the answer's headers to a request overwrites all that the
// client can have written there.
func TestAnAnswerLeavesNoIdentityUnsaid(t *testing.T) {
	key := newSigner(t, "k1")
	raw := sign(t, key, good().With(claims{"scope": ""}))
	cfg := config(key)
	g := mustNew(t, cfg)
	want := map[string]string{"X-Token-Subject": "alice", "X-Token-Client": "web", "X-Token-Scope": "", "X-Token-Expires": fmt.Sprint(at(300).Unix())}
	answer := do(g.Handler(), get(verifyPath, raw))
	judged := g.Judge(context.Background(), Request{Edge: EdgeExtAuthz, Method: "GET", Target: "/x", Header: http.Header{"Authorization": {"Bearer " + raw}}})
	for name, value := range want {
		for edge, h := range map[string]http.Header{"verify": answer.Header, "judge": judged.Header} {
			if got := h[name]; len(got) != 1 || got[0] != value {
				t.Errorf("%s: %s = %q, want %q and no less", edge, name, got, value)
			}
		}
	}
	preflight := g.Judge(context.Background(), Request{Edge: EdgeExtAuthz, Method: "OPTIONS", Target: "/x", Header: preflightHeader()})
	for _, name := range identityHeaders {
		if got := preflight.Header[name]; !preflight.Allowed || len(got) != 1 || got[0] != "" {
			t.Errorf("preflight: %s = %q, want it to be empty", name, got)
		}
	}
	if judged.Claims == nil || preflight.Claims != (*token.Claims)(nil) {
		t.Error("claims of nobody")
	}
}

// A handler behind Middleware hears of forwarding what a trusted proxy says;
// where none is named, only the handler knows whom to believe.
func TestMiddlewareBelievesTrustedProxies(t *testing.T) {
	key := newSigner(t, "k1")
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for _, tt := range []struct {
		name   string
		trust  []netip.Prefix
		peer   string
		passes bool
	}{
		{"of a trusted proxy", trusted, "10.1.2.3:1", true},
		{"of a stranger", trusted, "192.0.2.1:1", false},
		{"nobody is trusted by name", nil, "192.0.2.1:1", true},
	} {
		cfg := config(key)
		cfg.TrustedProxies = tt.trust
		var seen http.Header
		h := mustNew(t, cfg).Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.Header }))
		r := get("/x", sign(t, key, good()))
		r.RemoteAddr = tt.peer
		r.Header["X-Forwarded-For"], r.Header["X-Token-Subject"] = []string{"198.51.100.1"}, []string{"mallory"}
		do(h, r)
		if (seen["X-Forwarded-For"] != nil) != tt.passes || seen["X-Token-Subject"] != nil {
			t.Errorf("%s: %v", tt.name, seen)
		}
		if r.Header["X-Token-Subject"] == nil {
			t.Errorf("%s: the caller's own request was changed", tt.name)
		}
	}
}
