package gate

import (
	"net/http"
	"strconv"
	"strings"
)

// verifyPath is where a proxy in front asks.
const verifyPath = "/verify"

// serveVerify answers forward-auth: 200 with who it is, or the refusal.
func (g *Gate) serveVerify(w http.ResponseWriter, r *http.Request) {
	a := g.judge(r.Context(), g.original(r))
	if !a.Allowed {
		if g.cfg.Forward == Nginx {
			forNginx(&a)
		}
		writeRefusal(w, r, &a)
		return
	}
	HurryBody(w, r)
	h := w.Header()
	h["Cache-Control"] = noStore
	fillIdentity(h, a.Claims)
	if a.Nonce != "" {
		h["Dpop-Nonce"] = []string{a.Nonce}
	}
	w.WriteHeader(http.StatusOK)
}

// noStore is read only.
var noStore = []string{"no-store"}

// forNginx says a so that all of it survives auth_request, which keeps of an
// answer what auth_request_set takes from its headers, drops the body, and takes
// 401 and 403 for a refusal but every other status for a fault of its own. A
// refusal with another status of the 400s is 403 to nginx; a fault stays one. The
// status every other edge has is in X-Token-Status, the body, on one line of
// ASCII, in X-Token-Problem.
func forNginx(a *Answer) {
	a.Header.Set("X-Token-Status", strconv.Itoa(a.Status))
	a.Header.Set("X-Token-Problem", strings.TrimSuffix(string(a.Body), "\n"))
	if a.Status < http.StatusInternalServerError && a.Status != http.StatusUnauthorized {
		a.Status = http.StatusForbidden
	}
}

// original is the request that a proxy in front asks about, on the word of a
// trusted proxy only. Without Forward nobody knows it.
func (g *Gate) original(r *http.Request) *Request {
	q := g.requestOf(r, edgeVerify)
	q.bodied = false // the proxy's question has none of its own
	switch {
	case g.cfg.Forward == NoForward:
		q.unrouted = true
	case !g.trusts(r.RemoteAddr):
		q.wrong = "this address is not among trusted_proxies"
	case g.cfg.Forward == Envoy:
		q.Target = below(q.Target)
	case g.cfg.Forward == Traefik:
		g.restore(q, "X-Forwarded-Method", "X-Forwarded-Uri")
		q.Host = single(q.Header["X-Forwarded-Host"], q.Host)
	default:
		g.restore(q, "X-Original-Method", "X-Original-Uri")
	}
	return q
}

// below is what stands behind verifyPath, spelled as Envoy's path_prefix is; else
// nothing, which is no path.
func below(target string) string {
	rest, ok := strings.CutPrefix(target, verifyPath)
	if !ok {
		return ""
	}
	return rest
}

// restore takes method and target from the proxy's headers.
func (g *Gate) restore(q *Request, methodName, uriName string) {
	method, uri := q.Header[methodName], q.Header[uriName]
	if len(method) == 1 && len(uri) == 1 {
		q.Method, q.Target = method[0], uri[0]
		return
	}
	q.Method, q.Target = "", ""
	if !g.routes.empty() {
		q.wrong = "the proxy must send " + methodName + " and " + uriName + " once each"
	}
}

// single is the one value of values, or what stands in for it.
func single(values []string, otherwise string) string {
	if len(values) == 1 {
		return values[0]
	}
	return otherwise
}
