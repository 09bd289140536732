package clientauth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"

	"github.com/longcase/longcase/token"
)

// NewSigner makes what signs the assertions of the client that holds key. The kid
// may be empty. Where the server lists the algorithms that it supports (nil: it
// does not say), they leave RSA a choice: RS256, unless PS256 is listed and RS256
// is not. The error says that the key is of another kind.
func NewSigner(kid string, key crypto.Signer, supported []string) (*token.Signer, error) {
	alg, err := algorithm(key.Public(), supported)
	if err != nil {
		return nil, err
	}
	s, err := token.NewSigner(kid, alg, key)
	if err != nil {
		return nil, fmt.Errorf("clientauth: the client's key: %w", err)
	}
	return &s, nil
}

func algorithm(key crypto.PublicKey, supported []string) (token.Algorithm, error) {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		switch key.Curve.Params().BitSize {
		case 256:
			return token.ES256, nil
		case 384:
			return token.ES384, nil
		}
	case ed25519.PublicKey:
		return token.EdDSA, nil
	case *rsa.PublicKey:
		if slices.Contains(supported, string(token.PS256)) && !slices.Contains(supported, string(token.RS256)) {
			return token.PS256, nil
		}
		return token.RS256, nil
	}
	return "", errors.New("clientauth: the client's key is none of ECDSA P-256, P-384, RSA and Ed25519")
}
