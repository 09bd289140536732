package oracle

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	josejwt "github.com/go-jose/go-jose/v4/jwt"
	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jws"
	jwxjwt "github.com/lestrrat-go/jwx/v3/jwt"

	"github.com/longcase/longcase/token"
)

// long reports how many of n to run: a twentieth unless LONGCASE_LONG=1.
func long(n int) int {
	if os.Getenv("LONGCASE_LONG") == "1" {
		return n
	}
	return max(n/20, 1)
}

// pair is one key pair as everybody wants it.
type pair struct {
	alg    token.Algorithm
	signer token.Signer
	pub    any // a public key, or the secret of HS256

	private crypto.Signer // nil for HS256
}

// pairs holds one pair per algorithm, made once.
var pairs = sync.OnceValue(func() map[token.Algorithm]pair {
	rsaKey := must(rsa.GenerateKey(rand.Reader, 2048))
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	all := map[token.Algorithm]pair{
		token.HS256: {token.HS256, must(token.NewSecretSigner("k", secret())), secret(), nil},
	}
	for alg, key := range map[token.Algorithm]crypto.Signer{
		token.ES256: must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)),
		token.ES384: must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)),
		token.RS256: rsaKey,
		token.PS256: rsaKey,
		token.EdDSA: must(edKey, err),
	} {
		all[alg] = pair{alg, must(token.NewSigner("k", alg, key)), key.Public(), key}
	}
	return all
})

func algorithms() []token.Algorithm {
	return []token.Algorithm{token.ES256, token.ES384, token.RS256, token.PS256, token.EdDSA, token.HS256}
}

func secret() []byte { return []byte("0123456789abcdef0123456789abcdef") }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// reading is what a reader understood of a token: registered claims in their Go
// types, times zero if absent, and every member.
type reading struct {
	iss, sub, jti string
	aud           []string
	exp, iat, nbf time.Time
	all           map[string]any
}

// ours reads with Longcase.
func ours(raw string, key token.Key) (reading, error) {
	j, err := token.Parse(raw)
	if err != nil {
		return reading{}, err
	}
	if err := j.Verify(key); err != nil {
		return reading{}, err
	}
	c, err := j.Claims()
	if err != nil {
		return reading{}, err
	}
	r := reading{iss: c.Issuer, sub: c.Subject, jti: c.ID, aud: c.Audience, exp: c.Expires, iat: c.IssuedAt, nbf: c.NotBefore}
	return r, json.Unmarshal(c.Raw, &r.all)
}

// bySquare reads with go-jose.
func bySquare(raw string, alg token.Algorithm, pub any) (r reading, err error) {
	t, err := josejwt.ParseSigned(raw, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)})
	if err != nil {
		return r, err
	}
	var c josejwt.Claims
	if err := t.Claims(pub, &c, &r.all); err != nil {
		return r, err
	}
	r.iss, r.sub, r.jti, r.aud = c.Issuer, c.Subject, c.ID, c.Audience
	date := func(d *josejwt.NumericDate) time.Time {
		if d == nil {
			return time.Time{}
		}
		return d.Time()
	}
	r.exp, r.iat, r.nbf = date(c.Expiry), date(c.IssuedAt), date(c.NotBefore)
	return r, nil
}

// byJWX reads with lestrrat-go/jwx.
func byJWX(raw string, alg token.Algorithm, pub any) (r reading, err error) {
	name, ok := jwa.LookupSignatureAlgorithm(string(alg))
	if !ok {
		return r, errors.New("jwx does not know the algorithm")
	}
	payload, err := jws.Verify([]byte(raw), jws.WithKey(name, pub))
	if err != nil {
		return r, err
	}
	t, err := jwxjwt.Parse([]byte(raw), jwxjwt.WithKey(name, pub), jwxjwt.WithValidate(false))
	if err != nil {
		return r, err
	}
	r.iss, _ = t.Issuer()
	r.sub, _ = t.Subject()
	r.jti, _ = t.JwtID()
	r.aud, _ = t.Audience()
	r.exp, _ = t.Expiration()
	r.iat, _ = t.IssuedAt()
	r.nbf, _ = t.NotBefore()
	return r, json.Unmarshal(payload, &r.all)
}
