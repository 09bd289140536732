package render

import (
	"fmt"
	"time"
)

// The subject token types of an executable that print one JWT.
const (
	TypeJWT     = "urn:ietf:params:oauth:token-type:jwt"
	TypeIDToken = "urn:ietf:params:oauth:token-type:id_token"
)

// GoogleToken is the answer of the GCE metadata service for an access token.
func GoogleToken(t Token, now time.Time) []byte {
	return line(struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int64  `json:"expires_in"`
		TokenType   string `json:"token_type"`
	}{t.Value, seconds(endOf(t.Expires, now), now), t.kind()})
}

// GoogleExecutable is what the executable of an external_account prints (AIP-4117).
// kind is TypeJWT or TypeIDToken; empty is TypeJWT.
func GoogleExecutable(t Token, kind string) ([]byte, error) {
	switch kind {
	case "":
		kind = TypeJWT
	case TypeJWT, TypeIDToken:
	default:
		return nil, fmt.Errorf("token type %q cannot be printed: ask for %s or %s", kind, TypeJWT, TypeIDToken)
	}
	var end int64
	if !t.Expires.IsZero() {
		end = t.Expires.Unix()
	}
	return line(struct {
		Version   int    `json:"version"`
		Success   bool   `json:"success"`
		TokenType string `json:"token_type"`
		IDToken   string `json:"id_token"`
		End       int64  `json:"expiration_time,omitempty"`
	}{1, true, kind, t.Value, end}), nil
}

// GoogleExecutableFailure is what the executable prints when there is no token.
// Neither code nor message may hold a secret.
func GoogleExecutableFailure(code, message string) []byte {
	return line(struct {
		Version int    `json:"version"`
		Success bool   `json:"success"`
		Code    string `json:"code"`
		Message string `json:"message"`
	}{1, false, code, message})
}
