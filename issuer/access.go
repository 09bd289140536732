package issuer

import (
	"context"
	"time"

	"github.com/longcase/longcase/token"
)

// judgeAccess returns the claims of an access token of this issuer that is live
// at now: whole, signed by a key that is not withdrawn, in its window and not
// ended early. The error is a *token.Error, or the store's.
func (is *Issuer) judgeAccess(ctx context.Context, raw string, now time.Time) (token.Claims, error) {
	c, kid, err := is.readAccess(raw, now)
	if err != nil {
		return c, err
	}
	if err := c.Window().Check(now, 0); err != nil {
		return c, err
	}
	if err := is.early.fresh(ctx, is.cfg.Engine.Revocations(), now); err != nil {
		return c, err
	}
	return c, is.early.Ended(kid, &c)
}

// readAccess checks everything about an access token that does not change with
// time: spelling, type, signature and issuer.
func (is *Issuer) readAccess(raw string, now time.Time) (token.Claims, string, error) {
	jws, err := token.Parse(raw)
	if err != nil {
		return token.Claims{}, "", err
	}
	switch jws.Type() {
	case "at+jwt", "application/at+jwt":
	default:
		return token.Claims{}, "", token.Refuse(token.WrongType, "typ is %.40q, want at+jwt", jws.Type())
	}
	key, err := is.keyOf(jws, now)
	if err != nil {
		return token.Claims{}, "", err
	}
	c, err := jws.Claims()
	if err == nil && c.Issuer != is.cfg.URL {
		err = token.Refuse(token.WrongIssuer, "iss is %.200q", c.Issuer)
	}
	return c, key.ID(), err
}

// keyOf returns the key of this issuer that signed jws.
func (is *Issuer) keyOf(jws token.JWS, now time.Time) (token.Key, error) {
	keys := is.cfg.Keys.Find(jws.KeyID(), jws.Algorithm(), now)
	if len(keys) == 0 {
		return token.Key{}, token.Refuse(token.UnknownKey, "kid %.80q is not a key of this issuer", jws.KeyID())
	}
	var err error
	for _, k := range keys {
		if err = jws.Verify(k); err == nil {
			return k, nil
		}
	}
	return token.Key{}, err
}
