package clouds

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/longcase/longcase/jwks"
	"github.com/longcase/longcase/token"
)

const googleIssuer = "https://accounts.google.com"

// serveToken answers POST /token: a service account's assertion (RFC 7523
// section 2.1) becomes a token.
func (g *Google) serveToken(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
	if r.ParseForm() != nil || r.PostForm.Get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
		g.refuseOAuth(w, no("unsupported_grant_type", "Invalid grant_type."))
		return
	}
	uri := g.cfg.TokenURI
	if uri == "" {
		uri = "http://" + r.Host + r.URL.Path
	}
	account, claims, err := g.assertion(r.PostForm.Get("assertion"))
	if err == nil && (len(claims.Audience) != 1 || claims.Audience[0] != uri) {
		err = no("invalid_grant", "Invalid JWT: the audience is not %s", uri)
	}
	if err != nil {
		g.refuseOAuth(w, err)
		return
	}
	g.answerAssertion(w, account, claims)
}

func (g *Google) answerAssertion(w http.ResponseWriter, account GoogleAccount, claims token.Claims) {
	if target := member(claims, "target_audience"); target != "" {
		jwt, err := g.signID(account.Email, target)
		if err != nil {
			g.refuseOAuth(w, err)
			return
		}
		g.write(w, http.StatusOK, map[string]string{"id_token": jwt})
		return
	}
	if claims.Scope == "" {
		g.refuseOAuth(w, no("invalid_scope", "Empty or missing scope not allowed."))
		return
	}
	value, end := g.issue("ya29.c.", account.Email, claims.Scope, 0)
	g.write(w, http.StatusOK, map[string]any{
		"access_token": value, "token_type": "Bearer", "expires_in": int(end.Sub(g.cfg.Now()) / time.Second),
	})
}

// assertion verifies a JWT that a service account's key has signed.
func (g *Google) assertion(raw string) (GoogleAccount, token.Claims, error) {
	jws, err := token.Parse(raw)
	if err != nil {
		return GoogleAccount{}, token.Claims{}, no("invalid_grant", "Bad Request")
	}
	claims, err := jws.Claims()
	if err != nil {
		return GoogleAccount{}, claims, no("invalid_grant", "Bad Request")
	}
	account, ok := g.account(claims.Issuer)
	if !ok {
		return account, claims, no("invalid_grant", "Invalid grant: account not found")
	}
	if !signedByAny(jws, jwks.FromKeys(account.Keys...).Find(jws.KeyID(), jws.Algorithm())) {
		return account, claims, no("invalid_grant", "Invalid JWT Signature.")
	}
	now, life := g.cfg.Now(), claims.Expires.Sub(claims.IssuedAt)
	if claims.IssuedAt.After(now.Add(time.Minute)) || !now.Before(claims.Expires) || life <= 0 || life > time.Hour {
		return account, claims, no("invalid_grant", "Invalid JWT: Token must be a short-lived token (60 minutes) and in a "+
			"reasonable timeframe. Check your iat and exp values in the JWT claim.")
	}
	return account, claims, nil
}

// selfSigned is the account of a JWT that is a token itself (AIP-4111).
func (g *Google) selfSigned(raw string) (string, error) {
	account, claims, err := g.assertion(raw)
	forAPI := len(claims.Audience) > 0 && claims.Audience[0] != "" // Google's library for Go sends an empty one beside a scope
	if err == nil && (claims.Subject != account.Email || forAPI == (claims.Scope != "")) {
		err = no("invalid_grant", "A self-signed JWT has sub, and one of aud and scope.")
	}
	return account.Email, err
}

// signID makes an ID token of a service account for an audience.
func (g *Google) signID(email, audience string) (string, error) {
	now := g.cfg.Now()
	claims, err := json.Marshal(map[string]any{
		"iss": googleIssuer, "sub": email, "azp": email, "email": email, "email_verified": true,
		"aud": audience, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	})
	if err != nil {
		return "", err
	}
	return g.cfg.Signer.Sign("JWT", claims)
}

// serveCerts publishes the key of ID tokens.
func (g *Google) serveCerts(w http.ResponseWriter, _ *http.Request) {
	set, err := jwks.Marshal([]token.Key{g.cfg.Signer.Key()})
	if err != nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(set)
}

// member is a claim that is a string; empty: it is not there.
func member(c token.Claims, name string) (s string) {
	if raw, ok := c.Member(name); ok {
		_ = json.Unmarshal(raw, &s)
	}
	return s
}
