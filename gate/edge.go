package gate

import (
	"context"
	"net/http"
	"strings"
	"time"
)

// Middleware passes requests with an acceptable token to next and refuses the
// others. With Routes the request's path chooses the route. What next sees is
// the path that was judged, the claims in the context, and no X-Token header
// that a client sent. With TrustedProxies, nobody else's X-Forwarded headers and
// their kin are passed on either; without, only next knows whom to believe. A CORS
// preflight comes without claims.
func (g *Gate) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := g.judge(r.Context(), g.requestOf(r, edgeMiddleware))
		if !a.Allowed {
			writeRefusal(w, r, &a)
			return
		}
		r = admitted(r, &a)
		dropHeaders(r, g.unbelieved(r.RemoteAddr))
		if a.Nonce != "" {
			w.Header()["Dpop-Nonce"] = []string{a.Nonce}
		}
		next.ServeHTTP(answering(w, &a), r)
	})
}

// Handler answers /verify and proxies everything else by Routes.
func (g *Gate) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == verifyPath || g.cfg.Forward == Envoy && strings.HasPrefix(r.URL.Path, verifyPath+"/") {
			g.serveVerify(w, r)
			return
		}
		g.serveProxy(w, r)
	})
}

// requestOf is r as it is judged at an edge that it itself came to.
func (g *Gate) requestOf(r *http.Request, edge string) *Request {
	q := &Request{
		Edge: edge, Method: r.Method, Target: r.URL.EscapedPath(), Scheme: "http", Host: r.Host,
		Header: r.Header, Peer: r.RemoteAddr, bodied: r.ContentLength != 0,
	}
	if r.TLS != nil {
		q.Scheme = "https"
		if len(r.TLS.PeerCertificates) > 0 {
			q.Certificate = r.TLS.PeerCertificates[0].Raw
		}
	}
	if proto := r.Header["X-Forwarded-Proto"]; isScheme(proto) && g.trusts(r.RemoteAddr) {
		q.Scheme = proto[0]
	}
	return q
}

// answering is w as the handler behind the gate may write to it.
func answering(w http.ResponseWriter, a *Answer) http.ResponseWriter {
	if a.Claims == nil {
		return muted(w)
	}
	return w
}

// admitted is r with the path that was judged, and the claims.
func admitted(r *http.Request, a *Answer) *http.Request {
	ctx := r.Context()
	if a.Claims != nil {
		ctx = context.WithValue(ctx, contextKey{}, a.Claims)
	}
	r = r.WithContext(ctx)
	if a.path != "" && (a.path != r.URL.Path || r.URL.RawPath != "") {
		u := *r.URL
		u.Path, u.RawPath = a.path, ""
		r.URL = &u
	}
	return r
}

// unbelieved tells the headers that peer may not send to a handler.
func (g *Gate) unbelieved(peer string) func(name string) bool {
	if len(g.cfg.TrustedProxies) > 0 && !g.trusts(peer) {
		return isForwardingHeader
	}
	return isTokenHeader
}

// dropHeaders gives r a header of its own without the reserved ones.
func dropHeaders(r *http.Request, reserved func(name string) bool) {
	for name := range r.Header {
		if reserved(name) {
			r.Header = r.Header.Clone()
			stripHeaders(r.Header, reserved)
			return
		}
	}
}

// writeRefusal says a over HTTP.
func writeRefusal(w http.ResponseWriter, r *http.Request, a *Answer) {
	HurryBody(w, r)
	h := w.Header()
	for name, values := range a.Header {
		h[name] = values
	}
	w.WriteHeader(a.Status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(a.Body)
	}
}

// bodyWithin is how long the rest of a body that nobody will read may take.
const bodyWithin = time.Second

// HurryBody bounds the wait for a body that the answer does not depend on.
// net/http reads up to 256 KiB of it before it writes the answer, to keep the
// connection, and sets no deadline where the server has none: whoever sends no
// body would hold a connection without a token. A writer without deadlines has
// no such wait.
func HurryBody(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength == 0 {
		return
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyWithin))
}
