package issuer

import (
	"net/http"
	"slices"
	"strings"
)

const (
	allowOrigin  = "Access-Control-Allow-Origin"
	corsHeaders  = "Authorization, Content-Type"
	corsExposed  = "WWW-Authenticate, Retry-After"
	preflightAge = "600" // seconds
)

// cors answers browsers of other origins, per the Fetch standard: whoever asks
// may read what is public; an origin that a client lists may use what clients'
// pages use. Cookies are never part of it.
func (is *Issuer) cors(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to := is.routes[r.URL.EscapedPath()]
		if to.reach == sameSite {
			next.ServeHTTP(w, r)
			return
		}
		is.admit(w.Header(), r, to)
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// reach is who may use an endpoint from a page of another origin.
type reach int

const (
	sameSite reach = iota // nobody
	listed                // the origins that clients list
	everyone              // what is public
)

// admit sets the headers of a request that may come from another origin.
func (is *Issuer) admit(h http.Header, r *http.Request, to route) {
	origin := r.Header.Get("Origin")
	if to.reach == everyone {
		h.Set(allowOrigin, "*")
	} else {
		h.Add("Vary", "Origin")
		if origin == "" || origin == "null" || len(r.Header.Values("Origin")) > 1 {
			return
		}
		if ok, err := is.cfg.Clients.Origin(r.Context(), origin); err != nil || !ok {
			return
		}
		h.Set(allowOrigin, origin)
		h.Set("Access-Control-Expose-Headers", corsExposed)
	}
	if r.Method == http.MethodOptions {
		h.Set("Access-Control-Allow-Methods", strings.Join(to.methods, ", "))
		h.Set("Access-Control-Allow-Headers", corsHeaders)
		h.Set("Access-Control-Max-Age", preflightAge)
	}
}

// keepOrigin withdraws what admit allowed to an origin that is not this
// client's: from now on it is known who asks.
func (c Client) keepOrigin(h http.Header) {
	if origin := h.Get(allowOrigin); origin != "*" && !slices.Contains(c.Origins, origin) {
		h.Del(allowOrigin)
	}
}
