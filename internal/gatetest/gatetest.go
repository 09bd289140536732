// Package gatetest is what callers of gates have, for the tests of all edges:
// tokens of an issuer, and keys and certificates that tokens are bound to.
package gatetest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/longcase/longcase/token"
)

// Who issues the tokens, and for whom.
const (
	Issuer = "https://a.test"
	Orders = "https://orders.test"
)

// Start is the instant at which tokens and proofs are made.
func Start() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// Claims are what a token or a proof says.
type Claims map[string]any

// Good says all that a gate asks for, for 5 minutes from now on.
func Good(now time.Time) Claims {
	return Claims{
		"iss": Issuer, "sub": "alice", "aud": Orders, "client_id": "web", "jti": "t1", "sid": "s1",
		"scope": "orders.read", "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
	}
}

// With is a copy of c that says more.
func (c Claims) With(more Claims) Claims {
	c = maps.Clone(c)
	maps.Copy(c, more)
	return c
}

// NewSigner makes an issuer's ES256 key.
func NewSigner(t testing.TB, id string) token.Signer {
	t.Helper()
	s, err := token.NewSigner(id, token.ES256, newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Unreachable are the keys of an issuer that does not answer.
type Unreachable struct{}

// Keys says so.
func (Unreachable) Keys(context.Context, string, token.Algorithm) ([]token.Key, error) {
	return nil, &token.Error{Reason: token.KeysUnavailable, Err: errors.New("connection refused")}
}

// Sign makes an access token.
func Sign(t testing.TB, s token.Signer, c Claims) string {
	t.Helper()
	return SignAs(t, s, "at+jwt", c)
}

// SignAs makes a token of any type.
func SignAs(t testing.TB, s token.Signer, typ string, c Claims) string {
	t.Helper()
	raw, err := s.Sign(typ, encoded(t, c))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func encoded(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
