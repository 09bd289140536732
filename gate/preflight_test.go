package gate

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func preflightHeader() http.Header {
	return http.Header{
		"Origin": {"https://app.test"}, requestedMethod: {"PUT"}, "Access-Control-Request-Headers": {"authorization"},
		"Accept": {"*/*"}, "User-Agent": {"Mozilla/5.0"}, "Sec-Fetch-Mode": {"cors"}, "X-Forwarded-For": {"192.0.2.9"},
	}
}

// A preflight needs no token; whatever could be more than one does.
func TestOnlyAPreflightIsLeftAlone(t *testing.T) {
	key := newSigner(t, "k1")
	tests := []struct {
		name   string
		method string
		target string
		change http.Header // empty: the header is left out
		reason string
	}{
		{"a preflight", "OPTIONS", "/x", nil, ""},
		{"for a method that no route lists", "OPTIONS", "/x", http.Header{requestedMethod: {"PURGE"}}, ""},
		{"of a page without an origin of its own", "OPTIONS", "/x", http.Header{"Origin": {"null"}}, ""},
		{"of a path without route", "OPTIONS", "/elsewhere", nil, reasonNoRoute},
		{"of a path with two readings", "OPTIONS", "/x/../x", nil, reasonAmbiguous},
		{"without origin", "OPTIONS", "/x", http.Header{"Origin": {}}, "not_allowed"},
		{"with two origins", "OPTIONS", "/x", http.Header{"Origin": {"a", "b"}}, "not_allowed"},
		{"without the method it is for", "OPTIONS", "/x", http.Header{requestedMethod: {}}, "not_allowed"},
		{"for what is no method", "OPTIONS", "/x", http.Header{requestedMethod: {"G T"}}, "not_allowed"},
		{"with a token", "OPTIONS", "/x", http.Header{"Authorization": {"Bearer x"}}, "not_allowed"},
		{"with a cookie", "OPTIONS", "/x", http.Header{"Cookie": {"a=b"}}, "not_allowed"},
		{"with a proof", "OPTIONS", "/x", http.Header{"Dpop": {"x"}}, "not_allowed"},
		{"with a body", "OPTIONS", "/x", http.Header{"Content-Length": {"5"}}, "not_allowed"},
		{"with no body, and says so", "OPTIONS", "/x", http.Header{"Content-Length": {"0"}}, ""},
		{"with a body of any length", "OPTIONS", "/x", http.Header{"Transfer-Encoding": {"chunked"}}, "not_allowed"},
		{"that is to become a tunnel", "OPTIONS", "/x", http.Header{"Upgrade": {"websocket"}}, "not_allowed"},
		{"that is to be taken for another method", "OPTIONS", "/x", http.Header{"X_http.method-Override": {"DELETE"}}, "not_allowed"},
		{"that is to be taken for another path", "OPTIONS", "/x", http.Header{"X-Rewrite-Url": {"/admin"}}, "not_allowed"},
		{"GET with its headers", "GET", "/x", nil, "no_token"},
		{"in small letters", "options", "/x", nil, "not_allowed"},
	}
	for _, e := range edges {
		var last Decision
		var record Record
		g := newEdgeGate(t, key, e.forward, func(c *Config) {
			c.Routes[0].Path = "/x"
			c.Hooks.Decided, c.Hooks.Audit = func(d Decision) { last = d }, func(r Record) { record = r }
		})
		for _, tt := range tests {
			q := sent{tt.method, tt.target, preflightHeader()}
			for name, values := range tt.change {
				if q.header[name] = values; len(values) == 0 {
					delete(q.header, name)
				}
			}
			got := e.ask(g, q)
			if got.header.Get("X-Token-Reason") != tt.reason || (got.status == 200) != (tt.reason == "") {
				t.Errorf("%s %s, %s: %d %q, want %q", e.name, e.forward, tt.name, got.status, got.header.Get("X-Token-Reason"), tt.reason)
			}
			if alone := tt.reason == ""; last.Reason != tt.reason || record.Preflight != alone || alone && !last.Preflight {
				t.Errorf("%s %s, %s: told as %+v and %+v", e.name, e.forward, tt.name, last, record)
			}
		}
	}
}

// A handler that looks at no method gives nothing away, and nobody takes a
// preflight for a user.
func TestAPreflightReachesNothingButItsAnswer(t *testing.T) {
	key := newSigner(t, "k1")
	var seen *http.Request
	careless := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r
		w.Header().Set("Access-Control-Allow-Origin", "https://app.test")
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"orders": "all of them"}`)
	})
	upstream := serve(t, careless)
	g := newEdgeGate(t, key, NoForward, func(c *Config) { c.Routes[0].Upstream = upstream.URL })
	for name, h := range map[string]http.Handler{edgeMiddleware: g.Middleware(careless), edgeProxy: g.Handler()} {
		q := sent{"OPTIONS", "/x", preflightHeader()}
		q.header["X-Token-Subject"] = []string{"mallory"}
		s := serve(t, h)
		req, _ := http.NewRequest("OPTIONS", s.URL+"/x", nil)
		req.Header = q.header
		resp, err := s.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		got := heard(resp)
		if got.status != 200 || got.body != "" || got.header.Get("Access-Control-Allow-Origin") != "https://app.test" {
			t.Errorf("%s: %+v", name, got)
		}
		if _, somebody := FromContext(seen.Context()); somebody || len(seen.Header["X-Token-Subject"]) != 0 {
			t.Errorf("%s: a preflight is %v", name, seen.Header)
		}
		body, _ := http.NewRequest("OPTIONS", s.URL+"/x", strings.NewReader("x=1"))
		body.Header = q.header
		if resp, err = s.Client().Do(body); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 403 {
			t.Errorf("%s: a preflight with a body: %d", name, resp.StatusCode)
		}
	}
}

// Without forward nobody says what was asked, so there is no preflight to see.
func TestVerifyWithoutForwardKnowsNoPreflight(t *testing.T) {
	g := mustNew(t, config(newSigner(t, "k1")))
	r := get(verifyPath, "")
	r.Method, r.Header = "OPTIONS", preflightHeader()
	if resp := do(g.Handler(), r); resp.StatusCode != 401 {
		t.Errorf("status %d", resp.StatusCode)
	}
}
