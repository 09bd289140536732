package token_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/asn1"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/longcase/longcase/token"
)

func TestSignedTokensAreAccepted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		alg := rapid.SampledFrom([]token.Algorithm{token.ES256, token.EdDSA, token.HS256}).Draw(t, "alg")
		claims := rapid.MapOf(rapid.StringMatching(`x[^\x00]{0,20}`), rapid.String()).Draw(t, "claims")
		claims["sub"] = rapid.String().Draw(t, "sub")
		payload, err := json.Marshal(claims)
		if err != nil {
			t.Fatal(err)
		}
		s := signers()[alg]
		raw, err := s.Sign("at+jwt", payload)
		if err != nil {
			t.Fatal(err)
		}
		c, err := check(raw, s.Key())
		if err != nil {
			t.Fatalf("%s: %v", payload, err)
		}
		if c.Subject != claims["sub"] || string(c.Raw) != string(payload) {
			t.Errorf("sub %q, want %q; raw %s, want %s", c.Subject, claims["sub"], c.Raw, payload)
		}
	})
}

func TestSignRoundTrip(t *testing.T) {
	for _, alg := range algorithms() {
		t.Run(string(alg), func(t *testing.T) {
			s := signers()[alg]
			raw, err := s.Sign("application/at+jwt", []byte(`{"iss":"a","aud":["b"],"exp":17e8}`))
			if err != nil {
				t.Fatal(err)
			}
			j, err := token.Parse(raw)
			if err != nil {
				t.Fatal(err)
			}
			if j.KeyID() != s.ID() || j.Algorithm() != alg || s.Algorithm() != alg || j.Type() != "application/at+jwt" {
				t.Errorf("header %s", j.Header())
			}
			c, err := check(raw, s.Key())
			if err != nil || c.Issuer != "a" || c.Expires.Unix() != 1700000000 {
				t.Errorf("%+v, %v", c, err)
			}
		})
	}
}

func TestHeaderSpelling(t *testing.T) {
	tests := []struct{ id, typ, want string }{
		{"", "", `{"alg":"HS256"}`},
		{"k", "", `{"alg":"HS256","kid":"k"}`},
		{"k", "at+jwt", `{"alg":"HS256","kid":"k","typ":"at+jwt"}`},
		{"a\"b\\\n\u2028é", "JWT", `{"alg":"HS256","kid":"a\"b\\\n\u2028é","typ":"JWT"}`},
	}
	for _, tt := range tests {
		s, err := token.NewSecretSigner(tt.id, secret())
		if err != nil {
			t.Fatal(err)
		}
		raw, err := s.Sign(tt.typ, []byte(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		j, err := token.Parse(raw)
		if err != nil || string(j.Header()) != tt.want || j.KeyID() != tt.id {
			t.Errorf("header %s, kid %q, %v, want %s", j.Header(), j.KeyID(), err, tt.want)
		}
	}
}

// What nobody could accept is not signed.
func TestSignRefuses(t *testing.T) {
	tests := []struct {
		name, typ, claims string
		want              error // nil: any
	}{
		{"no object", "", `[]`, token.Malformed},
		{"member twice", "", `{"a":1,"a":1}`, token.Malformed},
		{"another case", "", `{"Exp":1}`, token.Malformed},
		{"claim of the wrong type", "", `{"exp":"1"}`, token.Malformed},
		{"no audience in the list", "", `{"aud":[]}`, token.Malformed},
		{"too long", "", `{"a":"` + strings.Repeat("a", 13000) + `"}`, token.TooLarge},
		{"too deep", "", `{"a":` + nested(32) + `}`, token.TooLarge},
		{"typ with a quote", `a"b`, `{}`, nil},
		{"typ not ASCII", `é`, `{}`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			raw, err := signers()[token.HS256].Sign(tt.typ, []byte(tt.claims))
			if raw != "" || err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("Sign = %q, %v, want %v", raw, err, tt.want)
			}
		})
	}
	if raw, err := (token.Signer{}).Sign("", []byte(`{}`)); err == nil {
		t.Errorf("the zero Signer signs: %s", raw)
	}
}

func TestNewSignerRefuses(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		alg  token.Algorithm
		key  crypto.Signer
	}{
		{"no key", token.ES256, nil},
		{"a key of another type", token.ES256, ed},
		{"HS256 from a private key", token.HS256, ed},
		{"an unknown algorithm", "Ed25519", ed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := token.NewSigner("k", tt.alg, tt.key); err == nil {
				t.Error("taken")
			}
		})
	}
	if _, err := token.NewSecretSigner("k", secret()[:31]); err == nil {
		t.Error("a secret of 31 bytes taken")
	}
}

// hardware is a key that signs as it is told to.
type hardware struct {
	*ecdsa.PrivateKey
	sig []byte
	err error
}

func (h hardware) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return h.sig, h.err }

func TestSignRefusesWhatAKeyMustNotSay(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der := func(r, s *big.Int) []byte {
		return must(asn1.Marshal(struct{ R, S *big.Int }{r, s}))
	}
	one, wide := big.NewInt(1), new(big.Int).Lsh(big.NewInt(1), 256)
	away := errors.New("the token was pulled out")
	tests := []struct {
		name string
		key  hardware
	}{
		{"an error", hardware{key, nil, away}},
		{"nothing", hardware{key, nil, nil}},
		{"no ASN.1", hardware{key, make([]byte, 64), nil}},
		{"more after it", hardware{key, append(der(one, one), 0), nil}},
		{"zero", hardware{key, der(one, new(big.Int)), nil}},
		{"negative", hardware{key, der(big.NewInt(-1), one), nil}},
		{"257 bits", hardware{key, der(one, wide), nil}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := token.NewSigner("k", token.ES256, tt.key)
			if err != nil {
				t.Fatal(err)
			}
			raw, err := s.Sign("", []byte(`{}`))
			if raw != "" || err == nil || tt.key.err != nil && !errors.Is(err, tt.key.err) {
				t.Errorf("Sign = %q, %v", raw, err)
			}
		})
	}
}
