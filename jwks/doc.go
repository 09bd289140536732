// Package jwks reads and writes JSON Web Key Sets (RFC 7517) and knows the
// timeline of an issuer's key ring: when a key is published, signs, retires and
// is gone.
//
// Everything here is pure: no socket, no clock. Package jwks/remote fetches
// sets; package issuer/keys keeps a ring in a store.
//
//	set, err := jwks.Parse(body)
//	keys := set.Find(jws.KeyID(), jws.Algorithm())
//
// A set holds public keys that verify one of Longcase's algorithms, and nothing
// else: what cannot be used is skipped, and Skipped says why. A JWK without
// "alg" verifies every algorithm of its type and curve, one with "alg" that one
// only. Members that lead elsewhere ("x5u") are never followed.
package jwks
