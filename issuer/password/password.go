// Package password keeps what people and programs prove themselves with: chosen
// passwords as argon2id hashes (RFC 9106, in the PHC string format), generated
// client secrets as SHA-256 hashes.
//
// A password costs memory on purpose, so hashing waits for one of a few slots
// and never takes more memory than those. A generated secret carries 256 random
// bits and needs neither salt nor cost; a chosen secret is no client secret.
//
//	h := password.NewHasher(2)
//	hash, err := h.Hash(ctx, "correct horse")
//	ok, err := h.Matches(ctx, hash, "correct horse")
//
// Nothing here reads a file or writes a log, and no error repeats a secret.
package password

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// The errors of this package; they are wrapped with what is wrong.
var (
	ErrHash     = errors.New("password: not an argon2id hash")
	ErrPassword = errors.New("password: not an acceptable password")
)

// Lengths of a password in bytes. One shorter than ShortLength is easily guessed;
// a longer one than MaxLength never matches.
const (
	ShortLength = 8
	MaxLength   = 1024
)

// The cost of new hashes: 19 MiB, two passes, one lane (OWASP's first choice,
// and small enough for two at a time beside a server at rest).
const (
	newMemory = 19 * 1024
	newTime   = 2
	newLanes  = 1
	newSalt   = 16
	newKey    = 32
)

// Bounds of a hash that is read, so that no line of configuration can stop the
// server: at most 256 MiB, 16 passes and 16 lanes.
const (
	maxMemory = 256 * 1024
	maxTime   = 16
	maxLanes  = 16
	minSalt   = 8
	minKey    = 16
	maxBytes  = 64
)

// Hash is an argon2id hash with its parameters (RFC 9106 section 3.1). The zero
// Hash matches nothing.
type Hash struct {
	memory uint32 // KiB
	time   uint32 // passes
	lanes  uint8
	salt   []byte
	key    []byte
}

// Parse reads $argon2id$v=19$m=KiB,t=passes,p=lanes$salt$key, exactly as String
// writes it. The error is ErrHash.
func Parse(text string) (Hash, error) {
	parts := strings.Split(text, "$")
	if len(text) > 256 || len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return Hash{}, fmt.Errorf("%w: want $argon2id$v=19$m=…,t=…,p=…$salt$key", ErrHash)
	}
	if parts[2] != "v=19" {
		return Hash{}, fmt.Errorf("%w: version %q, want v=19", ErrHash, parts[2])
	}
	h, err := parseCost(parts[3])
	if err != nil {
		return Hash{}, err
	}
	if h.salt, err = decode("salt", parts[4], minSalt); err != nil {
		return Hash{}, err
	}
	if h.key, err = decode("key", parts[5], minKey); err != nil {
		return Hash{}, err
	}
	return h, nil
}

// parseCost reads m=KiB,t=passes,p=lanes.
func parseCost(text string) (Hash, error) {
	parts := strings.Split(text, ",")
	if len(parts) != 3 {
		return Hash{}, fmt.Errorf("%w: parameters are m, t and p, in this order", ErrHash)
	}
	lanes, errP := number(parts[2], "p=", 1, maxLanes)
	passes, errT := number(parts[1], "t=", 1, maxTime)
	memory, errM := number(parts[0], "m=", 8*max(lanes, 1), maxMemory)
	if err := errors.Join(errM, errT, errP); err != nil {
		return Hash{}, err
	}
	return Hash{memory: memory, time: passes, lanes: uint8(lanes)}, nil
}

// number reads a decimal without sign or leading zero between least and most.
func number(text, name string, least, most uint32) (uint32, error) {
	digits, found := strings.CutPrefix(text, name)
	n, err := strconv.ParseUint(digits, 10, 32)
	if !found || err != nil || strconv.FormatUint(n, 10) != digits || uint32(n) < least || uint32(n) > most {
		return 0, fmt.Errorf("%w: want %s%d to %d", ErrHash, name, least, most)
	}
	return uint32(n), nil
}

func decode(what, text string, least int) ([]byte, error) {
	b, err := base64.RawStdEncoding.Strict().DecodeString(text)
	if err != nil || len(b) < least || len(b) > maxBytes || base64.RawStdEncoding.EncodeToString(b) != text {
		return nil, fmt.Errorf("%w: the %s is base64 without padding of %d to %d bytes", ErrHash, what, least, maxBytes)
	}
	return b, nil
}

// String writes the hash in the PHC string format.
func (h Hash) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.time, h.lanes,
		base64.RawStdEncoding.EncodeToString(h.salt), base64.RawStdEncoding.EncodeToString(h.key))
}

func (h Hash) matches(password string) bool {
	if len(h.key) == 0 || len(password) > MaxLength {
		return false
	}
	key := argon2.IDKey([]byte(password), h.salt, h.time, h.memory, h.lanes, uint32(len(h.key)))
	return subtle.ConstantTimeCompare(key, h.key) == 1
}

// Hasher hashes a bounded number of passwords at a time; the others wait. It is
// safe for concurrent use.
type Hasher struct {
	slots chan struct{}
}

// NewHasher returns a Hasher that hashes at most parallel passwords at a time
// (at least one).
func NewHasher(parallel int) *Hasher {
	return &Hasher{slots: make(chan struct{}, max(parallel, 1))}
}

// Hash hashes a new password with a fresh salt. The error is ErrPassword if it
// is empty or longer than MaxLength, or ctx's.
func (h *Hasher) Hash(ctx context.Context, password string) (Hash, error) {
	if password == "" || len(password) > MaxLength {
		return Hash{}, fmt.Errorf("%w: %d bytes, want 1 to %d", ErrPassword, len(password), MaxLength)
	}
	if err := h.enter(ctx); err != nil {
		return Hash{}, err
	}
	defer h.leave()
	out := Hash{memory: newMemory, time: newTime, lanes: newLanes, salt: make([]byte, newSalt)}
	rand.Read(out.salt) // crypto/rand does not fail
	out.key = argon2.IDKey([]byte(password), out.salt, newTime, newMemory, newLanes, newKey)
	return out, nil
}

// Matches reports whether password is the one that was hashed. The error is
// ctx's, if it ended while waiting for a slot.
func (h *Hasher) Matches(ctx context.Context, hash Hash, password string) (bool, error) {
	if err := h.enter(ctx); err != nil {
		return false, err
	}
	defer h.leave()
	return hash.matches(password), nil
}

func (h *Hasher) enter(ctx context.Context) error {
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// leave gives the slot back, and the 19 MiB a hash takes to the system when
// nobody else is hashing: a server that rests between logins stays small.
func (h *Hasher) leave() {
	<-h.slots
	if len(h.slots) == 0 {
		debug.FreeOSMemory()
	}
}
