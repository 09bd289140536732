package gate

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"

	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify"
)

// serveProxy judges a request and passes it to its route's upstream.
//
// A token is judged when its request comes, once. An answer that streams, or a
// connection that was upgraded (WebSocket), lasts as long as both sides want it
// to, also when the token ends meanwhile: to cut it at the token's end would
// break event streams in the middle of what they say, and a client would only
// come back with its next token. An upstream that must not serve longer closes
// at X-Token-Expires, which it is told.
func (g *Gate) serveProxy(w http.ResponseWriter, r *http.Request) {
	a := g.judge(r.Context(), g.requestOf(r, edgeProxy))
	if !a.Allowed {
		writeRefusal(w, r, &a)
		return
	}
	if a.Nonce != "" {
		ctx := context.WithValue(r.Context(), nonceKey{}, a.Nonce)
		r = r.WithContext(ctx)
	}
	a.route.proxy.ServeHTTP(answering(w, &a), admitted(r, &a))
}

// nonceKey is where the answer's DPoP-Nonce waits for it: ReverseProxy writes
// informational answers (1xx) with the headers of the final one, and then clears
// those.
type nonceKey struct{}

// offerNonce is for the answer of an upstream. A client keeps one nonce for one
// server, so one that the upstream demands itself would make both useless.
func offerNonce(ctx context.Context, h http.Header) {
	if nonce, ok := ctx.Value(nonceKey{}).(string); ok {
		h["Dpop-Nonce"] = []string{nonce}
	}
}

// newProxy passes requests on to target. The upstream is the audience the token
// names, so Authorization goes along unchanged; who the caller is stands in
// X-Token headers, which only the gate can have written. Trailers of a request
// are not passed on: they are headers that nobody looked at.
//
// Of upgrades only a WebSocket is one: over any other protocol (h2c, TLS) an
// upstream might take further requests, which nobody would judge.
func (g *Gate) newProxy(rt *route, target *url.URL) http.Handler {
	p := &httputil.ReverseProxy{
		Transport:  g.transportOf(rt),
		BufferPool: &g.buffers,
		ErrorLog:   slog.NewLogLogger(g.cfg.Log.Handler(), slog.LevelWarn),
		Rewrite: func(pr *httputil.ProxyRequest) {
			stripHeaders(pr.Out.Header, isForwardingHeader)
			onlyWebSocket(pr.Out.Header)
			pr.Out.Trailer = nil
			pr.SetURL(target)
			g.sayFrom(pr)
			if c, ok := pr.In.Context().Value(contextKey{}).(*token.Claims); ok {
				setIdentity(pr.Out.Header, c)
			}
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) { g.badGateway(w, r, rt, err) },
	}
	if rt.need.Binding == verify.DPoP {
		p.ModifyResponse = func(resp *http.Response) error {
			offerNonce(resp.Request.Context(), resp.Header)
			return nil
		}
	}
	return p
}

// onlyWebSocket takes any other upgrade out of what ReverseProxy is about to
// send, which then takes no 101 either.
func onlyWebSocket(h http.Header) {
	if to := h["Upgrade"]; len(to) > 0 && !strings.EqualFold(to[0], "websocket") {
		delete(h, "Upgrade")
		delete(h, "Connection")
	}
}

// buffers are what answers are copied through. To make a new one for each costs
// more than all of the judgement.
type buffers struct{ pool sync.Pool }

const bufferBytes = 32 << 10

// Get is httputil.BufferPool's.
func (b *buffers) Get() []byte {
	if a, ok := b.pool.Get().(*[bufferBytes]byte); ok {
		return a[:]
	}
	return make([]byte, bufferBytes)
}

// Put is httputil.BufferPool's.
func (b *buffers) Put(p []byte) { b.pool.Put((*[bufferBytes]byte)(p)) }

// transportOf is one transport for all routes, but for those with TLS of their
// own.
func (g *Gate) transportOf(rt *route) http.RoundTripper {
	if rt.UpstreamTLS == nil {
		return g.upstream
	}
	t, ok := g.upstream.(*http.Transport)
	if ok {
		t = t.Clone()
	} else {
		t = newTransport()
	}
	t.TLSClientConfig = rt.UpstreamTLS.Clone()
	g.own = append(g.own, t)
	return t
}

// sayFrom tells the upstream where the request came from. What a trusted proxy
// says of that is passed on, with the proxy's own address behind it.
func (g *Gate) sayFrom(pr *httputil.ProxyRequest) {
	trusted := len(g.cfg.TrustedProxies) > 0 && g.trusts(pr.In.RemoteAddr)
	if from := pr.In.Header["X-Forwarded-For"]; trusted && len(from) > 0 {
		pr.Out.Header["X-Forwarded-For"] = from
	}
	pr.SetXForwarded()
	if proto := pr.In.Header["X-Forwarded-Proto"]; trusted && isScheme(proto) {
		pr.Out.Header["X-Forwarded-Proto"] = proto
	}
}

// isScheme reports whether values is one scheme of HTTP.
func isScheme(values []string) bool {
	return len(values) == 1 && (values[0] == "https" || values[0] == "http")
}

// badGateway answers for an upstream that did not. A caller that went away
// needs no answer and no line of log.
func (g *Gate) badGateway(w http.ResponseWriter, r *http.Request, rt *route, err error) {
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	f := &refusal{
		status: http.StatusBadGateway, reason: reasonBadGateway, err: err,
		title: "the service behind the gate did not answer", detail: "the gate let the request pass; try again, or check the route's upstream",
	}
	g.logRefusal(r.Context(), g.requestOf(r, edgeProxy), rt, f)
	a := g.refused(&outcome{route: rt}, f)
	offerNonce(r.Context(), a.Header)
	writeRefusal(w, r, &a)
}
