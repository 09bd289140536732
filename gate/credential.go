package gate

import (
	"net/http"
	"strings"

	"github.com/longcase/longcase/token"
)

// The schemes of Authorization that carry an access token, as challenges spell
// them.
const (
	schemeBearer = "Bearer" // RFC 6750 section 2.1
	schemeDPoP   = "DPoP"   // RFC 9449 section 7.1
)

// authorization takes scheme and token from the one Authorization header. A
// token in the query or the body is not looked at. The scheme is one of the two
// above, or empty with an error.
func authorization(h http.Header) (scheme, raw string, err error) {
	values := h["Authorization"]
	if len(values) == 0 {
		return "", "", token.Refuse(token.NoToken, "")
	}
	if len(values) > 1 {
		return "", "", token.Refuse(token.Malformed, "%d Authorization headers; send one", len(values))
	}
	scheme, raw, _ = strings.Cut(values[0], " ")
	switch {
	case strings.EqualFold(scheme, schemeBearer):
		scheme = schemeBearer
	case strings.EqualFold(scheme, schemeDPoP):
		scheme = schemeDPoP
	default:
		return "", "", token.Refuse(token.NoToken, "")
	}
	raw = strings.TrimLeft(raw, " ")
	if raw == "" || !isOneWord(raw) {
		return scheme, "", token.Refuse(token.Malformed, "Authorization must be: %s, a space, one token", scheme)
	}
	return scheme, raw, nil
}

// isOneWord asks for each separator by itself, which is faster by far than a set
// of them for a text as long as a token.
func isOneWord(s string) bool {
	return !strings.Contains(s, " ") && !strings.Contains(s, "\t") && !strings.Contains(s, ",")
}

// fitsScheme refuses a token under the scheme of the other kind: one that is
// bound to a DPoP key must not pass as a mere bearer token, and the scheme DPoP
// must not make one look bound that is not (RFC 9449 sections 7.1 and 7.2).
func fitsScheme(c *token.Claims, scheme string) *token.Error {
	switch bound := c.Confirm.JKT != ""; {
	case bound && scheme != schemeDPoP:
		return token.Refuse(token.BindingMissing, "the token is bound to a DPoP key; send it with Authorization: DPoP, and a proof")
	case !bound && scheme == schemeDPoP:
		return token.Refuse(token.BindingMissing, "the token is not bound to a DPoP key; send it with Authorization: Bearer, or get one that is bound")
	}
	return nil
}
