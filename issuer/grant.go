package issuer

import (
	"context"
	"slices"
	"time"
)

// answer is the success of RFC 6749 section 5.1.
type answer struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"`
	RefreshToken string `json:"refresh_token,omitempty"`
	Scope        string `json:"scope,omitempty"`
	IDToken      string `json:"id_token,omitempty"`

	repeated bool
}

// entitlement is what a grant decided: who may hold a token for what, and until
// when at most.
type entitlement struct {
	client   string
	subject  string
	audience string
	scopes   []string
	end      time.Time // no token outlives it; zero: no session, no such end
	session  string    // "sid", if there is one
	jti      string    // empty: a new one
	signedIn int64     // "auth_time", Unix seconds; 0: no user signed in
	nonce    string    // of the ID token
}

// grant decides on a token request. Whether the client names the grant comes
// before anything else in the request.
func (is *Issuer) grant(ctx context.Context, c *call) (answer, *refusal) {
	name := c.form.get("grant_type")
	var decide func(context.Context, *call) (answer, *refusal)
	switch name {
	case GrantClientCredentials:
		decide = is.clientCredentials
	case GrantAuthorizationCode:
		decide = is.authorizationCode
	case GrantRefreshToken:
		decide = is.refreshToken
	case "":
		return answer{}, refuse(invalidRequest, "send grant_type")
	case "password", grantType + "device_code", grantType + "jwt-bearer", grantType + "token-exchange":
		// Grants of a later version: no client can name them yet.
	default:
		return answer{}, refuse(unsupportedGrantType, "send grant_type client_credentials, authorization_code or refresh_token")
	}
	c.event.Grant = name
	if decide == nil || !c.client.may(name) {
		return answer{}, refuse(unauthorizedClient, "the client may not use this grant: name it among the client's grants")
	}
	if refused := c.form.once(); refused != nil {
		return answer{}, refused
	}
	return decide(ctx, c)
}

const grantType = "urn:ietf:params:oauth:grant-type:"

// clientCredentials grants the client a token of its own (RFC 6749 section
// 4.4). There is never a refresh token.
func (is *Issuer) clientCredentials(ctx context.Context, c *call) (answer, *refusal) {
	if c.client.Authenticate == AuthNone {
		return answer{}, refuse(unauthorizedClient, "a public client cannot use this grant: it proves nothing")
	}
	audience, refused := c.client.chooseAudience(c.form.targets())
	if refused != nil {
		return answer{}, refused
	}
	scopes, refused := c.client.chooseScopes(c.form.get("scope"))
	if refused != nil {
		return answer{}, refused
	}
	if c.form.get("scope") == "" {
		scopes = slices.DeleteFunc(scopes, func(s string) bool { return s == scopeOpenID })
	}
	if slices.Contains(scopes, scopeOpenID) {
		return answer{}, refuse(invalidScope, "openid is for users: leave it out")
	}
	return is.issue(c, entitlement{client: c.client.ID, subject: c.client.ID, audience: audience, scopes: scopes})
}
