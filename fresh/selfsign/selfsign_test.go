package selfsign

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/jwks"
	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify"
)

var start = time.Date(2026, 11, 22, 10, 0, 0, 700, time.UTC)

const (
	serviceA = "https://service-a.example.com"
	serviceB = "https://service-b.example.com"
)

func pkcs8(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func p256(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// gate verifies as a callee does.
func gate(t *testing.T, profile verify.Profile, audience string, alg token.Algorithm, pub crypto.PublicKey) *verify.Verifier {
	t.Helper()
	kid, err := jwks.Thumbprint(pub)
	if err != nil {
		t.Fatal(err)
	}
	key, err := token.NewKey(kid, alg, pub)
	if err != nil {
		t.Fatal(err)
	}
	v, err := verify.New(verify.Config{Issuers: []verify.Issuer{{
		URL: serviceA, Audience: audience, Profile: profile, Leeway: verify.NoLeeway, Keys: jwks.FromKeys(key),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSettingsDoNotPrintTheirSecrets(t *testing.T) {
	for _, v := range []any{Config{Key: []byte("SECRET")}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
			if text := fmt.Sprintf(verb, v); strings.Contains(text, "SECRET") || strings.Contains(text, "534543") || strings.Contains(text, "0x53, 0x45") || strings.Contains(text, "[83 69") {
				t.Errorf("%s of %T is %s", verb, v, text)
			}
		}
		if text, err := json.Marshal(v); err != nil || strings.Contains(string(text), "SECRET") || strings.Contains(string(text), "U0VDUkVU") {
			t.Errorf("%T in JSON is %s, %v", v, text, err)
		}
	}
}

func TestEveryKeySignsWhatTheGateAccepts(t *testing.T) {
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	big, _ := rsa.GenerateKey(rand.Reader, 2048)
	small := p256(t)
	sec1, err := x509.MarshalECPrivateKey(small)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		key  crypto.Signer
		pem  []byte
		alg  token.Algorithm // asked for
		want token.Algorithm
	}{
		{"P-256", small, nil, "", token.ES256},
		{"P-256, asked for by name", small, nil, token.ES256, token.ES256},
		{"P-256 in SEC 1", small, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1}), "", token.ES256},
		{"P-384", p384, nil, "", token.ES384},
		{"RSA", big, nil, "", token.RS256},
		{"RSA in PKCS #1", big, pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(big)}), "", token.RS256},
		{"RSA, PSS asked for", big, nil, token.PS256, token.PS256},
		{"Ed25519", ed, nil, "", token.EdDSA},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.pem == nil {
				tt.pem = pkcs8(t, tt.key)
			}
			got, err := JWT(Config{Issuer: serviceA, Audience: serviceB, Key: tt.pem, Algorithm: tt.alg})(t.Context(), start)
			if err != nil {
				t.Fatal(err)
			}
			for _, profile := range []verify.Profile{verify.RFC9068, verify.JWT} {
				v := gate(t, profile, serviceB, tt.want, tt.key.Public())
				verdict := v.Verify(t.Context(), got.Value.Value, verify.Need{}, start)
				if c := verdict.Claims; !verdict.Accepted() || c.Subject != serviceA || c.ClientID != serviceA || c.ID == "" {
					t.Errorf("the gate with profile %s: %s", profile, verdict.Detail)
				}
			}
		})
	}
}

func TestATokenIsForOneCalleeAndEnds(t *testing.T) {
	key := p256(t)
	root := JWT(Config{Issuer: serviceA, Subject: "a", Audience: serviceB, Key: pkcs8(t, key), Lifetime: 90 * time.Second})
	got, err := root(t.Context(), start)
	if err != nil {
		t.Fatal(err)
	}
	iat := start.Truncate(time.Second)
	if !got.Expires.Equal(iat.Add(90*time.Second)) || !got.NotBefore.Equal(iat.Add(-10*time.Second)) || got.Value.Type != "Bearer" {
		t.Errorf("the credential lives from %s to %s", got.NotBefore, got.Expires)
	}
	v, other := gate(t, verify.RFC9068, serviceB, token.ES256, key.Public()), gate(t, verify.RFC9068, "https://service-c.example.com", token.ES256, key.Public())
	tests := []struct {
		name string
		v    *verify.Verifier
		at   time.Time
		want token.Reason
	}{
		{"now", v, start, ""},
		{"a callee 10 s behind", v, iat.Add(-10 * time.Second), ""},
		{"a callee more than 10 s behind", v, iat.Add(-10*time.Second - 1), token.IssuedInFuture},
		{"the last instant", v, got.Expires.Add(-1), ""},
		{"its end", v, got.Expires, token.Expired},
		{"another callee", other, start, token.WrongAudience},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.v.Verify(t.Context(), got.Value.Value, verify.Need{}, tt.at); got.Reason != tt.want {
				t.Errorf("Verify = %q %s, want %q", got.Reason, got.Detail, tt.want)
			}
		})
	}
	again, err := root(t.Context(), start)
	if err != nil || again.Value == got.Value {
		t.Errorf("two tokens are the same one: %v", err)
	}
}

func TestAReplacedKeySignsTheNextToken(t *testing.T) {
	path, old, next := filepath.Join(t.TempDir(), "a.pem"), p256(t), p256(t)
	root := JWT(Config{Issuer: serviceA, Audience: serviceB, KeyFile: path})
	for _, key := range []*ecdsa.PrivateKey{old, next} {
		if err := os.WriteFile(path, pkcs8(t, key), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := root(t.Context(), start)
		if err != nil {
			t.Fatal(err)
		}
		verdict := gate(t, verify.RFC9068, serviceB, token.ES256, key.Public()).Verify(t.Context(), got.Value.Value, verify.Need{}, start)
		if !verdict.Accepted() {
			t.Error(verdict.Detail)
		}
	}
}

func TestWhatCannotSign(t *testing.T) {
	dir := t.TempDir()
	good := pkcs8(t, p256(t))
	small, _ := rsa.GenerateKey(rand.Reader, 1024) //nolint:gosec // refused below
	p521, _ := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	with := func(change func(*Config)) Config {
		c := Config{Issuer: serviceA, Audience: serviceB, Key: good}
		change(&c)
		return c
	}
	file := func(path string) func(*Config) { return func(c *Config) { c.Key, c.KeyFile = nil, path } }
	tests := []struct {
		name   string
		config Config
		want   fresh.Reason
		says   string
	}{
		{"no issuer", with(func(c *Config) { c.Issuer = "" }), fresh.Misconfigured, "issuer is required"},
		{"no audience", with(func(c *Config) { c.Audience = "" }), fresh.Misconfigured, "audience is required"},
		{"a pattern as audience", with(func(c *Config) { c.Audience = "https://*.example.com" }), fresh.Misconfigured, "not a pattern"},
		{"HS256", with(func(c *Config) { c.Algorithm = token.HS256 }), fresh.Misconfigured, "none of ES256"},
		{"none", with(func(c *Config) { c.Algorithm = "none" }), fresh.Misconfigured, "none of ES256"},
		{"half a second", with(func(c *Config) { c.Lifetime = 500 * time.Millisecond }), fresh.Misconfigured, "lifetime is 500ms"},
		{"a second and a half", with(func(c *Config) { c.Lifetime = 1500 * time.Millisecond }), fresh.Misconfigured, "whole seconds"},
		{"more than an hour", with(func(c *Config) { c.Lifetime = time.Hour + time.Second }), fresh.Misconfigured, "1 s to 1 h"},
		{"two keys", with(func(c *Config) { c.KeyFile = "a" }), fresh.Misconfigured, "one of key file and key"},
		{"no key", with(func(c *Config) { c.Key = nil }), fresh.Misconfigured, "one of key file and key"},
		{"another algorithm's key", with(func(c *Config) { c.Algorithm = token.RS256 }), fresh.Misconfigured, "want an RSA key"},
		{"RSA of 1024 bits", with(func(c *Config) { c.Key = pkcs8(t, small) }), fresh.Misconfigured, "1024 bits"},
		{"P-521", with(func(c *Config) { c.Key = pkcs8(t, p521) }), fresh.Misconfigured, "P-256"},
		{"half a key", with(func(c *Config) { c.Key = good[:len(good)/2] }), fresh.Malformed, "not a PEM private key"},
		{"a public key", with(func(c *Config) { c.Key = []byte("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n") }), fresh.Malformed, `"PUBLIC KEY" is not a private key`},
		{"an encrypted key", with(func(c *Config) {
			c.Key = []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
		}), fresh.Malformed, "without a passphrase"},
		{"no file", with(file(filepath.Join(dir, "none"))), fresh.Unavailable, "cannot be read: no such file"},
		{"a folder", with(file(dir)), fresh.Misconfigured, "not a regular file"},
		{"a FIFO", with(file(fifo)), fresh.Misconfigured, "not a regular file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := JWT(tt.config)(context.Background(), start)
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("JWT = %v, want %v with %q", err, tt.want, tt.says)
			}
		})
	}
	if err := (Config{Lifetime: -1, Algorithm: "x"}).Check(); strings.Count(err.Error(), "\n") != 4 {
		t.Errorf("Check names not every field: %v", err)
	}
}

func FuzzKey(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := JWT(Config{Issuer: serviceA, Audience: serviceB, Key: append(data, '\n')})(t.Context(), start)
		if err != nil {
			return
		}
		if _, err := token.Parse(got.Value.Value); err != nil {
			t.Errorf("%q signs what cannot be read: %v", data, err)
		}
	})
}
