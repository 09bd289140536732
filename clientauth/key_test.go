package clientauth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"testing"

	"github.com/longcase/longcase/clientauth"
	"github.com/longcase/longcase/token"
)

func TestAKeysAlgorithmFollowsFromItsType(t *testing.T) {
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	p521, _ := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	rsaKey, _ := rsa.GenerateKey(rand.Reader, 2048)
	_, edKey, _ := ed25519.GenerateKey(rand.Reader)
	tests := []struct {
		name      string
		key       crypto.Signer
		supported []string
		want      token.Algorithm
	}{
		{"P-256", p256, nil, token.ES256},
		{"P-256, whatever is listed", p256, []string{"PS256"}, token.ES256},
		{"P-384", p384, nil, token.ES384},
		{"P-521 is none of ours", p521, nil, ""},
		{"Ed25519", edKey, nil, token.EdDSA},
		{"RSA, nothing listed", rsaKey, nil, token.RS256},
		{"RSA, both listed", rsaKey, []string{"PS256", "RS256"}, token.RS256},
		{"RSA, PS256 alone listed", rsaKey, []string{"PS256", "ES256"}, token.PS256},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := clientauth.NewSigner("k", tt.key, tt.supported)
			var got token.Algorithm
			if err == nil {
				got = s.Algorithm()
			}
			if got != tt.want {
				t.Errorf("NewSigner signs by %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}
