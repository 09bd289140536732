package issuer

import (
	"crypto/hmac"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"

	"github.com/longcase/longcase/store"
)

// What a refresh token and an authorization code look like: a prefix, then
// unpadded base64url of id, generation (refresh tokens only) and MAC. The MAC
// covers prefix, id and generation, so a stolen database forges nothing.
const (
	refreshPrefix = "lc_rt_"
	codePrefix    = "lc_ac_"

	idBytes         = len(store.ID{})
	generationBytes = 8
	macBytes        = 16
)

// errBadText says that a text is not a token of ours. It says no more.
var errBadText = errors.New("issuer: not a token of this kind")

// handle is a refresh token or code taken apart, not yet authenticated.
type handle struct {
	prefix     string
	id         store.ID
	generation store.Generation // 0 for codes
	mac        []byte
}

// parseRefresh reads what refreshText wrote, and nothing else.
func parseRefresh(s string) (handle, error) {
	b, err := unwrap(s, refreshPrefix, idBytes+generationBytes+macBytes)
	if err != nil {
		return handle{}, err
	}
	generation := binary.BigEndian.Uint64(b[idBytes:])
	if generation == 0 {
		return handle{}, errBadText
	}
	return handle{refreshPrefix, store.ID(b[:idBytes]), store.Generation(generation), b[idBytes+generationBytes:]}, nil
}

// parseCode reads what codeText wrote, and nothing else.
func parseCode(s string) (handle, error) {
	b, err := unwrap(s, codePrefix, idBytes+macBytes)
	if err != nil {
		return handle{}, err
	}
	return handle{codePrefix, store.ID(b[:idBytes]), 0, b[idBytes:]}, nil
}

// unwrap strips prefix and decodes exactly n bytes. The decoder skips line
// feeds, so the length is checked on both sides.
func unwrap(s, prefix string, n int) ([]byte, error) {
	rest, ok := strings.CutPrefix(s, prefix)
	if !ok || len(rest) != base64.RawURLEncoding.EncodedLen(n) {
		return nil, errBadText
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(rest)
	if err != nil || len(b) != n {
		return nil, errBadText
	}
	return b, nil
}

// body is what the MAC follows.
func (h handle) body() []byte {
	b := append(make([]byte, 0, idBytes+generationBytes+macBytes), h.id[:]...)
	if h.prefix == refreshPrefix {
		b = binary.BigEndian.AppendUint64(b, uint64(h.generation))
	}
	return b
}

// seal computes the MAC of h with the key named.
func (is *Issuer) seal(key string, h handle) ([]byte, error) {
	mac, err := is.cfg.Keys.MAC(key, append([]byte(h.prefix), h.body()...))
	if err != nil {
		return nil, err
	}
	return mac[:macBytes], nil
}

// genuine reports whether h carries the MAC of key; false with an error if that
// key cannot be had.
func (is *Issuer) genuine(key string, h handle) (bool, error) {
	mac, err := is.seal(key, h)
	return err == nil && hmac.Equal(mac, h.mac), err
}

// write returns the text of h, with the MAC of key.
func (is *Issuer) write(key string, h handle) (string, error) {
	mac, err := is.seal(key, h)
	if err != nil {
		return "", err
	}
	return h.prefix + base64.RawURLEncoding.EncodeToString(append(h.body(), mac...)), nil
}

func (is *Issuer) refreshText(key string, id store.ID, g store.Generation) (string, error) {
	return is.write(key, handle{prefix: refreshPrefix, id: id, generation: g})
}

func (is *Issuer) codeText(key string, id store.ID) (string, error) {
	return is.write(key, handle{prefix: codePrefix, id: id})
}
