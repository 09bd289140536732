package token_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/longcase/longcase/token"
)

func TestNewKeyRefuses(t *testing.T) {
	p256 := signers()[token.ES256].Key().Public().(*ecdsa.PublicKey)
	p384 := signers()[token.ES384].Key().Public().(*ecdsa.PublicKey)
	rsa2048 := signers()[token.RS256].Key().Public().(*rsa.PublicKey)
	ed := signers()[token.EdDSA].Key().Public().(ed25519.PublicKey)
	tests := []struct {
		name string
		alg  token.Algorithm
		pub  any
	}{
		{"no algorithm", "", p256},
		{"none", "none", nil},
		{"another algorithm", "ES512", p256},
		{"nil", token.ES256, nil},
		{"nil ECDSA key", token.ES256, (*ecdsa.PublicKey)(nil)},
		{"nil RSA key", token.RS256, (*rsa.PublicKey)(nil)},
		{"empty RSA key", token.RS256, &rsa.PublicKey{}},
		{"P-384 for ES256", token.ES256, p384},
		{"P-256 for ES384", token.ES384, p256},
		{"a point off the curve", token.ES256, &ecdsa.PublicKey{Curve: elliptic.P256(), X: p256.Y, Y: p256.X}},
		{"the point at infinity", token.ES256, &ecdsa.PublicKey{Curve: elliptic.P256(), X: new(big.Int), Y: new(big.Int)}},
		{"RSA for ES256", token.ES256, rsa2048},
		{"ECDSA for RS256", token.RS256, p256},
		{"RSA of 2047 bits", token.RS256, &rsa.PublicKey{N: odd(2047), E: 65537}},
		{"RSA of 1024 bits", token.PS256, &rsa.PublicKey{N: odd(1024), E: 65537}},
		{"RSA of 8193 bits", token.RS256, &rsa.PublicKey{N: odd(8193), E: 65537}},
		{"RSA negative", token.RS256, &rsa.PublicKey{N: new(big.Int).Neg(rsa2048.N), E: 65537}},
		{"RSA even", token.RS256, &rsa.PublicKey{N: new(big.Int).Lsh(odd(2047), 1), E: 65537}},
		{"RSA exponent 1", token.RS256, &rsa.PublicKey{N: rsa2048.N, E: 1}},
		{"RSA exponent even", token.RS256, &rsa.PublicKey{N: rsa2048.N, E: 65536}},
		{"RSA exponent of 33 bits", token.RS256, &rsa.PublicKey{N: rsa2048.N, E: 1<<32 + 1}},
		{"Ed25519 of 31 bytes", token.EdDSA, ed[:31]},
		{"Ed25519 as bytes", token.EdDSA, []byte(ed)},
		{"Ed25519 as a secret", token.HS256, ed},
		{"secret of 31 bytes", token.HS256, secret()[:31]},
		{"secret as a string", token.HS256, string(secret())},
		{"no secret", token.HS256, []byte(nil)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k, err := token.NewKey("id", tt.alg, tt.pub)
			if err == nil || k.Algorithm() != "" {
				t.Fatalf("NewKey = %v, %v, want an error and the zero Key", k, err)
			}
			if b, ok := tt.pub.([]byte); ok && len(b) > 0 && strings.Contains(err.Error(), string(b)) {
				t.Errorf("the error holds the secret: %v", err)
			}
		})
	}
	if _, err := token.NewKey("\xff", token.ES256, p256); err == nil {
		t.Error("NewKey takes an id that is not UTF-8")
	}
}

// odd is the smallest odd number of that many bits.
func odd(bits uint) *big.Int {
	n := new(big.Int).Lsh(big.NewInt(1), bits-1)
	return n.SetBit(n, 0, 1)
}

func TestPrintingShowsNoSecret(t *testing.T) {
	seed := []byte("fedcba9876543210fedcba9876543210")
	ed, err := token.NewSigner("k", token.EdDSA, ed25519.NewKeyFromSeed(seed))
	if err != nil {
		t.Fatal(err)
	}
	hs := signers()[token.HS256]
	if hs.Key().Public() != nil {
		t.Error("Public hands the secret out")
	}
	type holder struct{ s token.Signer }
	for _, v := range []any{hs, hs.Key(), &hs, holder{hs}, &holder{hs}, ed, &ed, holder{ed}} {
		for _, form := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			shown := fmt.Sprintf(form, v)
			sum := sha256.Sum256(secret())
			for _, hidden := range [][]byte{secret(), seed, sum[:]} {
				if strings.Contains(shown, strings.TrimLeft(strings.Trim(fmt.Sprintf(form, hidden), "[]{}"), "byte{")) {
					t.Errorf("%s of %T shows the secret: %s", form, v, shown)
				}
			}
		}
	}
}

func TestKeyDoesNotChangeWithItsSource(t *testing.T) {
	mine := secret()
	k, err := token.NewKey("", token.HS256, mine)
	if err != nil {
		t.Fatal(err)
	}
	clear(mine)
	if _, err := check(signed(hs, `{}`), k); err != nil {
		t.Errorf("the caller's clear reached the key: %v", err)
	}
}

func TestFingerprints(t *testing.T) {
	seen := map[string]token.Algorithm{}
	for _, alg := range algorithms() {
		f := token.Fingerprint(signers()[alg].Key())
		if alg == token.PS256 {
			if f != token.Fingerprint(signers()[token.RS256].Key()) {
				t.Error("one RSA key has two fingerprints")
			}
			continue
		}
		if before, twice := seen[f]; twice || !strings.HasPrefix(f, "SHA256:") {
			t.Errorf("%s: %q, also of %q", alg, f, before)
		}
		seen[f] = alg
	}
	if f := token.Fingerprint(token.Key{}); f != "" {
		t.Errorf("zero key: %q", f)
	}
	if f := token.Fingerprint(signers()[token.HS256].Key()); len(f) != len("SHA256:0000…") {
		t.Errorf("the fingerprint %q of a secret would confirm a guess", f)
	}
}

func TestKeysAreEqualByMaterialAndAlgorithm(t *testing.T) {
	rsaPub := signers()[token.RS256].Key().Public()
	again := func(id string, alg token.Algorithm) token.Key { return must(token.NewKey(id, alg, rsaPub)) }
	a := again("a", token.RS256)
	stranger := must(token.NewKey("a", token.RS256, &rsa.PublicKey{N: odd(2048), E: 65537}))
	tests := []struct {
		name      string
		keys      []token.Key
		equal, in bool
	}{
		{"itself", []token.Key{a}, true, true},
		{"parsed again", []token.Key{again("a", token.RS256)}, true, true},
		{"another id", []token.Key{again("b", token.RS256)}, true, false},
		{"another id first", []token.Key{again("b", token.RS256), a}, true, false},
		{"another algorithm", []token.Key{again("a", token.PS256)}, false, false},
		{"another key under the id", []token.Key{stranger}, false, false},
		{"behind another key", []token.Key{stranger, a}, false, true},
		{"the zero key", []token.Key{{}}, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := a.Equal(tt.keys[0]); got != tt.equal {
				t.Errorf("Equal = %v", got)
			}
			if got := a.In(tt.keys); got != tt.in {
				t.Errorf("In = %v", got)
			}
		})
	}
	if zero := (token.Key{}); zero.Equal(zero) || zero.In([]token.Key{{}}) {
		t.Error("the zero key equals one")
	}
	exponent := must(token.NewKey("a", token.RS256, &rsa.PublicKey{N: rsaPub.(*rsa.PublicKey).N, E: 3}))
	if a.Equal(exponent) {
		t.Error("the exponent does not count")
	}
	for _, alg := range algorithms() {
		for _, other := range algorithms() {
			if signers()[alg].Key().Equal(signers()[other].Key()) != (alg == other) {
				t.Errorf("%s equals %s", alg, other)
			}
		}
	}
}
