package issuer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/token"
)

// The bounds of a client's assertion (RFC 7523 section 3).
const (
	assertionType   = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	assertionLeeway = 30 * time.Second
	assertionLife   = time.Hour // the furthest "exp" that is taken
	markMargin      = time.Minute
	maxJTI          = 512 // bytes
)

// authenticateByKey checks a private_key_jwt: signed by the client's key, about
// the client, for this issuer, short-lived and never seen before.
func (is *Issuer) authenticateByKey(ctx context.Context, cr credentials, now time.Time) (Client, *refusal) {
	jws, err := token.Parse(cr.assertion)
	if err != nil {
		return Client{}, failed("client assertion").caused(err)
	}
	claims, err := jws.Claims()
	if err != nil {
		return Client{}, failed("client assertion").caused(err)
	}
	c, known, err := is.lookUp(ctx, claims.Issuer)
	switch {
	case err != nil:
		return Client{}, unavailable("find the client", err)
	case !known:
		return Client{}, failed("no such client")
	case c.Authenticate != AuthKey || c.Keys == nil:
		return Client{}, failed("client %q authenticates by %s", c.ID, c.Authenticate)
	case cr.id != "" && cr.id != c.ID:
		return Client{}, failed("client_id differs from the iss of client %q's assertion", c.ID)
	}
	if r := signedBy(ctx, c, jws); r != nil {
		return Client{}, r
	}
	if why := is.judgeAssertion(claims, now); why != "" {
		return Client{}, failed("assertion of client %q: %s", c.ID, why)
	}
	return c, is.useOnce(ctx, c, claims)
}

// signedBy checks the assertion's type and signature.
func signedBy(ctx context.Context, c Client, jws token.JWS) *refusal {
	switch jws.Type() {
	case "", "jwt", "client-authentication+jwt":
	default:
		return failed("assertion of client %q is of another type", c.ID)
	}
	if jws.Algorithm() == token.HS256 {
		return failed("assertion of client %q is signed with HS256", c.ID)
	}
	keys, err := c.Keys.Keys(ctx, jws.KeyID(), jws.Algorithm())
	if errors.Is(err, token.KeysUnavailable) {
		return unavailable(fmt.Sprintf("fetch the keys of client %q", c.ID), err)
	}
	if err != nil {
		return failed("assertion of client %q", c.ID).caused(err)
	}
	for _, k := range keys {
		if jws.Verify(k) == nil {
			return nil
		}
	}
	return failed("assertion of client %q: no key of the client's verifies its signature", c.ID)
}

// judgeAssertion returns why the claims are not acceptable at now, or "".
func (is *Issuer) judgeAssertion(c token.Claims, now time.Time) string {
	switch {
	case c.Subject != c.Issuer:
		return "sub is not iss"
	case !is.isFor(c.Audience):
		return "aud is not this issuer or its token endpoint"
	case c.ID == "" || len(c.ID) > maxJTI:
		return fmt.Sprintf("jti has %d bytes, want 1 to %d", len(c.ID), maxJTI)
	case c.Expires.IsZero():
		return "no exp"
	case c.Expires.After(now.Add(assertionLife + assertionLeeway)):
		return fmt.Sprintf("exp is more than %s ahead", assertionLife)
	case c.IssuedAt.After(now.Add(assertionLeeway)):
		return fmt.Sprintf("iat is %s in the future", c.IssuedAt.Sub(now).Round(time.Second))
	}
	if err := c.Window().Check(now, assertionLeeway); err != nil {
		return err.Error()
	}
	return ""
}

// isFor reports whether every audience names this issuer.
func (is *Issuer) isFor(audience []string) bool {
	for _, a := range audience {
		if a != is.cfg.URL && a != is.base+"/token" {
			return false
		}
	}
	return len(audience) > 0
}

// useOnce marks the assertion's jti. The mark's place follows from what is
// signed alone, so every node finds the same one.
func (is *Issuer) useOnce(ctx context.Context, c Client, claims token.Claims) *refusal {
	mark := store.Mark{Kind: "assertion", Scope: c.ID, Value: claims.ID, End: claims.Expires.Add(markMargin)}
	first, err := is.cfg.Engine.Marks().First(ctx, mark)
	switch {
	case errors.Is(err, store.ErrEnded), errors.Is(err, store.ErrTooLate):
		return failed("assertion of client %q", c.ID).caused(err)
	case err != nil:
		return unavailable("mark the assertion as used", err)
	case !first:
		return failed("assertion of client %q was used before", c.ID)
	}
	return nil
}
