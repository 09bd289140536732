package oauth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"slices"

	"github.com/longcase/longcase/token"
)

// Algorithm is what a client's key signs assertions with, where the service
// lists the supported ones (nil: it does not say). RSA leaves a choice: RS256,
// unless PS256 is listed and RS256 is not. The error says that the key is of
// another kind.
func Algorithm(key crypto.Signer, supported []string) (token.Algorithm, error) {
	switch pub := key.Public().(type) {
	case *ecdsa.PublicKey:
		switch pub.Curve.Params().BitSize {
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
	return "", errors.New("oauth: the client's key is none of ECDSA P-256, P-384, RSA and Ed25519")
}
