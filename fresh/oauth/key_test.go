package oauth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"testing"

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
			if got, err := Algorithm(tt.key, tt.supported); got != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("Algorithm = %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

func TestParseKey(t *testing.T) {
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	rsaKey, _ := rsa.GenerateKey(rand.Reader, 2048)
	pkcs8, _ := x509.MarshalPKCS8PrivateKey(p256)
	sec1, _ := x509.MarshalECPrivateKey(p256)
	block := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	tests := []struct {
		name string
		data []byte
		ok   bool
	}{
		{"PKCS #8", block("PRIVATE KEY", pkcs8), true},
		{"SEC 1", block("EC PRIVATE KEY", sec1), true},
		{"SEC 1 after its parameters, as openssl writes it", append(block("EC PARAMETERS", []byte{6, 1, 0}), block("EC PRIVATE KEY", sec1)...), true},
		{"PKCS #1", block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey)), true},
		{"a public key is none", block("PUBLIC KEY", pkcs8), false},
		{"an encrypted key is none", block("ENCRYPTED PRIVATE KEY", pkcs8), false},
		{"a broken key is none", block("PRIVATE KEY", pkcs8[:20]), false},
		{"a secret is none", []byte("lc_cs_x"), false},
		{"nothing is none", nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if key, err := ParseKey(tt.data); (err == nil) != tt.ok || (key != nil) != tt.ok {
				t.Errorf("ParseKey = %T, %v", key, err)
			}
		})
	}
}
