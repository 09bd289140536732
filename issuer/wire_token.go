package issuer

import (
	"net/http"
)

// serveToken answers POST /token (RFC 6749 section 3.2).
func (is *Issuer) serveToken(w http.ResponseWriter, r *http.Request) {
	c, refused := is.openLoosely(w, r, "token")
	var a answer
	if refused == nil {
		a, refused = is.grant(r.Context(), c)
	}
	if refused != nil {
		is.refuseCall(w, r, c, refused)
		return
	}
	if a.repeated {
		is.tell(r.Context(), is.cfg.Hooks.Repeated, "refresh repeated", c.event)
	} else {
		is.tell(r.Context(), is.cfg.Hooks.Issued, "token issued", c.event)
	}
	writeJSON(w, http.StatusOK, a)
}
