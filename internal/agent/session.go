package agent

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

// How a session token of imds ends.
const (
	sliding = "sliding"
	strict  = "strict"
)

const (
	bodySize  = 24 // uid, when issued, life, nonce
	tokenSize = bodySize + sha256.Size
	// disagree is how far the clock may have been set back since a token was
	// issued.
	disagree = time.Minute
)

// A session token says whose it is and when it was asked for, under a MAC; so
// there is no table of them to fill, and a restart ends none.
type session struct {
	uid    uint32
	issued time.Time
	life   time.Duration
}

// seal writes the token. name is the publication's.
func (s session) seal(key, name string) string {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, tokenSize), s.uid)
	b = binary.BigEndian.AppendUint64(b, uint64(s.issued.UnixMilli()))
	b = binary.BigEndian.AppendUint32(b, uint32(s.life/time.Second))
	b = b[:bodySize]
	rand.Read(b[16:])
	return base64.RawURLEncoding.EncodeToString(append(b, mac(key, name, b)...))
}

// unseal reads a token; ok says that it is ours.
func unseal(token, key, name string) (s session, ok bool) {
	if len(token) != base64.RawURLEncoding.EncodedLen(tokenSize) {
		return session{}, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) != tokenSize || !hmac.Equal(b[bodySize:], mac(key, name, b[:bodySize])) {
		return session{}, false
	}
	return session{
		uid:    binary.BigEndian.Uint32(b),
		issued: time.UnixMilli(int64(binary.BigEndian.Uint64(b[4:]))),
		life:   time.Duration(binary.BigEndian.Uint32(b[12:])) * time.Second,
	}, true
}

// live reports whether the session may be used at now. A sliding one is kept
// alive for as long as the agent's key is: a client that never asks for another
// may come back after a night.
func (s session) live(kind string, now time.Time) bool {
	age := now.Sub(s.issued)
	return kind != strict || (age < s.life && age > -disagree)
}

func mac(key, name string, body []byte) []byte {
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte("imds session of " + name + "\x00"))
	h.Write(body)
	return h.Sum(nil)
}
