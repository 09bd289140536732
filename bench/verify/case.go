package verify

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"strings"
	"time"

	"github.com/longcase/longcase/token"
)

const (
	issuer   = "https://tokens.example.com"
	audience = "https://service-b.example.com"
	size     = 700 // bytes of a token
)

// A subject is one algorithm with its key and its token.
type subject struct {
	alg token.Algorithm
	key token.Key
	pub any // what the peers take: a public key, or the secret
	raw string
	now time.Time
}

func newSubject(alg token.Algorithm, now time.Time) (subject, error) {
	signer, pub, err := newSigner(alg)
	if err != nil {
		return subject{}, err
	}
	s := subject{alg: alg, key: signer.Key(), pub: pub, now: now}
	for fill := 0; ; fill++ {
		s.raw, err = signer.Sign("at+jwt", claims(now, fill))
		if err != nil || len(s.raw) >= size {
			return s, err
		}
	}
}

func newSigner(alg token.Algorithm) (token.Signer, any, error) {
	const kid = "2026-11-a"
	if alg == token.HS256 {
		secret := make([]byte, 32)
		rand.Read(secret)
		s, err := token.NewSecretSigner(kid, secret)
		return s, secret, err
	}
	key, err := newKey(alg)
	if err != nil {
		return token.Signer{}, nil, err
	}
	s, err := token.NewSigner(kid, alg, key)
	return s, key.Public(), err
}

func newKey(alg token.Algorithm) (crypto.Signer, error) {
	switch alg {
	case token.ES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case token.ES384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case token.EdDSA:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	default:
		return rsa.GenerateKey(rand.Reader, 2048)
	}
}

// claims are those of RFC 9068, with fill bytes more of scope.
func claims(now time.Time, fill int) []byte {
	return fmt.Appendf(nil, `{"iss":%q,"sub":"service-a","aud":%q,"client_id":"service-a","jti":"b2f1c7d9e0a34856"`+
		`,"iat":%d,"nbf":%d,"exp":%d,"scope":"orders.read%s"}`,
		issuer, audience, now.Unix(), now.Unix()-10, now.Unix()+3600, strings.Repeat("s", fill))
}
