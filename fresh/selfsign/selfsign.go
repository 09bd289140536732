package selfsign

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/token"
)

const (
	lifetime    = 5 * time.Minute
	maxLifetime = time.Hour
	backdate    = 10 * time.Second
	maxName     = 2048
)

// Config is what a token says and who signs it. Issuer, Audience and one of
// KeyFile and Key are required.
type Config struct {
	Issuer    string
	Subject   string // default Issuer; client_id too
	Audience  string // the one callee, as it calls itself
	Algorithm token.Algorithm

	KeyFile  string        // one PEM private key: PKCS #8, SEC 1 or PKCS #1; read for each token
	Key      []byte        `json:"-"` // the same, where there is no file
	Lifetime time.Duration // default 5 min; whole seconds, 1 s to 1 h
}

// Format implements fmt.Formatter: the key does not print.
func (c Config) Format(f fmt.State, verb rune) {
	type bare Config
	c.Key = nil
	_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), bare(c))
}

// Check names every field that cannot work.
func (c Config) Check() error {
	var wrong []error
	add := func(bad bool, format string, args ...any) {
		if bad {
			wrong = append(wrong, fresh.Fail(fresh.Misconfigured, format, args...))
		}
	}
	add(c.Issuer == "" || len(c.Issuer) > maxName, "issuer is required and has at most %d bytes", maxName)
	add(len(c.Subject) > maxName, "subject has more than %d bytes", maxName)
	add(c.Audience == "" || len(c.Audience) > maxName, "audience is required and has at most %d bytes", maxName)
	add(strings.Contains(c.Audience, "*"), "audience %.200q: one callee, not a pattern", c.Audience)
	add(!known(c.Algorithm), "algorithm %.40q is none of ES256, ES384, RS256, PS256 and EdDSA", string(c.Algorithm))
	add((c.KeyFile == "") == (len(c.Key) == 0), "one of key file and key is required")
	add(c.Lifetime != 0 && (c.Lifetime < time.Second || c.Lifetime > maxLifetime || c.Lifetime%time.Second != 0),
		"lifetime is %s: it must be whole seconds, 1 s to 1 h", c.Lifetime)
	return errors.Join(wrong...)
}

func known(alg token.Algorithm) bool {
	switch alg {
	case "", token.ES256, token.ES384, token.RS256, token.PS256, token.EdDSA:
		return true
	}
	return false
}

// JWT signs one token per renewal. Its end is by this host's clock, which is the
// issuer's.
func JWT(c Config) fresh.Root[fresh.Token] {
	wrong := c.Check()
	if c.Subject == "" {
		c.Subject = c.Issuer
	}
	if c.Lifetime == 0 {
		c.Lifetime = lifetime
	}
	return func(_ context.Context, now time.Time) (fresh.Credential[fresh.Token], error) {
		if wrong != nil {
			return fresh.Credential[fresh.Token]{}, &fresh.Error{Reason: fresh.Misconfigured, Err: wrong}
		}
		return c.sign(now.Truncate(time.Second).UTC())
	}
}

func (c Config) sign(iat time.Time) (fresh.Credential[fresh.Token], error) {
	var none fresh.Credential[fresh.Token]
	signer, err := c.signer()
	if err != nil {
		return none, err
	}
	got := fresh.Credential[fresh.Token]{NotBefore: iat.Add(-backdate), Expires: iat.Add(c.Lifetime)}
	claims, err := json.Marshal(map[string]any{
		"iss": c.Issuer, "sub": c.Subject, "client_id": c.Subject, "aud": c.Audience, "jti": rand.Text(),
		"iat": iat.Unix(), "nbf": got.NotBefore.Unix(), "exp": got.Expires.Unix(),
	})
	if err != nil {
		return none, err
	}
	raw, err := signer.Sign("at+jwt", claims)
	if err != nil {
		return none, &fresh.Error{Reason: fresh.Misconfigured, Detail: "the token cannot be signed", Err: err}
	}
	got.Value = fresh.Token{Value: raw, Type: "Bearer"}
	return got, nil
}
