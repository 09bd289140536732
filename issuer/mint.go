package issuer

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/longcase/longcase/token"
)

// accessClaims are the claims of RFC 9068 section 2.2; times are Unix seconds.
type accessClaims struct {
	Issuer    string `json:"iss"`
	Subject   string `json:"sub"`
	Audience  string `json:"aud"`
	ClientID  string `json:"client_id"`
	Scope     string `json:"scope,omitempty"`
	Session   string `json:"sid,omitempty"`
	ID        string `json:"jti"`
	IssuedAt  int64  `json:"iat"`
	NotBefore int64  `json:"nbf"`
	Expires   int64  `json:"exp"`
	AuthTime  int64  `json:"auth_time,omitempty"`
}

// idClaims are the claims of OpenID Connect Core section 2.
type idClaims struct {
	Issuer     string `json:"iss"`
	Subject    string `json:"sub"`
	Audience   string `json:"aud"`
	Authorized string `json:"azp"`
	Session    string `json:"sid,omitempty"`
	Nonce      string `json:"nonce,omitempty"`
	AccessHash string `json:"at_hash,omitempty"`
	IssuedAt   int64  `json:"iat"`
	Expires    int64  `json:"exp"`
	AuthTime   int64  `json:"auth_time,omitempty"`
}

// issue mints what e entitles to and completes the event.
func (is *Issuer) issue(c *call, e entitlement) (answer, *refusal) {
	c.event.Subject, c.event.Session, c.event.Audience = e.subject, e.session, e.audience
	end := is.accessEnd(c.now, e.end)
	if !end.After(c.now) {
		return answer{}, refuse(invalidGrant, "the session is over: sign in again")
	}
	a, err := is.mint(e, c.now, end)
	if err != nil {
		return answer{}, unavailable("sign the token", err)
	}
	return a, nil
}

// accessEnd is when an access token made at now ends: after its life, and never
// after the absolute end of its session. Whole seconds.
func (is *Issuer) accessEnd(now, session time.Time) time.Time {
	end := now.Truncate(time.Second).Add(is.cfg.Lifetimes.Access).Truncate(time.Second)
	if !session.IsZero() && session.Before(end) {
		end = session.Truncate(time.Second)
	}
	return end
}

// mint signs the access token and, where openid was granted, the ID token.
func (is *Issuer) mint(e entitlement, now, end time.Time) (answer, error) {
	signer, err := is.cfg.Keys.Signer(now)
	if err != nil {
		return answer{}, err
	}
	if e.jti == "" {
		e.jti = is.newID()
	}
	access := accessClaims{
		Issuer: is.cfg.URL, Subject: e.subject, Audience: e.audience, ClientID: e.client,
		Scope: strings.Join(e.scopes, " "), Session: e.session, ID: e.jti,
		IssuedAt: now.Unix(), NotBefore: now.Unix() - int64(is.cfg.Lifetimes.Backdate/time.Second), Expires: end.Unix(), AuthTime: e.signedIn,
	}
	a := answer{TokenType: "Bearer", ExpiresIn: end.Unix() - now.Unix(), Scope: access.Scope}
	if a.AccessToken, err = sign(signer, "at+jwt", access); err != nil {
		return answer{}, err
	}
	if e.signedIn == 0 || !slices.Contains(e.scopes, scopeOpenID) {
		return a, nil
	}
	a.IDToken, err = sign(signer, "JWT", idClaims{
		Issuer: is.cfg.URL, Subject: e.subject, Audience: e.client, Authorized: e.client, Session: e.session, Nonce: e.nonce,
		AccessHash: accessHash(signer.Algorithm(), a.AccessToken),
		IssuedAt:   access.IssuedAt, Expires: access.Expires, AuthTime: e.signedIn,
	})
	return a, err
}

func sign(signer token.Signer, typ string, claims any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	return signer.Sign(typ, payload)
}

// newID is the id of a new token: 128 random bits, and which node made it.
func (is *Issuer) newID() string { return is.cfg.Node.ID(newJTI()) }

// newJTI returns 128 random bits.
func newJTI() string {
	var b [16]byte
	rand.Read(b[:]) //nolint:errcheck // it does not fail
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// accessHash is "at_hash": the left half of the hash that goes with alg.
func accessHash(alg token.Algorithm, access string) string {
	var sum []byte
	switch alg {
	case token.ES384:
		h := sha512.Sum384([]byte(access))
		sum = h[:]
	case token.EdDSA:
		h := sha512.Sum512([]byte(access))
		sum = h[:]
	default:
		h := sha256.Sum256([]byte(access))
		sum = h[:]
	}
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}
