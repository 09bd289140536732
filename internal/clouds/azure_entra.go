package clouds

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/longcase/longcase/token"
)

// azureExchange is the audience of federated JWTs.
const azureExchange = "api://AzureADTokenExchange"

// azureNo is a refusal of Entra, with its AADSTS number.
type azureNo struct {
	status int
	code   string
	number int
	text   string
}

func azureClientNo(number int, format string, args ...any) *azureNo {
	return &azureNo{http.StatusUnauthorized, "invalid_client", number, fmt.Sprintf(format, args...)}
}

func azureRequestNo(code string, number int, format string, args ...any) *azureNo {
	return &azureNo{http.StatusBadRequest, code, number, fmt.Sprintf(format, args...)}
}

// serveEntra answers the client_credentials grant with a federated JWT as the
// client's assertion.
func (a *Azure) serveEntra(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil {
		a.refuse(w, azureRequestNo("invalid_request", 900144, "The request body must contain the parameters of the grant."))
		return
	}
	app, no := a.application(r)
	if no == nil {
		no = a.judge(app, r.PostForm.Get("client_assertion"))
	}
	scope := r.PostForm.Get("scope")
	if no == nil && !app.knows(scope) {
		no = azureRequestNo("invalid_scope", 70011, "The provided value for the input parameter 'scope' is not valid. The scope %s is not valid.", scope)
	}
	if no != nil {
		a.refuse(w, no)
		return
	}
	value, g := a.issue(app.ClientID, scope)
	seconds := int(g.end.Sub(g.from) / time.Second)
	azureJSON(w, http.StatusOK, map[string]any{"token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": value})
}

// application finds the application that a well-formed request names.
func (a *Azure) application(r *http.Request) (AzureApplication, *azureNo) {
	f, none := r.PostForm, AzureApplication{}
	switch {
	case r.PathValue("tenant") != a.cfg.Tenant:
		return none, azureRequestNo("invalid_request", 90002, "Tenant '%s' not found.", r.PathValue("tenant"))
	case f.Get("grant_type") != "client_credentials":
		return none, azureRequestNo("unsupported_grant_type", 70003, "The app requested an unsupported grant type '%s'.", f.Get("grant_type"))
	case f.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer":
		return none, azureClientNo(7000216, "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type.")
	}
	for _, app := range a.cfg.Applications {
		if app.ClientID == f.Get("client_id") {
			return app, nil
		}
	}
	return none, azureRequestNo("unauthorized_client", 700016, "Application with identifier '%s' was not found in the directory '%s'.", f.Get("client_id"), a.cfg.Tenant)
}

func (app AzureApplication) knows(scope string) bool {
	if len(app.Scopes) > 0 {
		return slices.Contains(app.Scopes, scope)
	}
	return strings.HasSuffix(scope, "/.default") && !strings.Contains(scope, " ")
}

// judge verifies the JWT: issuer, signature, window, audience, subject.
func (a *Azure) judge(app AzureApplication, raw string) *azureNo {
	j, err := token.Parse(raw)
	if err != nil {
		return azureClientNo(50027, "JWT token is invalid or malformed.")
	}
	c, err := j.Claims()
	if err != nil {
		return azureClientNo(50027, "JWT token is invalid or malformed.")
	}
	if c.Issuer != app.Issuer {
		return azureRequestNo("invalid_request", 700211, "No matching federated identity record found for presented assertion issuer '%s'.", c.Issuer)
	}
	if !slices.ContainsFunc(app.Keys.Find(j.KeyID(), j.Algorithm()), func(k token.Key) bool { return j.Verify(k) == nil }) {
		return azureClientNo(700027, "Client assertion contains an invalid signature. [Reason - The key was not found., Thumbprint of key used by client: '%s']", j.KeyID())
	}
	return a.judgeClaims(app, c)
}

func (a *Azure) judgeClaims(app AzureApplication, c token.Claims) *azureNo {
	audience := app.Audience
	if audience == "" {
		audience = azureExchange
	}
	now := a.cfg.Now().UTC()
	switch {
	case c.Expires.IsZero() || c.Window().Check(now, 0) != nil:
		const layout = "2006-01-02T15:04:05.0000000Z"
		return azureClientNo(700024, "Client assertion is not within its valid time range. Current time: %s, assertion valid from %s, expiry time of assertion %s.",
			now.Format(layout), c.Window().NotBefore.Format(layout), c.Expires.Format(layout))
	case !slices.Equal(c.Audience, []string{audience}):
		return azureRequestNo("invalid_request", 700212, "No matching federated identity record found for presented assertion audience '%s'.", strings.Join(c.Audience, " "))
	case c.Subject != app.Subject:
		return azureRequestNo("invalid_request", 700213, "No matching federated identity record found for presented assertion subject '%s'.", c.Subject)
	}
	return nil
}

// refuse answers as Entra does.
func (a *Azure) refuse(w http.ResponseWriter, no *azureNo) {
	at, trace := a.cfg.Now().UTC().Format("2006-01-02 15:04:05Z"), rand.Text()
	azureJSON(w, no.status, map[string]any{
		"error": no.code, "error_codes": []int{no.number}, "timestamp": at, "trace_id": trace, "correlation_id": trace,
		"error_description": fmt.Sprintf("AADSTS%d: %s Trace ID: %s Correlation ID: %s Timestamp: %s", no.number, no.text, trace, trace, at),
		"error_uri":         fmt.Sprintf("https://login.microsoftonline.com/error?code=%d", no.number),
	})
}
