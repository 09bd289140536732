package token_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/longcase/longcase/token"
)

// long reports whether the large counts run whole; otherwise a twentieth.
func long(n int) int {
	if os.Getenv("LONGCASE_LONG") == "1" {
		return n
	}
	return max(n/20, 1)
}

// algorithms is every algorithm there is.
func algorithms() []token.Algorithm {
	return []token.Algorithm{token.ES256, token.ES384, token.RS256, token.PS256, token.EdDSA, token.HS256}
}

// signers holds one signer per algorithm, made once: RSA keys are slow to make.
var signers = sync.OnceValue(func() map[token.Algorithm]token.Signer {
	rsaKey := must(rsa.GenerateKey(rand.Reader, 2048))
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	private := map[token.Algorithm]crypto.Signer{
		token.ES256: must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)),
		token.ES384: must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)),
		token.RS256: rsaKey,
		token.PS256: rsaKey,
		token.EdDSA: must(edKey, err),
	}
	all := map[token.Algorithm]token.Signer{token.HS256: must(token.NewSecretSigner("k-HS256", secret()))}
	for alg, key := range private {
		all[alg] = must(token.NewSigner("k-"+string(alg), alg, key))
	}
	return all
})

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func secret() []byte { return []byte("0123456789abcdef0123456789abcdef") }

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func unb64(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatalf("base64url: %v", err)
	}
	return b
}

// signed spells a token out of any header and payload and signs it with
// secret(), so that a refusal is never for want of a good signature.
func signed(header, payload string) string {
	message := b64(header) + "." + b64(payload)
	mac := hmac.New(sha256.New, secret())
	mac.Write([]byte(message))
	return message + "." + b64(string(mac.Sum(nil)))
}

// check does all that a verifier does with a token's text.
func check(raw string, k token.Key) (token.Claims, error) {
	j, err := token.Parse(raw)
	if err != nil {
		return token.Claims{}, err
	}
	if err := j.Verify(k); err != nil {
		return token.Claims{}, err
	}
	return j.Claims()
}

func hs256(t *testing.T) token.Key {
	t.Helper()
	k, err := token.NewKey("", token.HS256, secret())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// nested is a JSON value of n levels.
func nested(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
