package verify

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"maps"
	"testing"
	"time"

	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify/skew"
)

const (
	issuerA = "https://a.test"
	issuerB = "https://b.test"
	orders  = "https://orders.test"
	mail    = "https://mail.test"
)

// start is the instant at which the fixture's tokens are issued.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

// claims are what a token says; a nil value leaves a claim out.
type claims map[string]any

func (c claims) with(more claims) claims {
	c = maps.Clone(c)
	maps.Copy(c, more)
	return c
}

// good are the claims of a token that every policy of the fixture accepts.
func good() claims {
	return claims{
		"iss": issuerA, "sub": "alice", "aud": orders, "client_id": "web", "jti": "t1", "sid": "s1",
		"scope": "orders.read orders.write", "iat": start.Unix(), "nbf": start.Unix(), "exp": at(300).Unix(),
	}
}

func mustJSON(t testing.TB, c claims) []byte {
	t.Helper()
	return c.json()
}

// json is one object of what the claims say. Claims of the fixture can always be
// written.
func (c claims) json() []byte {
	said := make(claims)
	for name, value := range c {
		if value != nil {
			said[name] = value
		}
	}
	data, err := json.Marshal(said)
	if err != nil {
		panic(err)
	}
	return data
}

func sign(t testing.TB, s token.Signer, typ string, c claims) string {
	t.Helper()
	raw, err := s.Sign(typ, mustJSON(t, c))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// forge signs what token.Signer would refuse to, with the key of an EdDSA
// fixture.
func forge(t testing.TB, key ed25519.PrivateKey, typ, body string) string {
	t.Helper()
	header := mustJSON(t, claims{"alg": "EdDSA", "kid": "k1", "typ": typ})
	enc := base64.RawURLEncoding
	signed := enc.EncodeToString(header) + "." + enc.EncodeToString([]byte(body))
	return signed + "." + enc.EncodeToString(ed25519.Sign(key, []byte(signed)))
}

func newForger(t testing.TB) (ed25519.PrivateKey, Fixed) {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k, err := token.NewKey("k1", token.EdDSA, pub)
	if err != nil {
		t.Fatal(err)
	}
	return key, Fixed{k}
}

func newSigner(t testing.TB, id string, alg token.Algorithm) token.Signer {
	t.Helper()
	var s token.Signer
	var err error
	switch alg {
	case token.HS256:
		s, err = token.NewSecretSigner(id, bytes.Repeat([]byte(id+"!"), 32))
	case token.RS256, token.PS256:
		key, _ := rsa.GenerateKey(rand.Reader, 2048)
		s, err = token.NewSigner(id, alg, key)
	case token.EdDSA:
		_, key, _ := ed25519.GenerateKey(rand.Reader)
		s, err = token.NewSigner(id, alg, key)
	case token.ES384:
		key, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		s, err = token.NewSigner(id, alg, key)
	default:
		key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		s, err = token.NewSigner(id, alg, key)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustNew(t testing.TB, cfg Config) *Verifier {
	t.Helper()
	v, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// only is a verifier of one issuer whose keys are those of signers.
func only(t testing.TB, is Issuer, signers ...token.Signer) *Verifier {
	t.Helper()
	is.URL, is.Keys = issuerA, keysOf(signers...)
	if is.Audience == "" && is.SubjectFrom == "" {
		is.Audience = orders
	}
	return mustNew(t, Config{Issuers: []Issuer{is}})
}

func keysOf(signers ...token.Signer) Fixed {
	var keys Fixed
	for _, s := range signers {
		keys = append(keys, s.Key())
	}
	return keys
}

func (v *Verifier) at(raw string, need Need, now time.Time) Verdict {
	return v.Verify(context.Background(), raw, need, now)
}

func wantReason(t *testing.T, got Verdict, want token.Reason) {
	t.Helper()
	if got.Reason != want {
		t.Errorf("reason = %q (%s), want %q", got.Reason, got.Detail, want)
	}
}

// dated is a book that has seen two Date headers of issuerA, whose clock is so
// many seconds ahead.
func dated(ahead int, now time.Time) *skew.Book {
	b := skew.New()
	for i := range 2 {
		sent := now.Add(time.Duration(i-10) * time.Second)
		b.Date(issuerA, sent, sent.Add(10*time.Millisecond), sent.Add(time.Duration(ahead)*time.Second).Truncate(time.Second))
	}
	return b
}
