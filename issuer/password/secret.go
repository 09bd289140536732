package password

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
)

// The errors of client secrets.
var (
	ErrSecret     = errors.New("password: not a generated client secret")
	ErrSecretHash = errors.New("password: not the hash of a client secret")
)

const (
	secretPrefix   = "lc_cs_"
	secretRandom   = 32 // bytes
	secretBody     = len(secretPrefix) + (secretRandom*8+5)/6
	secretChecksum = 6 // base62 digits of a CRC-32
	hashPrefix     = "sha256$"
	base62         = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// NewSecret returns a client secret: "lc_cs_", 256 random bits as base64url and
// a checksum of six characters, which lets scanners and people tell a secret
// from a typing error.
func NewSecret() string {
	var b [secretRandom]byte
	rand.Read(b[:]) // crypto/rand does not fail
	body := secretPrefix + base64.RawURLEncoding.EncodeToString(b[:])
	return body + checksum(body)
}

// CheckSecret reports whether secret has the form and checksum of NewSecret. The
// error is ErrSecret: chosen secrets are refused, since their hash is unkeyed.
func CheckSecret(secret string) error {
	if len(secret) != secretBody+secretChecksum || !strings.HasPrefix(secret, secretPrefix) {
		return fmt.Errorf("%w: want %s and %d characters; make one with: longcase client secret",
			ErrSecret, secretPrefix, secretBody-len(secretPrefix)+secretChecksum)
	}
	body := secret[:secretBody]
	if _, err := base64.RawURLEncoding.Strict().DecodeString(body[len(secretPrefix):]); err != nil {
		return fmt.Errorf("%w: not base64url", ErrSecret)
	}
	if checksum(body) != secret[secretBody:] {
		return fmt.Errorf("%w: the checksum does not fit; was it copied whole?", ErrSecret)
	}
	return nil
}

// checksum is the CRC-32 (IEEE) of body as six base62 digits.
func checksum(body string) string {
	var digits [secretChecksum]byte
	n := crc32.ChecksumIEEE([]byte(body))
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = base62[n%62]
		n /= 62
	}
	return string(digits[:])
}

// SecretHash is the SHA-256 of a generated secret's text: 256 random bits need
// no salt. It may stand in a file that others read.
type SecretHash [sha256.Size]byte

// HashSecret hashes the text of a secret, whether or not it is one of ours.
func HashSecret(secret string) SecretHash { return sha256.Sum256([]byte(secret)) }

// ParseSecretHash reads what String writes. The error is ErrSecretHash.
func ParseSecretHash(text string) (SecretHash, error) {
	encoded, found := strings.CutPrefix(text, hashPrefix)
	b, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if !found || err != nil || len(encoded) != 43 || len(b) != sha256.Size {
		return SecretHash{}, fmt.Errorf("%w: want sha256$ and 43 characters of base64url", ErrSecretHash)
	}
	return SecretHash(b), nil
}

// String is the form for the configuration: sha256$ and base64url.
func (h SecretHash) String() string { return hashPrefix + base64.RawURLEncoding.EncodeToString(h[:]) }

// Matches compares in constant time.
func (h SecretHash) Matches(secret string) bool {
	got := HashSecret(secret)
	return subtle.ConstantTimeCompare(got[:], h[:]) == 1
}
