package dpop

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"time"
)

// slot is how long one nonce is given out. It is taken in that slot and the
// next, so for 2.5 to 5 minutes.
const slot = 150 * time.Second

// minKey is how many bytes the key of Nonces has at least.
const minKey = 32

// Nonces makes and knows the nonces that proofs must hold (RFC 9449 section 8).
// A nonce is a MAC over the time, so nothing is stored and nobody can make one
// in advance; hosts that share the key take each other's. It does not change
// and may be used concurrently.
type Nonces struct{ key []byte }

// NewNonces returns the nonces of a secret key of at least 32 bytes.
func NewNonces(key []byte) (Nonces, error) {
	if len(key) < minKey {
		return Nonces{}, fmt.Errorf("dpop: the key of nonces has %d bytes, want at least %d", len(key), minKey)
	}
	return Nonces{slices.Clone(key)}, nil
}

// At returns the nonce to give out at now: 22 characters of base64url.
func (n Nonces) At(now time.Time) string { return n.of(slotOf(now)) }

// Valid reports whether nonce was given out lately enough to be taken at now.
func (n Nonces) Valid(nonce string, now time.Time) bool {
	_, ok := n.given(nonce, now)
	return ok
}

// given returns the first instant at which nonce may have been given out. That
// of the next slot is taken too: another host's clock may be a little ahead.
func (n Nonces) given(nonce string, now time.Time) (time.Time, bool) {
	current := slotOf(now)
	for _, i := range []int64{current, current - 1, current + 1} {
		if hmac.Equal([]byte(n.of(i)), []byte(nonce)) {
			return time.Unix(i*int64(slot/time.Second), 0), true
		}
	}
	return time.Time{}, false
}

func slotOf(now time.Time) int64 { return now.Unix() / int64(slot/time.Second) }

func (n Nonces) of(i int64) string {
	mac := hmac.New(sha256.New, n.key)
	mac.Write(binary.BigEndian.AppendUint64([]byte("longcase dpop nonce\x00"), uint64(i)))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
}
