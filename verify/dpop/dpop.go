// Package dpop checks DPoP proofs (RFC 9449): small signed statements by which
// the caller of a request shows that it holds the key its access token is bound
// to. A proof is good for one method, one URL, one token and about a minute.
//
// It decides and does nothing else: no socket, no clock, no memory. What was
// used before is for the caller to remember, by Proof.Key until Proof.End:
//
//	p, err := dpop.Check(r.Header["Dpop"], dpop.Want{Method: "GET", URL: url, Token: raw, Nonces: &nonces}, now)
//	if err == nil && p.JKT == claims.Confirm.JKT { first, err := first(ctx, "dpop", p.Key, p.End); … }
//
// Every refusal is an *token.Error that wraps ErrUseNonce or ErrInvalidProof,
// which are the error codes of RFC 9449 section 12.2.
package dpop

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"time"

	"github.com/longcase/longcase/token"
)

// The bounds of a proof.
const (
	// MaxAge is how old a proof may be (RFC 9449 section 11.1: seconds or minutes).
	MaxAge = 60 * time.Second
	// MaxAhead is how far in the future it may seem, for the clocks of clients are
	// no better than those of issuers.
	MaxAhead = 30 * time.Second
	// MaxID is how many bytes its "jti" may have.
	MaxID = 128

	maxSize = 8192 // bytes of a proof: an RSA key of 8192 bits fits
)

// The two ways in which a proof fails, as RFC 9449 names them on the wire.
var (
	ErrUseNonce     = errors.New("use_dpop_nonce")
	ErrInvalidProof = errors.New("invalid_dpop_proof")
)

// Algorithms are those a proof may be signed with: the asymmetric ones.
func Algorithms() []token.Algorithm {
	return []token.Algorithm{token.ES256, token.ES384, token.RS256, token.PS256, token.EdDSA}
}

// Want is what a proof must be for.
type Want struct {
	Method string
	URL    string  // absolute; its query and fragment are ignored
	Token  string  // the access token that came with the proof
	Nonces *Nonces // nil: no nonce is demanded, and one that is there is not looked at
}

// Proof is a proof that passed every check but two: that the token is bound to
// its key, and that it was not used before.
type Proof struct {
	JKT    string    // RFC 7638 thumbprint of its key, to compare with "jkt"
	Key    string    // names the proof among all: the hash of key, URL and "jti"
	Issued time.Time // "iat"
	End    time.Time // no clock takes the proof after this; follows from "iat" alone
	Nonce  string    // empty if it has none
}

// Check judges the values of the request's DPoP header (RFC 9449 section 4.3, in
// its order, but the signature as soon as there is a key). The error is an
// *token.Error: BindingMissing where there is no proof, or none with a nonce of
// now; else BindingMismatch.
func Check(values []string, want Want, now time.Time) (Proof, error) {
	j, err := parse(values)
	if err != nil {
		return Proof{}, err
	}
	key, err := authenticate(j)
	if err != nil {
		return Proof{}, err
	}
	s, err := readStatement(j)
	if err != nil {
		return Proof{}, err
	}
	where, err := s.check(want, now)
	if err != nil {
		return Proof{}, err
	}
	jkt := token.Fingerprint(key)[len("SHA256:"):]
	return Proof{
		JKT: jkt, Issued: s.issued, End: s.issued.Add(MaxAge + MaxAhead), Nonce: s.nonce,
		Key: digest(jkt + "\x00" + where + "\x00" + s.id),
	}, nil
}

// digest is the form in which DPoP writes every hash.
func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// parse takes the one proof apart (checks 1 and 2).
func parse(values []string) (token.JWS, error) {
	switch {
	case len(values) == 0 || len(values) == 1 && values[0] == "":
		return token.JWS{}, missing(ErrInvalidProof, "the request has no DPoP header; send a proof of the key the token is bound to")
	case len(values) > 1:
		return token.JWS{}, invalid("%d DPoP headers; send one", len(values))
	case len(values[0]) > maxSize:
		return token.JWS{}, invalid("the proof has %d bytes, %d are the most", len(values[0]), maxSize)
	}
	j, err := token.Parse(values[0])
	if err != nil {
		return token.JWS{}, malformed(err)
	}
	return j, nil
}

// authenticate returns the key in the proof's header, which signed it (checks 4
// to 7).
func authenticate(j token.JWS) (token.Key, error) {
	typ, jwk, err := readHeader(j.Header())
	if err != nil {
		return token.Key{}, err
	}
	if typ != "dpop+jwt" {
		return token.Key{}, invalid("typ is %q; it must be \"dpop+jwt\"", token.Clip(typ))
	}
	if !slices.Contains(Algorithms(), j.Algorithm()) {
		return token.Key{}, invalid("alg %s is not accepted; accepted: %v", j.Algorithm(), Algorithms())
	}
	key, err := publicKey(jwk, j.Algorithm())
	if err != nil {
		return token.Key{}, err
	}
	if err := j.Verify(key); err != nil {
		return token.Key{}, invalid("the signature is not by the proof's own key (%s)", token.Fingerprint(key))
	}
	return key, nil
}

func missing(cause error, format string, args ...any) *token.Error {
	return because(cause, token.BindingMissing, format, args...)
}

func invalid(format string, args ...any) *token.Error {
	return because(ErrInvalidProof, token.BindingMismatch, format, args...)
}

func because(cause error, r token.Reason, format string, args ...any) *token.Error {
	e := token.Refuse(r, "DPoP: "+format, args...)
	e.Err = cause
	return e
}

// malformed says what the codec has against a proof.
func malformed(err error) *token.Error {
	var e *token.Error
	if errors.As(err, &e) && e.Detail != "" {
		return invalid("the proof is malformed: %s", e.Detail)
	}
	return invalid("the proof is malformed")
}
