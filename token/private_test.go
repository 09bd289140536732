package token_test

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"testing"

	"github.com/longcase/longcase/token"
)

func TestParsePrivateKey(t *testing.T) {
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	rsaKey, _ := rsa.GenerateKey(rand.Reader, 2048)
	pkcs8, _ := x509.MarshalPKCS8PrivateKey(p256)
	sec1, _ := x509.MarshalECPrivateKey(p256)
	agree, _ := ecdh.X25519().GenerateKey(rand.Reader)
	x25519, _ := x509.MarshalPKCS8PrivateKey(agree)
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
		{"a key that signs nothing is none", block("PRIVATE KEY", x25519), false},
		{"a public key is none", block("PUBLIC KEY", pkcs8), false},
		{"an encrypted key is none", block("ENCRYPTED PRIVATE KEY", pkcs8), false},
		{"a broken key is none", block("PRIVATE KEY", pkcs8[:20]), false},
		{"a secret is none", []byte("lc_cs_x"), false},
		{"nothing is none", nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if key, err := token.ParsePrivateKey(tt.data); (err == nil) != tt.ok || (key != nil) != tt.ok {
				t.Errorf("ParsePrivateKey = %T, %v", key, err)
			}
		})
	}
}
