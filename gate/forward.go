package gate

import (
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/longcase/longcase/token"
)

// verifyPath is where a proxy in front asks.
const verifyPath = "/verify"

// serveVerify answers forward-auth: 200 with who it is, or the refusal. Because
// nginx takes nothing but 401 and 403 for a refusal, a path without a route is
// 403 for it, and an ambiguous one for everybody; because it drops the body, the
// reason is in X-Token-Reason as well.
func (g *Gate) serveVerify(w http.ResponseWriter, r *http.Request) {
	now := g.cfg.Now()
	rt := anyRoute()
	if g.cfg.Forward != NoForward {
		var refused *refusal
		if rt, refused = g.forwarded(r); refused != nil {
			g.turnAway(w, r, edgeVerify, rt, *refused)
			return
		}
	}
	v := g.judge(r, edgeVerify, rt, now)
	if !v.Accepted() {
		g.refuse(w, r, edgeVerify, rt, g.refusalOf(v, rt))
		return
	}
	hurryBody(w, r)
	w.Header().Set("Cache-Control", "no-store")
	setIdentity(w.Header(), &v.Claims)
	w.WriteHeader(http.StatusOK)
}

// forwarded finds the route of the original request, on the word of a trusted
// proxy only.
func (g *Gate) forwarded(r *http.Request) (*route, *refusal) {
	if !g.trusts(r.RemoteAddr) {
		f := notAllowed("this address is not among trusted_proxies")
		return anyRoute(), &f
	}
	if len(g.routes) == 0 {
		return anyRoute(), nil
	}
	methodName, uriName := "X-Original-Method", "X-Original-Uri"
	if g.cfg.Forward == Traefik {
		methodName, uriName = "X-Forwarded-Method", "X-Forwarded-Uri"
	}
	method, uri := r.Header[methodName], r.Header[uriName]
	if len(method) != 1 || len(uri) != 1 {
		f := notAllowed("the proxy must send " + methodName + " and " + uriName + " once each")
		return anyRoute(), &f
	}
	return g.original(method[0], uri[0])
}

func (g *Gate) original(method, uri string) (*route, *refusal) {
	path, err := pathOfURI(uri)
	if err == nil {
		var rt *route
		if rt, err = g.routes.find(method, path); err == nil {
			return rt, nil
		}
	}
	f := notAllowed(err.Error())
	if errors.Is(err, errNoRoute) && g.cfg.Forward != Nginx {
		f = unroutable(err)
	}
	return anyRoute(), &f
}

func (g *Gate) trusts(peer string) bool {
	addr, err := netip.ParseAddrPort(peer)
	if err != nil {
		return false
	}
	ip := addr.Addr().Unmap().WithZone("")
	return slices.ContainsFunc(g.cfg.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// setIdentity says who was accepted. X-Token-Expires is in Unix seconds,
// rounded down; what is absent has no header.
func setIdentity(h http.Header, c *token.Claims) {
	set := func(name, value string) {
		if value != "" {
			h.Set(name, headerText(value))
		}
	}
	set("X-Token-Subject", c.Subject)
	set("X-Token-Client", c.ClientID)
	set("X-Token-Scope", c.Scope)
	h.Set("X-Token-Expires", strconv.FormatInt(c.Expires.Unix(), 10))
}

// headerText writes s so that no two values look alike in a header: visible
// ASCII and inner spaces stay, everything else and the percent sign itself are
// percent-encoded.
func headerText(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		edge := i == 0 || i == len(s)-1
		if c < ' ' || c > '~' || c == '%' || c == ' ' && edge {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}
