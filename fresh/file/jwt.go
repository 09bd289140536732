package file

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"time"

	"github.com/longcase/longcase/token"
)

// What a file may hold that is no token. None of them quotes it.
var (
	errEmpty  = errors.New("nothing")
	errSpaces = errors.New("more than one word: a token has no white space inside")
	errBytes  = errors.New("bytes that no token has")
	errJSON   = errors.New("JSON, not a bare token")
	errCut    = errors.New("a JWT that is cut off")
	errClaims = errors.New("a JWT whose claims cannot be read")
)

// tokenOf trims white space and refuses what no header field could carry.
func tokenOf(data []byte) (string, error) {
	data = bytes.TrimSpace(data)
	switch {
	case len(data) == 0:
		return "", errEmpty
	case data[0] == '{':
		return "", errJSON
	case bytes.ContainsAny(data, " \t\r\n"):
		return "", errSpaces
	}
	for _, b := range data {
		if b <= ' ' || b >= 0x7f {
			return "", errBytes
		}
	}
	return string(data), nil
}

// windowOf reads "nbf" and "exp" of a JWT, whatever its algorithm. The zero
// Window is that of a token that is no JWT, and of an encrypted one (JWE). The
// error says that it is the beginning of a JWT, or one nobody could read.
func windowOf(text string) (token.Window, error) {
	head, rest, dotted := strings.Cut(text, ".")
	h, ok := object(head)
	if !ok {
		if strings.HasPrefix(text, "eyJ") { // `{"`
			return token.Window{}, errCut
		}
		return token.Window{}, nil
	}
	var header struct{ Alg, Enc string }
	if json.Unmarshal(h, &header) != nil || header.Alg == "" || header.Enc != "" {
		return token.Window{}, nil
	}
	payload, signature, _ := strings.Cut(rest, ".")
	if !dotted || !whole(header.Alg, signature) {
		return token.Window{}, errCut
	}
	return claims(payload)
}

// object decodes base64url that holds one JSON object.
func object(part string) ([]byte, bool) {
	data, err := base64.RawURLEncoding.Strict().DecodeString(part)
	return data, err == nil && token.CheckObject(data) == nil
}

// whole reports whether a signature of alg can have this length: a file that is
// half written ends anywhere. Unknown algorithms have any length.
func whole(alg, signature string) bool {
	sig, err := base64.RawURLEncoding.Strict().DecodeString(signature)
	if err != nil || len(sig) == 0 {
		return false
	}
	switch alg {
	case "HS256":
		return len(sig) == 32
	case "HS384":
		return len(sig) == 48
	case "ES256", "ES256K", "HS512":
		return len(sig) == 64
	case "ES384":
		return len(sig) == 96
	case "ES512":
		return len(sig) == 132
	case "EdDSA", "Ed25519":
		return len(sig) == 64 || alg == "EdDSA" && len(sig) == 114 // Ed448
	case "RS256", "RS384", "RS512", "PS256", "PS384", "PS512":
		return len(sig) >= 128 && len(sig)%16 == 0
	}
	return true
}

// claims reads the times of a payload.
func claims(payload string) (token.Window, error) {
	data, ok := object(payload)
	if !ok {
		return token.Window{}, errClaims
	}
	var c map[string]json.RawMessage
	if json.Unmarshal(data, &c) != nil {
		return token.Window{}, errClaims
	}
	exp, expOK := date(c["exp"])
	nbf, nbfOK := date(c["nbf"])
	if !expOK || !nbfOK {
		return token.Window{}, errClaims
	}
	return token.Window{NotBefore: nbf, Expires: exp}, nil
}

// lastSecond is the last second of the year 9999.
const lastSecond = 253402300799

// date reads a NumericDate (RFC 7519 section 2); none is the zero time.
func date(literal json.RawMessage) (time.Time, bool) {
	if literal == nil {
		return time.Time{}, true
	}
	var f float64
	if json.Unmarshal(literal, &f) != nil || string(literal) == "null" || f < 0 || f > lastSecond {
		return time.Time{}, false
	}
	seconds, fraction := math.Modf(f)
	return time.Unix(int64(seconds), int64(fraction*1e9)).UTC(), true
}
