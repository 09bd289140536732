package gate

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify"
)

// The edges, as Decision and the log name them.
const (
	edgeMiddleware = "middleware"
	edgeVerify     = "verify"
	edgeProxy      = "proxy"

	EdgeGRPC     = "grpc"
	EdgeExtAuthz = "ext_authz"
)

// anyRoute asks for nothing but a token that Issuers accept.
func anyRoute() *route { return &route{} }

// Middleware passes requests with an acceptable token to next and refuses the
// others. With Routes the request's path chooses the route. What next sees is
// the path that was judged, the claims in the context, and no X-Token header
// that a client sent.
func (g *Gate) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := g.cfg.Now()
		rt := anyRoute()
		if len(g.routes) > 0 {
			var err error
			if rt, r, err = g.locate(r); err != nil {
				g.turnAway(w, r, edgeMiddleware, rt, unroutable(err))
				return
			}
		}
		v := g.judge(r, edgeMiddleware, rt, now)
		if !v.Accepted() {
			g.refuse(w, r, edgeMiddleware, rt, g.refusalOf(v, rt))
			return
		}
		next.ServeHTTP(w, admitted(r, &v.Claims))
	})
}

// admitted is r as the handler behind the gate sees it.
func admitted(r *http.Request, c *token.Claims) *http.Request {
	r = r.WithContext(context.WithValue(r.Context(), contextKey{}, c))
	for name := range r.Header {
		if isTokenHeader(name) {
			r.Header = r.Header.Clone()
			stripHeaders(r.Header, isTokenHeader)
			break
		}
	}
	return r
}

// Handler answers /verify and proxies everything else by Routes.
func (g *Gate) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == verifyPath {
			g.serveVerify(w, r)
			return
		}
		g.serveProxy(w, r)
	})
}

// locate finds the route of r, and returns r with the path that was judged in
// its one canonical spelling.
func (g *Gate) locate(r *http.Request) (*route, *http.Request, error) {
	path, err := cleanPath(r.URL.EscapedPath())
	if err != nil {
		return anyRoute(), r, err
	}
	rt, err := g.routes.find(r.Method, path)
	if err != nil {
		if rt == nil {
			rt = anyRoute()
		}
		return rt, r, err
	}
	u := *r.URL
	u.Path, u.RawPath = path, ""
	r = r.WithContext(r.Context())
	r.URL = &u
	return rt, r, nil
}

// judge is the one judgement; every edge comes here.
func (g *Gate) judge(r *http.Request, edge string, rt *route, now time.Time) verify.Verdict {
	if g.cfg.Hooks.Decided == nil {
		return g.verdict(r, rt, now)
	}
	began := time.Now()
	v := g.verdict(r, rt, now)
	g.cfg.Hooks.Decided(Decision{Edge: edge, Route: rt.Path, Issuer: v.Claims.Issuer, Reason: string(v.Reason), Took: time.Since(began)})
	return v
}

// turnAway refuses a request that no route takes, whatever its token.
func (g *Gate) turnAway(w http.ResponseWriter, r *http.Request, edge string, rt *route, f refusal) {
	if g.cfg.Hooks.Decided != nil {
		g.cfg.Hooks.Decided(Decision{Edge: edge, Route: rt.Path, Reason: f.reason})
	}
	g.refuse(w, r, edge, rt, f)
}

func (g *Gate) verdict(r *http.Request, rt *route, now time.Time) verify.Verdict {
	raw, err := bearer(r.Header)
	if err != nil {
		var e *token.Error
		errors.As(err, &e)
		return verify.Verdict{Reason: e.Reason, Detail: e.Detail}
	}
	return g.verifier.Verify(r.Context(), raw, rt.need, now)
}

// bearer takes the token from the one Authorization header (RFC 6750 section
// 2.1). A token in the query or the body is not looked at.
func bearer(h http.Header) (string, error) {
	values := h["Authorization"]
	if len(values) == 0 {
		return "", token.Refuse(token.NoToken, "")
	}
	if len(values) > 1 {
		return "", token.Refuse(token.Malformed, "%d Authorization headers; send one", len(values))
	}
	scheme, raw, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", token.Refuse(token.NoToken, "")
	}
	raw = strings.TrimLeft(raw, " ")
	if raw == "" || strings.ContainsAny(raw, " \t,") {
		return "", token.Refuse(token.Malformed, "Authorization must be: Bearer, a space, one token")
	}
	return raw, nil
}
