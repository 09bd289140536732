package jwks

import (
	"crypto"
	"encoding/base64"
	"encoding/json"
	"fmt"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/longcase/longcase/token"
)

// Marshal writes a JWK Set of keys in the order given, each with its "kid",
// "alg" and use "sig". Symmetric keys are an error. To publish a key that is
// not a token.Key yet, make one with token.NewKey.
func Marshal(keys []token.Key) ([]byte, error) {
	out := struct {
		Keys []jose.JSONWebKey `json:"keys"`
	}{Keys: make([]jose.JSONWebKey, 0, len(keys))}
	for _, k := range keys {
		if k.Public() == nil {
			return nil, fmt.Errorf("jwks: key %s is a secret or zero: it cannot be published", quote(k.ID()))
		}
		out.Keys = append(out.Keys, jose.JSONWebKey{Key: k.Public(), KeyID: k.ID(), Algorithm: string(k.Algorithm()), Use: "sig"})
	}
	return json.Marshal(out)
}

// Thumbprint is the SHA-256 JWK thumbprint of a public key (RFC 7638), in
// base64url: the same for the same key, whoever computes it.
func Thumbprint(pub crypto.PublicKey) (string, error) {
	jwk := jose.JSONWebKey{Key: pub}
	if !jwk.IsPublic() {
		return "", fmt.Errorf("jwks: %T has no thumbprint: it is no public key", pub)
	}
	sum, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("jwks: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}
