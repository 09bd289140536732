package dpop

import (
	"encoding/json"
	"strings"

	"github.com/longcase/longcase/jwks"
	"github.com/longcase/longcase/token"
)

// secrets are the members of a JWK that nobody but its owner may know (RFC 7518
// section 6). Read only.
var secrets = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

// certificates are members of a JWK that say whose key it is. A proof is only
// about which key it is, so they are not looked at. Read only.
var certificates = []string{"x5c", "x5u", "x5t", "x5t#S256"}

// readHeader returns "typ" and "jwk". The codec has found the header to be one
// JSON object without duplicate members.
func readHeader(header []byte) (typ string, jwk map[string]json.RawMessage, err error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(header, &all); err != nil {
		return "", nil, invalid("the proof's header is not a JSON object")
	}
	if raw, ok := all["typ"]; ok {
		if err := json.Unmarshal(raw, &typ); err != nil {
			return "", nil, invalid("typ is not a string")
		}
	}
	raw, ok := all["jwk"]
	if !ok {
		return typ, nil, invalid("the proof's header has no jwk")
	}
	if err := json.Unmarshal(raw, &jwk); err != nil || jwk == nil {
		return "", nil, invalid("jwk is not a JSON object")
	}
	return typ, jwk, nil
}

// publicKey reads the proof's key for its algorithm.
func publicKey(jwk map[string]json.RawMessage, alg token.Algorithm) (token.Key, error) {
	for _, name := range secrets {
		if _, ok := jwk[name]; ok {
			return token.Key{}, invalid("jwk has the private member %q: that key is not a secret any more, make a new one", name)
		}
	}
	for _, name := range certificates {
		delete(jwk, name)
	}
	set, err := json.Marshal(map[string]any{"keys": []any{jwk}})
	if err != nil {
		return token.Key{}, invalid("jwk is not a JSON object")
	}
	parsed, err := jwks.Parse(set)
	if err != nil {
		return token.Key{}, invalid("jwk cannot be used: %s", token.Clip(err.Error()))
	}
	if why := parsed.Skipped(); len(why) > 0 {
		return token.Key{}, invalid("jwk cannot be used: %s", token.Clip(strings.TrimPrefix(why[0], `key 1: "": `)))
	}
	keys := parsed.Find("", alg)
	if len(keys) != 1 {
		return token.Key{}, invalid("jwk is not a key for alg %s", alg)
	}
	return keys[0], nil
}
