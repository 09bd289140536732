package dpop

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/longcase/longcase/token"
)

const (
	called = "https://api.test/orders/7"
	access = "header.payload.signature" // an access token: what it is does not matter here
)

// start is the instant at which the fixture's proofs are made, one second into a
// slot of nonces.
var start = time.Unix(slotOf(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))*int64(slot/time.Second)+1, 0)

func at(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

// members of a JSON object; a nil value leaves one out.
type members map[string]any

func (m members) with(more members) members {
	m = maps.Clone(m)
	maps.Copy(m, more)
	return m
}

func (m members) json(t testing.TB) string {
	t.Helper()
	m = maps.Clone(m)
	maps.DeleteFunc(m, func(_ string, v any) bool { return v == nil })
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// holder is a client with a key.
type holder struct {
	alg token.Algorithm
	key crypto.Signer
	jwk members
}

func newHolder(t testing.TB, alg token.Algorithm) holder {
	t.Helper()
	var key crypto.Signer
	var err error
	switch alg {
	case token.RS256, token.PS256:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case token.EdDSA:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	case token.ES384:
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	default:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	return holder{alg, key, jwkOf(t, key.Public())}
}

// jwkOf writes a key by go-jose, so that thumbprints have an oracle.
func jwkOf(t testing.TB, key any) (m members) {
	t.Helper()
	data, err := jose.JSONWebKey{Key: key}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func (h holder) thumbprint(t testing.TB) string {
	t.Helper()
	sum, err := (&jose.JSONWebKey{Key: h.key.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}

func (h holder) header() members {
	return members{"typ": "dpop+jwt", "alg": string(h.alg), "jwk": h.jwk}
}

func good() members {
	return members{
		"jti": "p1", "htm": "GET", "htu": called, "iat": start.Unix(),
		"ath": digest(access), "nonce": nonces().At(start),
	}
}

func nonces() *Nonces {
	n, err := NewNonces([]byte(strings.Repeat("k", minKey)))
	if err != nil {
		panic(err)
	}
	return &n
}

func want() Want { return Want{Method: "GET", URL: called, Token: access, Nonces: nonces()} }

// prove signs header and payload as they are.
func (h holder) prove(t testing.TB, header, payload string) string {
	t.Helper()
	enc := base64.RawURLEncoding
	text := enc.EncodeToString([]byte(header)) + "." + enc.EncodeToString([]byte(payload))
	return text + "." + enc.EncodeToString(h.sign(t, text))
}

// sign is RFC 7518 section 3 once more, for keys and headers that the product
// would not sign with.
func (h holder) sign(t testing.TB, text string) []byte {
	t.Helper()
	hash, sum := crypto.SHA256, sha256.Sum256([]byte(text))
	digest := sum[:]
	var opts crypto.SignerOpts = hash
	switch h.alg {
	case token.EdDSA:
		digest, opts = []byte(text), crypto.Hash(0)
	case token.ES384:
		long := sha512.Sum384([]byte(text))
		digest, opts = long[:], crypto.SHA384
	case token.PS256:
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
	}
	sig, err := h.key.Sign(rand.Reader, digest, opts)
	if err != nil {
		t.Fatal(err)
	}
	if key, ok := h.key.(*ecdsa.PrivateKey); ok {
		return fixedWidth(t, sig, (key.Params().BitSize+7)/8)
	}
	return sig
}

func fixedWidth(t testing.TB, der []byte, n int) []byte {
	t.Helper()
	var sig struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &sig); err != nil {
		t.Fatal(err)
	}
	out := make([]byte, 2*n)
	sig.R.FillBytes(out[:n])
	sig.S.FillBytes(out[n:])
	return out
}

func mac(secret []byte, text string) []byte {
	m := hmac.New(sha256.New, secret)
	m.Write([]byte(text))
	return m.Sum(nil)
}
