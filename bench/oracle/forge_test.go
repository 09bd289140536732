package oracle

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"testing"
)

// signMessage signs any message with any pair, that of a shared secret included.
func (p pair) signMessage(t *testing.T, message string) string {
	t.Helper()
	if secret, ok := p.pub.([]byte); ok {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(message))
		return message + "." + b64(string(mac.Sum(nil)))
	}
	return signWith(t, p, message)
}

// signWith signs message with the pair's private key, whatever message is.
func signWith(t *testing.T, p pair, message string) string {
	t.Helper()
	var sig []byte
	var err error
	switch key := p.private.(type) {
	case *ecdsa.PrivateKey:
		sig, err = signECDSA(key, message)
	case *rsa.PrivateKey:
		digest := sha256.Sum256([]byte(message))
		var opts crypto.SignerOpts = crypto.SHA256
		if p.alg == "PS256" {
			opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
		}
		sig, err = key.Sign(rand.Reader, digest[:], opts)
	case ed25519.PrivateKey:
		sig = ed25519.Sign(key, []byte(message))
	default:
		err = fmt.Errorf("%T", key)
	}
	if err != nil {
		t.Fatalf("%s: %v", p.alg, err)
	}
	return message + "." + b64(string(sig))
}

func signECDSA(key *ecdsa.PrivateKey, message string) ([]byte, error) {
	size := (key.Params().BitSize + 7) / 8
	var digest []byte
	if size == 32 {
		sum := sha256.Sum256([]byte(message))
		digest = sum[:]
	} else {
		sum := sha512.Sum384([]byte(message))
		digest = sum[:]
	}
	r, s, err := ecdsa.Sign(rand.Reader, key, digest)
	if err != nil {
		return nil, err
	}
	return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...), nil
}
