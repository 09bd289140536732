package oauth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/longcase/longcase/token"
)

// assertionLife is how long a client assertion lives: it is used at once.
const assertionLife = time.Minute

// assertionOf is what a client's assertion says.
type assertionOf struct {
	client, keyID, issuer string
	algorithms            []string // that the issuer takes
	key                   crypto.Signer
}

// assert makes the client's assertion (RFC 7523 section 3): for the issuer
// alone, to be used once, at once.
func assert(a assertionOf, now time.Time) (string, error) {
	alg, err := Algorithm(a.key, a.algorithms)
	if err != nil {
		return "", err
	}
	signer, err := token.NewSigner(a.keyID, alg, a.key)
	if err != nil {
		return "", fmt.Errorf("oauth: the client's key: %w", err)
	}
	claims, err := json.Marshal(map[string]any{
		"iss": a.client, "sub": a.client, "aud": a.issuer, "jti": rand.Text(),
		"iat": now.Unix(), "exp": now.Add(assertionLife).Unix(),
	})
	if err != nil {
		return "", err
	}
	return signer.Sign("JWT", claims)
}

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
