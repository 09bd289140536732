package jwks

import (
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"fmt"
	"maps"
	"slices"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"

	"github.com/longcase/longcase/token"
)

// The bounds of a set.
const (
	MaxSize  = 512 << 10 // bytes of a set
	MaxKeys  = 100       // keys of a set
	MaxKeyID = 512       // bytes of a "kid"; no key has a longer one

	maxFound = 8 // keys that one token is tried with
)

// Set is a set of public keys, ready to verify with. The zero Set is empty. A
// Set does not change; it may be used concurrently.
type Set struct {
	found   map[query][]token.Key
	count   int
	skipped []string
}

type query struct {
	kid string
	alg token.Algorithm
}

// Parse reads a JWK Set (RFC 7517 section 5). It fails on what is no such set,
// or is beyond MaxSize or MaxKeys. Keys that verify none of the algorithms of
// package token are skipped: other types and curves, use other than "sig", an
// RSA modulus below 2048 bits, symmetric keys, and private keys, which nobody
// should publish. One kid may stand for keys of different types or algorithms,
// which tell them apart (FAPI 2.0 section 5.6); different keys that share kid
// and algorithm are skipped.
func Parse(data []byte) (Set, error) {
	if len(data) > MaxSize {
		return Set{}, fmt.Errorf("jwks: the set has %d bytes, more than %d", len(data), MaxSize)
	}
	var raw struct {
		Keys *[]json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return Set{}, fmt.Errorf("jwks: not a JWK Set: %w", err)
	}
	if raw.Keys == nil {
		return Set{}, fmt.Errorf(`jwks: not a JWK Set: it has no member "keys"`)
	}
	if n := len(*raw.Keys); n > MaxKeys {
		return Set{}, fmt.Errorf("jwks: the set has %d keys, more than %d", n, MaxKeys)
	}
	var s Set
	var all [][]token.Key
	for i, one := range *raw.Keys {
		keys, err := parseKey(one)
		if err != nil {
			s.skipped = append(s.skipped, fmt.Sprintf("key %d: %v", i+1, err))
			continue
		}
		all = append(all, keys)
	}
	s.addClear(all)
	return s, nil
}

// addClear adds the keys that a token's kid and alg can mean. Different ones
// that share both are left out, all of them: nobody can tell which is meant.
func (s *Set) addClear(all [][]token.Key) {
	meant := make(map[query][]token.Key, len(all))
	for _, k := range slices.Concat(all...) {
		if q := (query{k.ID(), k.Algorithm()}); !k.In(meant[q]) {
			meant[q] = append(meant[q], k)
		}
	}
	unclear := func(q query) bool { return q.kid != "" && len(meant[q]) > 1 }
	for _, keys := range all {
		s.add(slices.DeleteFunc(keys, func(k token.Key) bool { return unclear(query{k.ID(), k.Algorithm()}) }))
	}
	for _, q := range slices.SortedFunc(maps.Keys(meant), query.compare) {
		if unclear(q) {
			s.skipped = append(s.skipped, fmt.Sprintf("%s: %d different keys for %s have this kid: give each its own", quote(q.kid), len(meant[q]), q.alg))
		}
	}
}

func (q query) compare(other query) int {
	return cmp.Or(cmp.Compare(q.kid, other.kid), cmp.Compare(q.alg, other.alg))
}

// FromKeys returns a set of the given keys; symmetric ones are left out.
func FromKeys(keys ...token.Key) Set {
	var s Set
	for _, k := range keys {
		if k.Public() != nil {
			s.add([]token.Key{k})
		}
	}
	return s
}

// unnamed is where the keys without a kid stand. A token that names it finds
// what every unknown kid finds.
const unnamed = "\x00"

// add takes one key in each of its algorithms; none is no key.
func (s *Set) add(keys []token.Key) {
	if s.found == nil {
		s.found = make(map[query][]token.Key)
	}
	if len(keys) > 0 {
		s.count++
	}
	for _, k := range keys {
		s.index(query{"", k.Algorithm()}, k)
		if k.ID() != "" {
			s.index(query{k.ID(), k.Algorithm()}, k)
		} else {
			s.index(query{unnamed, k.Algorithm()}, k)
		}
	}
}

func (s *Set) index(q query, k token.Key) {
	if len(s.found[q]) < maxFound && !k.In(s.found[q]) {
		s.found[q] = append(s.found[q], k)
	}
}

// Find returns the keys that may have signed a token with this "kid" and
// "alg": those without a kid where none has this one, since "kid" is a hint (RFC 7515 section 4.1.4); and for an empty
// kid every key that fits alg. They are 8 at most. The slice is shared: do not
// write to it.
func (s Set) Find(kid string, alg token.Algorithm) []token.Key {
	if keys := s.found[query{kid, alg}]; len(keys) > 0 {
		return slices.Clip(keys)
	}
	return slices.Clip(s.found[query{unnamed, alg}])
}

// Keys is Find for a verifier; the error is an *token.Error with UnknownKey.
func (s Set) Keys(_ context.Context, kid string, alg token.Algorithm) ([]token.Key, error) {
	if keys := s.Find(kid, alg); len(keys) > 0 {
		return keys, nil
	}
	return nil, Unknown(kid, alg)
}

// Holds reports whether key is in what Find(kid, alg) returns, as token.Key.In
// judges it. It allocates nothing.
func (s Set) Holds(kid string, alg token.Algorithm, key token.Key) bool {
	return key.In(s.Find(kid, alg))
}

// Unknown is the refusal of a token whose key is in no set: kid is quoted and
// cut, because a stranger chose it.
func Unknown(kid string, alg token.Algorithm) *token.Error {
	if kid == "" {
		return token.Refuse(token.UnknownKey, "the token names no key and none of the issuer's keys verifies %q", string(alg))
	}
	return token.Refuse(token.UnknownKey, "no key %s for %q in the issuer's key set", quote(kid), string(alg))
}

// Len is the number of keys that can be used.
func (s Set) Len() int { return s.count }

// Skipped says, one sentence each, which keys were left out and why.
func (s Set) Skipped() []string { return slices.Clone(s.skipped) }

// parseKey returns one JWK in each algorithm it verifies.
func parseKey(data []byte) ([]token.Key, error) {
	var jwk jose.JSONWebKey
	if err := json.Unmarshal(data, &jwk); err != nil {
		return nil, err
	}
	if err := usable(jwk, data); err != nil {
		return nil, err
	}
	var keys []token.Key
	for _, alg := range algorithms(jwk.Key) {
		if jwk.Algorithm != "" && token.Named(jwk.Algorithm) != alg {
			continue
		}
		k, err := token.NewKey(jwk.KeyID, alg, jwk.Key)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", quote(jwk.KeyID), err)
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s: a key of this type and curve with alg %s verifies nothing here", quote(jwk.KeyID), quote(jwk.Algorithm))
	}
	return keys, nil
}

// usable reports why a JWK must not verify a token's signature, whatever its
// type.
func usable(jwk jose.JSONWebKey, data []byte) error {
	switch kid := quote(jwk.KeyID); {
	case len(jwk.KeyID) > MaxKeyID:
		return fmt.Errorf("%s: its kid has %d bytes, more than %d", kid, len(jwk.KeyID), MaxKeyID)
	case !jwk.IsPublic():
		return fmt.Errorf("%s: a private or symmetric key stands in a public set: withdraw it", kid)
	case jwk.Use != "" && jwk.Use != "sig":
		return fmt.Errorf("%s: its use is %s, not \"sig\"", kid, quote(jwk.Use))
	case !verifies(data):
		return fmt.Errorf("%s: its key_ops do not name \"verify\"", kid)
	}
	return nil
}

// verifies reports whether "key_ops" (RFC 7517 section 4.3) is absent or names
// "verify".
func verifies(data []byte) bool {
	var raw struct {
		Ops *[]string `json:"key_ops"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return false
	}
	return raw.Ops == nil || slices.Contains(*raw.Ops, "verify")
}

// algorithms are those a key of this type and curve can verify.
func algorithms(pub crypto.PublicKey) []token.Algorithm {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		return []token.Algorithm{token.RS256, token.PS256}
	case ed25519.PublicKey:
		return []token.Algorithm{token.EdDSA}
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return []token.Algorithm{token.ES256}
		case elliptic.P384():
			return []token.Algorithm{token.ES384}
		}
	}
	return nil
}

// quote writes what a stranger chose so that it can stand in a log line.
func quote(s string) string {
	const most = 64
	if len(s) > most {
		s = s[:most] + "…"
	}
	return fmt.Sprintf("%q", s)
}
