package keys

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"

	"github.com/longcase/longcase/jwks"
	"github.com/longcase/longcase/token"
)

const (
	kekSize = 32
	rsaBits = 2048 // 112 bits of security, a fifth of the signing time of 3072
)

// sealer encrypts keys at rest with AES-256-GCM.
type sealer struct {
	aead cipher.AEAD
	id   string // names the key-encryption key without showing it
}

func newSealer(kek []byte) (sealer, error) {
	block, err := aes.NewCipher(kek)
	if err != nil {
		return sealer{}, fmt.Errorf("keys: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return sealer{}, fmt.Errorf("keys: %w", err)
	}
	mac := hmac.New(sha256.New, kek)
	mac.Write([]byte("longcase key-encryption key id v1"))
	return sealer{aead, hex.EncodeToString(mac.Sum(nil)[:4])}, nil
}

// place binds a sealed key to where it stands, so that two cannot be swapped.
func place(entry, id string, alg token.Algorithm) []byte {
	return fmt.Appendf(nil, "longcase v1 %q %q %q", entry, id, string(alg))
}

func (s sealer) close(entry, id string, alg token.Algorithm, secret []byte) []byte {
	return s.aead.Seal(nil, nil, secret, place(entry, id, alg))
}

func (s sealer) open(entry, id string, alg token.Algorithm, sealed []byte) ([]byte, error) {
	secret, err := s.aead.Open(nil, nil, sealed, place(entry, id, alg))
	if err != nil {
		return nil, fmt.Errorf("%w: registry entry %q, key %q", ErrDamaged, entry, id)
	}
	return secret, nil
}

// checkID reports whether a record was sealed with this key-encryption key.
func (s sealer) checkID(entry, id string) error {
	if id == s.id {
		return nil
	}
	return fmt.Errorf("%w: registry entry %q was sealed with %.16q, this node has %q: give it the key (keys.encrypt_with) that made the store's keys",
		ErrWrongKEK, entry, id, s.id)
}

// closeSigner seals a private key as PKCS #8.
func (s sealer) closeSigner(id string, alg token.Algorithm, private crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	return s.close(ringEntry, id, alg, der), nil
}

// openSigner is the reverse; the key must be the one its id, a thumbprint, says.
func (s sealer) openSigner(id string, alg token.Algorithm, sealed []byte) (token.Signer, error) {
	der, err := s.open(ringEntry, id, alg, sealed)
	if err != nil {
		return token.Signer{}, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return token.Signer{}, fmt.Errorf("%w: key %q is no PKCS #8", ErrDamaged, id)
	}
	private, ok := parsed.(crypto.Signer)
	if !ok {
		return token.Signer{}, fmt.Errorf("%w: key %q cannot sign", ErrDamaged, id)
	}
	if print, err := jwks.Thumbprint(private.Public()); err != nil || print != id {
		return token.Signer{}, fmt.Errorf("%w: key %q has another thumbprint", ErrDamaged, id)
	}
	return token.NewSigner(id, alg, private)
}

func canSign(alg token.Algorithm) bool {
	switch alg {
	case token.ES256, token.ES384, token.RS256, token.PS256, token.EdDSA:
		return true
	}
	return false
}

// generate makes a private key that can sign with alg.
func generate(alg token.Algorithm) (crypto.Signer, error) {
	switch alg {
	case token.ES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case token.ES384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case token.RS256, token.PS256:
		return rsa.GenerateKey(rand.Reader, rsaBits)
	case token.EdDSA:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	}
	return nil, fmt.Errorf("keys: %q cannot sign here", alg)
}
