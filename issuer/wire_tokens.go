package issuer

import (
	"net/http"
)

// serveIntrospect answers POST /introspect (RFC 7662 section 2).
func (is *Issuer) serveIntrospect(w http.ResponseWriter, r *http.Request) {
	c, refused := is.open(w, r, "introspect")
	var s state
	if refused == nil {
		s, refused = is.introspect(r.Context(), c)
	}
	if refused != nil {
		is.refuseCall(w, r, c, refused)
		return
	}
	is.tell(r.Context(), is.cfg.Hooks.Introspected, "introspected", c.event)
	writeJSON(w, http.StatusOK, s)
}

// serveRevoke answers POST /revoke (RFC 7009 section 2).
func (is *Issuer) serveRevoke(w http.ResponseWriter, r *http.Request) {
	c, refused := is.open(w, r, "revoke")
	if refused == nil {
		refused = is.revoke(r.Context(), c)
	}
	if refused != nil {
		is.refuseCall(w, r, c, refused)
		return
	}
	is.tell(r.Context(), is.cfg.Hooks.Revoked, "revoked", c.event)
	noStore(w.Header())
	w.WriteHeader(http.StatusOK)
}

func (is *Issuer) refuseCall(w http.ResponseWriter, r *http.Request, c *call, refused *refusal) {
	refused.basic = refused.basic || refused.code == invalidClient && r.Header.Get("Authorization") != ""
	is.refused(r.Context(), c.event, refused)
	writeRefusal(w, refused)
}
