package gate

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"

	"github.com/longcase/longcase/token"
)

// serveProxy judges a request and passes it to its route's upstream.
func (g *Gate) serveProxy(w http.ResponseWriter, r *http.Request) {
	now := g.cfg.Now()
	rt, r, err := g.locate(r)
	if err == nil && rt.proxy == nil {
		err = errNoRoute // its route is for forward-auth only
	}
	if err != nil {
		g.turnAway(w, r, edgeProxy, rt, unroutable(err))
		return
	}
	v := g.judge(r, edgeProxy, rt, now)
	if !v.Accepted() {
		g.refuse(w, r, edgeProxy, rt, g.refusalOf(v, rt))
		return
	}
	rt.proxy.ServeHTTP(w, admitted(r, &v.Claims))
}

// newProxy passes requests on to target. The upstream is the audience the token
// names, so Authorization goes along unchanged; who the caller is stands in
// X-Token headers, which only the gate can have written.
func (g *Gate) newProxy(rt *route, target *url.URL) http.Handler {
	return &httputil.ReverseProxy{
		Transport: g.upstream,
		ErrorLog:  slog.NewLogLogger(g.cfg.Log.Handler(), slog.LevelWarn),
		Rewrite: func(pr *httputil.ProxyRequest) {
			stripHeaders(pr.Out.Header, isForwardingHeader)
			pr.Out.Trailer = nil
			pr.SetURL(target)
			pr.SetXForwarded()
			if c, ok := pr.In.Context().Value(contextKey{}).(*token.Claims); ok {
				setIdentity(pr.Out.Header, c)
			}
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) { g.badGateway(w, r, rt, err) },
	}
}

// badGateway answers for an upstream that did not. A caller that went away
// needs no answer and no line of log.
func (g *Gate) badGateway(w http.ResponseWriter, r *http.Request, rt *route, err error) {
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	g.refuse(w, r, edgeProxy, rt, refusal{
		status: http.StatusBadGateway, reason: reasonBadGateway, err: err,
		title: "the service behind the gate did not answer", detail: "the token is good; try again, or check the route's upstream",
	})
}

// stripHeaders removes the headers whose name, in any spelling, is one that
// only the gate may write. Servers that turn headers into variables see no
// difference between "-", "_" and "." (CVE-2025-64484).
func stripHeaders(h http.Header, reserved func(name string) bool) {
	for name := range h {
		if reserved(name) {
			delete(h, name)
		}
	}
}

// fold writes a header's name in lower case, and all but letters and digits
// as "-".
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'A' <= r && r <= 'Z':
			return r + 'a' - 'A'
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			return r
		}
		return '-'
	}, name)
}

// isTokenHeader tells the headers that say who was accepted.
func isTokenHeader(name string) bool {
	return name != "" && (name[0] == 'X' || name[0] == 'x') && strings.HasPrefix(fold(name), "x-token-")
}

// isForwardingHeader tells headers that say where a request came from, which
// path or method it had before, or which it should be taken for.
func isForwardingHeader(name string) bool {
	if name == "" || !strings.ContainsRune("XxFf", rune(name[0])) {
		return false
	}
	folded := fold(name)
	switch folded {
	case "forwarded", "x-real-ip", "x-rewrite-url", "x-http-method", "x-http-method-override", "x-method-override":
		return true
	}
	return strings.HasPrefix(folded, "x-forwarded-") || strings.HasPrefix(folded, "x-original-") || isTokenHeader(name)
}
