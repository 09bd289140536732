package issuer

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/longcase/longcase/token"
)

// serveUserinfo answers GET and POST /userinfo (OpenID Connect Core section
// 5.3): who the bearer's user is. The token stands in the Authorization header
// and nowhere else.
func (is *Issuer) serveUserinfo(w http.ResponseWriter, r *http.Request) {
	now := is.cfg.Now()
	e := Event{Endpoint: "userinfo"}
	raw, refused := bearer(r.Header)
	if refused == nil && raw == "" {
		w.Header().Set("WWW-Authenticate", bearerChallenge) // no error code: nothing was tried, RFC 6750 section 3.1
		noStore(w.Header())
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	var c token.Claims
	if refused == nil {
		c, refused = is.userOf(r.Context(), raw, now)
		e.Client, e.Subject, e.Session = c.ClientID, c.Subject, c.Session
	}
	if client, err := is.cfg.Clients.Client(r.Context(), c.ClientID); err == nil {
		client.keepOrigin(w.Header())
	}
	if refused != nil {
		is.refused(r.Context(), e, refused)
		challenge(w.Header(), refused)
		writeRefusal(w, refused)
		return
	}
	writeJSON(w, http.StatusOK, struct {
		Subject string `json:"sub"`
	}{c.Subject})
}

// userOf returns the claims of an access token that a user signed in for.
func (is *Issuer) userOf(ctx context.Context, raw string, now time.Time) (token.Claims, *refusal) {
	c, err := is.judgeAccess(ctx, raw, now)
	if why := new(token.Error); errors.As(err, &why) {
		return token.Claims{}, refuse(invalidToken, "the access token is not valid here: get a new one").because("%s: %s", why.Reason, why.Detail)
	}
	if err != nil {
		return token.Claims{}, unavailable("judging the access token", err)
	}
	if !slices.Contains(c.Scopes(), scopeOpenID) {
		return c, refuse(insufficientScope, "the access token has no scope openid")
	}
	if is.cfg.Users == nil {
		return c, refuse(invalidToken, "the access token is not a user's")
	}
	has, err := is.cfg.Users.Has(ctx, c.Subject)
	if err != nil {
		return c, unavailable("finding the user", err)
	}
	if !has {
		return c, refuse(invalidToken, "the access token's user is not known here")
	}
	return c, nil
}

const bearerChallenge = `Bearer realm="userinfo"`

// bearer returns the one bearer token of a request, or "" if there is none.
func bearer(h http.Header) (string, *refusal) {
	all := h.Values("Authorization")
	if len(all) == 0 {
		return "", nil
	}
	scheme, raw, _ := strings.Cut(all[0], " ")
	if len(all) > 1 || !strings.EqualFold(scheme, "Bearer") || raw == "" {
		return "", refuse(invalidRequest, "send one Authorization header: Bearer and the access token")
	}
	return raw, nil
}

// challenge says how to do better (RFC 6750 section 3).
func challenge(h http.Header, refused *refusal) {
	if refused.code == temporarilyUnavailable {
		return
	}
	value := bearerChallenge + `, error="` + refused.code + `", error_description="` + refused.detail + `"`
	if refused.code == insufficientScope {
		value += `, scope="openid"`
	}
	h.Set("WWW-Authenticate", value)
}
