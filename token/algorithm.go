package token

import (
	"crypto"
)

// Algorithm is a JWS "alg" (RFC 7518 section 3.1, RFC 8037). Only those listed
// here exist for Longcase. What is read may call EdDSA "Ed25519" (RFC 9864), which
// it is; nothing is written so.
type Algorithm string

// The algorithms.
const (
	ES256 Algorithm = "ES256"
	ES384 Algorithm = "ES384"
	RS256 Algorithm = "RS256"
	PS256 Algorithm = "PS256"
	EdDSA Algorithm = "EdDSA" // Ed25519 only
	HS256 Algorithm = "HS256"
)

// Named is the algorithm of a name that another wrote, in an "alg" for instance.
// A name that is not known is returned as it is.
func Named(name string) Algorithm {
	if name == "Ed25519" {
		return EdDSA
	}
	return Algorithm(name)
}

// Key verifies signatures: one key, one algorithm (RFC 8725 section 3.1). The
// zero Key verifies nothing. Make one with NewKey.
type Key struct {
	id  string
	alg Algorithm
	pub crypto.PublicKey // *ecdsa.PublicKey, *rsa.PublicKey, ed25519.PublicKey or *secret (HS256)
	sum *[32]byte        // SHA-256 of the key's material; by a pointer, so that no print shows it
}

// secret is an HS256 key. It is held by a pointer, so that printing a Key, or
// whatever holds one, shows an address.
type secret struct{ bytes []byte }

// ID is the key's "kid", which may be empty.
func (k Key) ID() string { return k.id }

// Algorithm is the one algorithm the key verifies.
func (k Key) Algorithm() Algorithm { return k.alg }

// Public is the key itself; for HS256 it is nil: a secret is never handed out.
func (k Key) Public() crypto.PublicKey {
	if k.alg == HS256 {
		return nil
	}
	return k.pub
}

// Equal reports whether k and other verify the same signatures: the same
// material for the same algorithm. Their ids do not matter. A zero Key equals
// none.
func (k Key) Equal(other Key) bool {
	return k.alg != "" && k.alg == other.alg && (k.sum == other.sum || *k.sum == *other.sum)
}

// In reports whether k is in keys: the same material, algorithm and id. Where
// keys hold its material twice the first one counts, for that is the one a
// signature would be said to match.
func (k Key) In(keys []Key) bool {
	for _, other := range keys {
		if k.Equal(other) {
			return k.id == other.id
		}
	}
	return false
}
