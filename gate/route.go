package gate

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/longcase/longcase/verify"
)

// Route says what requests to a path need, and where they go.
type Route struct {
	Path     string         // ends in "/": every path below it; else exact; the longest wins
	Methods  []string       // any if empty; a method that is not listed is refused
	Audience string         // required where several are accepted; empty beside an Issuer.SubjectFrom: tokens of users and no others
	Scopes   []string       // all of them
	Clients  []string       // one of them; any if empty
	Binding  verify.Binding // the token must be bound in this way
	Once     bool           // a token is good for one request
	Upstream string         // http or https URL to proxy to; empty: for forward-auth only

	UpstreamTLS *tls.Config // how an https upstream is verified and what it is shown; nil: the system's authorities
}

// route is a Route made ready.
type route struct {
	Route
	need  verify.Need
	proxy http.Handler // nil without Upstream
}

// routes finds a route by its path. Several may share a path if no method is
// in two of them.
type routes struct {
	byPath  map[string][]*route
	longest int // of all paths
}

func newRoutes(list []Route, audiences []string, g *Gate) (routes, error) {
	rs := routes{byPath: make(map[string][]*route, len(list))}
	var wrong []error
	for i, r := range list {
		for _, err := range r.check(audiences) {
			wrong = append(wrong, fmt.Errorf("gate: routes[%d] %q: %w", i, r.Path, err))
		}
		if m, ok := rs.clash(r); ok {
			wrong = append(wrong, fmt.Errorf("gate: routes[%d] %q: method %s is in two routes of this path", i, r.Path, m))
		}
		rt := &route{Route: r, need: verify.Need{Audience: r.Audience, Scopes: r.Scopes, Clients: r.Clients, Binding: r.Binding, Once: r.Once}}
		rt.need.Users = r.Audience == "" && slices.Contains(audiences, "") // which is that of users' tokens
		if u, err := url.Parse(r.Upstream); err == nil && r.Upstream != "" {
			rt.proxy = g.newProxy(rt, u)
		}
		rs.add(rt)
	}
	return rs, errors.Join(wrong...)
}

func (rs *routes) add(rt *route) {
	rs.byPath[rt.Path] = append(rs.byPath[rt.Path], rt)
	rs.longest = max(rs.longest, len(rt.Path))
}

func (rs *routes) empty() bool { return len(rs.byPath) == 0 }

// clash names a method that another route of the same path takes as well.
func (rs *routes) clash(r Route) (string, bool) {
	for _, other := range rs.byPath[r.Path] {
		if len(other.Methods) == 0 || len(r.Methods) == 0 {
			return "*", true
		}
		for _, m := range r.Methods {
			if slices.Contains(other.Methods, m) {
				return m, true
			}
		}
	}
	return "", false
}

func (r Route) check(audiences []string) []error {
	var wrong []error
	add := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	if clean, err := cleanPath((&url.URL{Path: r.Path}).EscapedPath()); err != nil || clean != r.Path {
		add("path: must begin with / and be spelled in one way (%v)", err)
	}
	if r.Path == verifyPath {
		add("path: /verify is the gate's own")
	}
	for _, m := range r.Methods {
		if !isToken(m) {
			add("methods: %q is no method", m)
		}
	}
	switch {
	case r.Audience == "" && len(audiences) > 1 && !slices.Contains(audiences, ""):
		add("audience: several are accepted, so every route names its own")
	case r.Audience != "" && !slices.Contains(audiences, r.Audience):
		add("audience: %q is not accepted from any issuer", r.Audience)
	}
	for _, s := range r.Scopes {
		if !isScope(s) {
			add("scopes: %q is no scope (RFC 6749 section 3.3)", s)
		}
	}
	if slices.Contains(r.Clients, "") {
		add("clients: one is empty")
	}
	if b := r.Binding; b != verify.AnyBinding && b != verify.DPoP && b != verify.MTLS {
		add("binding: %q is neither %q nor %q", b, verify.DPoP, verify.MTLS)
	}
	if err := checkURL(r.Upstream); err != nil {
		add("upstream: %w", err)
	}
	if err := r.checkTLS(); err != nil {
		add("upstream TLS: %w", err)
	}
	return wrong
}

func (r Route) checkTLS() error {
	cfg := r.UpstreamTLS
	switch {
	case cfg == nil:
		return nil
	case !strings.HasPrefix(strings.ToLower(r.Upstream), "https:"):
		return errors.New("only for an https upstream")
	case cfg.InsecureSkipVerify && cfg.VerifyConnection == nil && cfg.VerifyPeerCertificate == nil:
		return errors.New("an upstream that nobody verifies could be anybody; name its authority")
	case cfg.MinVersion != 0 && cfg.MinVersion < tls.VersionTLS12:
		return errors.New("TLS 1.2 at least")
	}
	return nil
}

// find returns the route for a clean path and a method. Its two failures are
// errNoRoute and errMethod. Whoever sends a path of many slashes has no token yet:
// what is beyond the longest route is not looked at.
func (rs *routes) find(method, path string) (*route, error) {
	end := len(path)
	if end > rs.longest {
		end = strings.LastIndexByte(path[:rs.longest], '/') + 1
	}
	for ; end > 0; end = strings.LastIndexByte(path[:end-1], '/') + 1 {
		list := rs.byPath[path[:end]]
		for _, rt := range list {
			if len(rt.Methods) == 0 || slices.Contains(rt.Methods, method) {
				return rt, nil
			}
		}
		if len(list) > 0 {
			return list[0], errMethod
		}
	}
	return nil, errNoRoute
}

var (
	errNoRoute = errors.New("no route has this path")
	errMethod  = errors.New("the route does not list this method")
)

// isToken reports whether s is a token of RFC 9110 section 5.6.2.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

// isScope reports whether s is a scope-token of RFC 6749 section 3.3.
func isScope(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || r == '"' || r == '\\'
	})
}
