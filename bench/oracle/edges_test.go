package oracle

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/longcase/longcase/gate"
	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify"
)

// A saying is what an edge said to a token. The same token must meet the same
// saying at every edge, whether its like was seen before or not.
type saying struct {
	accepted bool
	reason   string
	status   int // of HTTP; zero where the edge has none
}

// An edge is one way to ask for a verdict.
type edge struct {
	name string
	ask  func(raw string) saying
}

// ask turns a panic into a saying of its own.
func (e edge) safely(raw string) (said saying) {
	defer func() {
		if r := recover(); r != nil {
			said = saying{reason: fmt.Sprintf("panic: %v", r)}
		}
	}()
	return e.ask(raw)
}

// world is what accepts tokens here: two issuers whose keys share one kid.
func world(profile verify.Profile) []verify.Issuer {
	var mine, theirs verify.Fixed
	for _, alg := range algorithms() {
		mine = append(mine, pairs()[alg].signer.Key())
		theirs = append(theirs, strangersPairs()[alg].signer.Key())
	}
	return []verify.Issuer{
		{URL: us, Audience: me, Algorithms: algorithms(), Keys: mine, Profile: profile},
		{URL: them, Audience: me, Algorithms: algorithms(), Keys: theirs, Profile: profile},
	}
}

// edges are all ways there are, with and without a cache of verified tokens, to
// ask for these scopes.
func edges(t *testing.T, issuers []verify.Issuer, scopes ...string) []edge {
	t.Helper()
	var all []edge
	for _, bytes := range []int{-1, 1 << 20} {
		name := ""
		if bytes > 0 {
			name = " cached"
		}
		v := must(verify.New(verify.Config{Issuers: issuers, CacheBytes: max(bytes, 0)}))
		all = append(all, edge{"verify" + name, func(raw string) saying {
			return ofVerdict(v.Verify(context.Background(), raw, verify.Need{Scopes: scopes}, now()))
		}})
		g := newGate(t, gate.Config{Issuers: issuers, CacheBytes: bytes, Routes: []gate.Route{{Path: "/", Scopes: scopes, Upstream: "http://upstream.test"}}})
		all = append(all,
			edge{"middleware" + name, asking(g.Middleware(accepting()), "/orders")},
			edge{"/verify" + name, asking(g.Handler(), "/verify")},
			edge{"proxy" + name, asking(g.Handler(), "/orders")})
	}
	return all
}

func ofVerdict(v verify.Verdict) saying {
	return saying{accepted: v.Accepted(), reason: string(v.Reason)}
}

// newGate is a gate without sockets: its upstream answers in memory.
func newGate(t *testing.T, cfg gate.Config) *gate.Gate {
	t.Helper()
	cfg.Now = now
	cfg.Log = slog.New(slog.DiscardHandler)
	if cfg.Transport == nil {
		cfg.Transport = inMemory(accepting().ServeHTTP)
	}
	g, err := gate.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// accepting is the handler behind the gate.
func accepting() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
}

// inMemory is a way to an upstream without a socket.
type inMemory http.HandlerFunc

func (f inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	f(w, r)
	return w.Result(), nil
}

func asking(h http.Handler, path string) func(raw string) saying {
	return func(raw string) saying {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header["Authorization"] = []string{"Bearer " + raw}
		return said(h, r)
	}
}

// said is what h answers to r.
func said(h http.Handler, r *http.Request) saying {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code == http.StatusOK {
		return saying{accepted: true, status: w.Code}
	}
	var p struct{ Reason string }
	body, err := io.ReadAll(w.Body)
	if err == nil {
		err = json.Unmarshal(body, &p)
	}
	if err != nil {
		p.Reason = fmt.Sprintf("no problem in the body: %v", err)
	}
	return saying{reason: p.Reason, status: w.Code}
}

// fault says what is wrong with the answer to a token that must be refused, or
// is empty. reference is what was said to the same token first.
func (s saying) fault(reference saying) string {
	switch {
	case s.accepted:
		return "accepted"
	case strings.HasPrefix(s.reason, "panic"), s.reason == "":
		return s.reason + " (no reason)"
	case s.status >= http.StatusInternalServerError:
		return fmt.Sprintf("status %d %s", s.status, s.reason)
	case s.reason != reference.reason:
		return fmt.Sprintf("%s, where another edge says %s", s.reason, reference.reason)
	case s.status != 0 && s.status != token.Reason(s.reason).Meaning().Status:
		return fmt.Sprintf("status %d for %s", s.status, s.reason)
	}
	return ""
}

// everyEdgeRefuses asks every edge twice, the second time warm.
func everyEdgeRefuses(t *testing.T, all []edge, a attack) {
	t.Helper()
	raw := strings.TrimLeft(a.raw, " ") // spaces after "Bearer" are the header's (RFC 9110 section 11.6.2)
	reference := all[0].safely(raw)
	for _, e := range all {
		for _, turn := range []string{"cold", "warm"} {
			if fault := e.safely(raw).fault(reference); fault != "" {
				t.Errorf("%s: %s, %s, %s: %s: %.500s", a.name, a.alg, e.name, turn, fault, raw)
				return
			}
		}
	}
}

// everyEdgeAccepts is the control: asked twice, accepted twice.
func everyEdgeAccepts(t *testing.T, all []edge, name, raw string) {
	t.Helper()
	for _, e := range all {
		for _, turn := range []string{"cold", "warm"} {
			if said := e.safely(raw); !said.accepted {
				t.Errorf("%s: %s, %s: refused: %+v: %.500s", name, e.name, turn, said, raw)
			}
		}
	}
}
