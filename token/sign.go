package token

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// Signer signs with one key and one algorithm. The zero Signer signs nothing.
// Make one with NewSigner or NewSecretSigner. It may be used concurrently if
// its crypto.Signer may.
type Signer struct {
	key     Key
	private *private // nil for HS256
	header  string   // the header without its end
}

// private is held by a pointer for the reason that secret is: an Ed25519 key is
// bytes, and bytes are printed.
type private struct{ crypto.Signer }

// NewSigner returns a signer for alg, which is not HS256. key may live in
// hardware: only its Public and Sign are used. The error says what is wrong
// with the key.
func NewSigner(id string, alg Algorithm, key crypto.Signer) (Signer, error) {
	if alg == HS256 || key == nil {
		return Signer{}, errors.New("token: a signer needs a private key; for HS256 use NewSecretSigner")
	}
	public, err := NewKey(id, alg, key.Public())
	if err != nil {
		return Signer{}, err
	}
	return newSigner(public, &private{key})
}

// NewSecretSigner returns a signer for HS256. secret has at least 32 bytes.
func NewSecretSigner(id string, secret []byte) (Signer, error) {
	key, err := NewKey(id, HS256, secret)
	if err != nil {
		return Signer{}, err
	}
	return newSigner(key, nil)
}

func newSigner(key Key, p *private) (Signer, error) {
	header := `{"alg":"` + string(key.alg) + `"`
	if key.id != "" {
		kid, err := json.Marshal(key.id)
		if err != nil {
			return Signer{}, fmt.Errorf("token: key id: %w", err)
		}
		header += `,"kid":` + string(kid)
	}
	return Signer{key: key, private: p, header: header}, nil
}

// ID is the "kid" of the tokens it signs, which may be empty.
func (s Signer) ID() string { return s.key.id }

// Algorithm is the one algorithm it signs with.
func (s Signer) Algorithm() Algorithm { return s.key.alg }

// Key verifies what it signs.
func (s Signer) Key() Key { return s.key }

// Sign returns the compact JWS of claims, which is one JSON object that Claims
// would accept. typ is the header's "typ", empty for none. The error is an
// *Error with Malformed or TooLarge if nobody could accept the token, or that
// of the key.
func (s Signer) Sign(typ string, claims []byte) (string, error) {
	if s.key.alg == "" {
		return "", errors.New("token: sign: the signer has no key")
	}
	header, err := s.headerFor(typ)
	if err != nil {
		return "", err
	}
	if _, err := readClaims(string(claims)); err != nil {
		return "", fmt.Errorf("token: sign: %w", err)
	}
	enc := base64.RawURLEncoding
	out := make([]byte, 0, enc.EncodedLen(len(header))+enc.EncodedLen(len(claims))+2+enc.EncodedLen(512))
	out = enc.AppendEncode(out, []byte(header))
	out = enc.AppendEncode(append(out, '.'), claims)
	sig, err := s.sign(out)
	if err != nil {
		return "", fmt.Errorf("token: sign with key %.80q: %w", s.key.id, err)
	}
	out = enc.AppendEncode(append(out, '.'), sig)
	if len(out) > MaxSize {
		return "", Refuse(TooLarge, "token would have %d bytes, %d are the most", len(out), MaxSize)
	}
	return string(out), nil
}

// headerFor completes the header with typ, a media type (RFC 6838 section 4.2).
func (s Signer) headerFor(typ string) (string, error) {
	if typ == "" {
		return s.header + "}", nil
	}
	other := func(r rune) bool {
		return r > 'z' || !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$&-^_.+/", r)
	}
	if strings.IndexFunc(typ, other) >= 0 {
		return "", fmt.Errorf("token: sign: typ %.40q is not a media type", typ)
	}
	return s.header + `,"typ":"` + typ + `"}`, nil
}

func (s Signer) sign(message []byte) ([]byte, error) {
	switch s.key.alg {
	case HS256:
		mac := hmac.New(sha256.New, s.key.pub.(*secret).bytes)
		mac.Write(message)
		return mac.Sum(nil), nil
	case EdDSA:
		return s.private.Sign(rand.Reader, message, crypto.Hash(0))
	case ES384:
		digest := sha512.Sum384(message)
		return s.signECDSA(digest[:], crypto.SHA384)
	}
	digest := sha256.Sum256(message)
	switch s.key.alg {
	case PS256:
		return s.private.Sign(rand.Reader, digest[:], pssOptions())
	case RS256:
		return s.private.Sign(rand.Reader, digest[:], crypto.SHA256)
	default:
		return s.signECDSA(digest[:], crypto.SHA256)
	}
}

// signECDSA turns the ASN.1 of crypto.Signer into the fixed width of RFC 7518
// section 3.4.
func (s Signer) signECDSA(digest []byte, hash crypto.Hash) ([]byte, error) {
	der, err := s.private.Sign(rand.Reader, digest, hash)
	if err != nil {
		return nil, err
	}
	var sig struct{ R, S *big.Int }
	rest, err := asn1.Unmarshal(der, &sig)
	n := coordinate(s.key.alg)
	if err != nil || len(rest) > 0 || !fits(sig.R, n) || !fits(sig.S, n) {
		return nil, errors.New("the key's signature is not ASN.1 of two integers of its curve")
	}
	out := make([]byte, 2*n)
	sig.R.FillBytes(out[:n])
	sig.S.FillBytes(out[n:])
	return out, nil
}

func fits(i *big.Int, bytes int) bool { return i.Sign() > 0 && i.BitLen() <= 8*bytes }
