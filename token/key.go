package token

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"unicode/utf8"
)

// Bounds of key sizes. An RSA key beyond the upper one costs each verification
// more than a token is worth.
const (
	minRSABits     = 2048
	maxRSABits     = 8192
	minSecretBytes = 32
)

// NewKey returns a key that verifies alg and nothing else. pub is an
// *ecdsa.PublicKey on the algorithm's curve, an *rsa.PublicKey of 2048 to 8192
// bits, an ed25519.PublicKey, or for HS256 a secret of at least 32 bytes. The
// error says what is wrong with the key and never holds it.
func NewKey(id string, alg Algorithm, pub any) (Key, error) {
	if !utf8.ValidString(id) {
		return Key{}, errors.New("token: key id is not valid UTF-8")
	}
	var err error
	switch alg {
	case ES256:
		err = checkECDSA(pub, elliptic.P256())
	case ES384:
		err = checkECDSA(pub, elliptic.P384())
	case RS256, PS256:
		err = checkRSA(pub)
	case EdDSA:
		pub, err = checkEd25519(pub)
	case HS256:
		pub, err = checkSecret(pub)
	default:
		err = errors.New("the algorithm does not exist here")
	}
	if err != nil {
		return Key{}, fmt.Errorf("token: key %.40q for %.40q: %w", id, string(alg), err)
	}
	sum, err := sumOf(pub)
	if err != nil {
		return Key{}, fmt.Errorf("token: key %.40q for %.40q: %w", id, string(alg), err)
	}
	return Key{id: id, alg: alg, pub: pub, sum: &sum}, nil
}

// sumOf hashes what a key is made of.
func sumOf(pub any) ([sha256.Size]byte, error) {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		point, err := k.Bytes() // the length tells the curve
		return sha256.Sum256(point), err
	case *rsa.PublicKey:
		return sha256.Sum256(binary.BigEndian.AppendUint32(k.N.Bytes(), uint32(k.E))), nil
	case ed25519.PublicKey:
		return sha256.Sum256(k), nil
	case *secret:
		return sha256.Sum256(k.bytes), nil
	}
	return [sha256.Size]byte{}, errors.New("the key is of no type known here")
}

func checkECDSA(pub any, curve elliptic.Curve) error {
	k, ok := pub.(*ecdsa.PublicKey)
	if !ok || k == nil || k.Curve != curve {
		return fmt.Errorf("want an ECDSA key on %s", curve.Params().Name)
	}
	if _, err := k.ECDH(); err != nil {
		return errors.New("the point is not on the curve")
	}
	return nil
}

func checkRSA(pub any) error {
	k, ok := pub.(*rsa.PublicKey)
	if !ok || k == nil || k.N == nil {
		return errors.New("want an RSA key")
	}
	if bits := k.N.BitLen(); bits < minRSABits || bits > maxRSABits {
		return fmt.Errorf("RSA key has %d bits, want %d to %d", bits, minRSABits, maxRSABits)
	}
	if k.N.Sign() < 0 || k.N.Bit(0) == 0 || k.E < 3 || k.E&1 == 0 || k.E > 1<<31-1 {
		return errors.New("RSA modulus and exponent must be odd, the exponent 3 to 2^31-1")
	}
	return nil
}

func checkEd25519(pub any) (ed25519.PublicKey, error) {
	k, ok := pub.(ed25519.PublicKey)
	if !ok || len(k) != ed25519.PublicKeySize {
		return nil, errors.New("want an Ed25519 key")
	}
	return slices.Clone(k), nil
}

func checkSecret(pub any) (*secret, error) {
	k, ok := pub.([]byte)
	if !ok || len(k) < minSecretBytes {
		return nil, fmt.Errorf("want a secret of at least %d bytes", minSecretBytes)
	}
	return &secret{slices.Clone(k)}, nil
}

// Fingerprint names a key so that two people can compare what they hold:
// "SHA256:" and the RFC 7638 thumbprint. Of a secret it shows 16 bits only: two
// secrets can be told apart, but a guess cannot be confirmed by it. The zero Key
// has none.
func Fingerprint(k Key) string {
	switch pub := k.pub.(type) {
	case *ecdsa.PublicKey:
		return ecdsaFingerprint(pub)
	case *rsa.PublicKey:
		e := big.NewInt(int64(pub.E)).Bytes()
		return thumbprint(`{"e":%q,"kty":"RSA","n":%q}`, e, pub.N.Bytes())
	case ed25519.PublicKey:
		return thumbprint(`{"crv":"Ed25519","kty":"OKP","x":%q}`, pub)
	case *secret:
		sum := sha256.Sum256(append([]byte("longcase fingerprint\x00"), pub.bytes...))
		return "SHA256:" + hex.EncodeToString(sum[:2]) + "…"
	}
	return ""
}

func ecdsaFingerprint(pub *ecdsa.PublicKey) string {
	point, err := pub.Bytes() // 4, x, y
	if err != nil {
		return ""
	}
	half := len(point) / 2
	return thumbprint(`{"crv":"`+pub.Params().Name+`","kty":"EC","x":%q,"y":%q}`, point[1:half+1], point[half+1:])
}

// thumbprint hashes the members RFC 7638 section 3.2 requires, in its order.
func thumbprint(format string, parts ...[]byte) string {
	args := make([]any, len(parts))
	for i, p := range parts {
		args[i] = base64.RawURLEncoding.EncodeToString(p)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, format, args...))
	return "SHA256:" + base64.RawURLEncoding.EncodeToString(sum[:])
}
