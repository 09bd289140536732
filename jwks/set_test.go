package jwks_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/longcase/longcase/jwks"
	"github.com/longcase/longcase/token"
)

// jwk writes one JWK with members added or replaced.
func jwk(t testing.TB, key any, members map[string]any) string {
	t.Helper()
	data, err := jose.JSONWebKey{Key: key}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]any{}
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	for name, value := range members {
		all[name] = value
	}
	data, err = json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func setOf(keys ...string) []byte { return []byte(`{"keys":[` + strings.Join(keys, ",") + `]}`) }

type material struct {
	p256, p384, p521 *ecdsa.PrivateKey
	rsa, rsa2, small *rsa.PrivateKey
	ed               ed25519.PrivateKey
}

func newMaterial(t testing.TB) material {
	t.Helper()
	t.Setenv("GODEBUG", "rsa1024min=0") // to make a key that must be refused
	var m material
	var errs [7]error
	m.p256, errs[0] = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	m.p384, errs[1] = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	m.p521, errs[2] = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	m.rsa, errs[3] = rsa.GenerateKey(rand.Reader, 2048)
	m.rsa2, errs[6] = rsa.GenerateKey(rand.Reader, 2048)
	m.small, errs[4] = rsa.GenerateKey(rand.Reader, 1024)
	_, m.ed, errs[5] = ed25519.GenerateKey(rand.Reader)
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	return m
}

type want map[token.Algorithm]int

func TestAKeyVerifiesWhatItsTypeCurveAndAlgSay(t *testing.T) {
	m := newMaterial(t)
	type members = map[string]any
	tests := []struct {
		name string
		jwk  string
		want want
	}{
		{"P-256 without alg", jwk(t, m.p256.Public(), nil), want{token.ES256: 1}},
		{"P-384 without alg", jwk(t, m.p384.Public(), nil), want{token.ES384: 1}},
		{"Ed25519 without alg", jwk(t, m.ed.Public(), nil), want{token.EdDSA: 1}},
		{"Ed25519 by its name of RFC 9864", jwk(t, m.ed.Public(), members{"alg": "Ed25519"}), want{token.EdDSA: 1}},
		{"RSA without alg verifies both", jwk(t, m.rsa.Public(), nil), want{token.RS256: 1, token.PS256: 1}},
		{"RSA with alg verifies that one", jwk(t, m.rsa.Public(), members{"alg": "PS256"}), want{token.PS256: 1}},
		{"use sig", jwk(t, m.p256.Public(), members{"use": "sig"}), want{token.ES256: 1}},
		{"key_ops verify", jwk(t, m.p256.Public(), members{"key_ops": []string{"verify"}}), want{token.ES256: 1}},
		{"other members are ignored", jwk(t, m.p256.Public(), members{"x5u": "https://evil.test/", "ext": true}), want{token.ES256: 1}},

		{"alg of another curve", jwk(t, m.p256.Public(), members{"alg": "ES384"}), nil},
		{"alg of another type", jwk(t, m.p256.Public(), members{"alg": "RS256"}), nil},
		{"alg Ed25519 of another type", jwk(t, m.p256.Public(), members{"alg": "Ed25519"}), nil},
		{"alg Ed25519 in small letters", jwk(t, m.ed.Public(), members{"alg": "ed25519"}), nil},
		{"alg Ed448 on the other curve", jwk(t, m.ed.Public(), members{"alg": "Ed448"}), nil},
		{"alg for encryption", jwk(t, m.rsa.Public(), members{"alg": "RSA-OAEP"}), nil},
		{"alg none", jwk(t, m.rsa.Public(), members{"alg": "none"}), nil},
		{"alg HS256 on a public key", jwk(t, m.rsa.Public(), members{"alg": "HS256"}), nil},
		{"use enc", jwk(t, m.rsa.Public(), members{"use": "enc"}), nil},
		{"key_ops without verify", jwk(t, m.p256.Public(), members{"key_ops": []string{"encrypt"}}), nil},
		{"empty key_ops", jwk(t, m.p256.Public(), members{"key_ops": []string{}}), nil},
		{"private key", jwk(t, m.p256, nil), nil},
		{"private RSA key", jwk(t, m.rsa, nil), nil},
		{"symmetric key", jwk(t, []byte(strings.Repeat("k", 32)), members{"alg": "HS256"}), nil},
		{"RSA of 1024 bits", jwk(t, m.small.Public(), nil), nil},
		{"RSA with exponent 1", jwk(t, m.rsa.Public(), members{"e": "AQ"}), nil},
		{"P-521", jwk(t, m.p521.Public(), nil), nil},
		{"point not on the curve", jwk(t, m.p256.Public(), members{"y": jwkMember(t, m.p384, "x")[:43]}), nil},
		{"curve that does not fit the point", jwk(t, m.p384.Public(), members{"crv": "P-256"}), nil},
		{"other type", `{"kty":"oct-future","x":"AQ"}`, nil},
		{"no type", `{}`, nil},
		{"not an object", `17`, nil},
		{"kid of 513 bytes", jwk(t, m.p256.Public(), members{"kid": strings.Repeat("k", 513)}), nil},
	}
	all := []token.Algorithm{token.ES256, token.ES384, token.RS256, token.PS256, token.EdDSA, token.HS256, "none", ""}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			good := jwk(t, m.ed.Public(), members{"kid": "good"})
			set, err := jwks.Parse(setOf(tt.jwk, good))
			if err != nil {
				t.Fatal(err)
			}
			if n := len(set.Find("good", token.EdDSA)); n != 1 {
				t.Errorf("the good key beside it is found %d times", n)
			}
			if tt.want == nil && (set.Len() != 1 || len(set.Skipped()) != 1) {
				t.Errorf("Len = %d, Skipped = %q, want the key skipped and told", set.Len(), set.Skipped())
			}
			for _, alg := range all {
				want := tt.want[alg]
				if alg == token.EdDSA {
					want++ // the good one
				}
				if got := set.Find("", alg); len(got) != want {
					t.Errorf("Find any for %q: %d keys, want %d", alg, len(got), want)
				}
			}
		})
	}
}

func jwkMember(t *testing.T, key crypto.Signer, name string) string {
	var m map[string]string
	if err := json.Unmarshal([]byte(jwk(t, key.Public(), nil)), &m); err != nil {
		t.Fatal(err)
	}
	return m[name]
}

func TestSkippedNeverShowsAKey(t *testing.T) {
	m := newMaterial(t)
	private := jwk(t, m.p256, map[string]any{"kid": "leaked"})
	set, err := jwks.Parse(setOf(private, jwk(t, []byte("a secret of at least 32 bytes, truly"), nil)))
	if err != nil {
		t.Fatal(err)
	}
	var d struct{ D string }
	if err := json.Unmarshal([]byte(private), &d); err != nil {
		t.Fatal(err)
	}
	told := strings.Join(set.Skipped(), "\n")
	if !strings.Contains(told, `"leaked"`) || strings.Contains(told, d.D) || strings.Contains(told, "secret of") {
		t.Errorf("Skipped = %s", told)
	}
}

func TestADuplicateKidIsToldApartByAlgorithmOrNotUsed(t *testing.T) {
	m := newMaterial(t)
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	kid := map[string]any{"kid": "same"}
	rsaKey, first, second := jwk(t, m.rsa.Public(), kid), jwk(t, m.p256.Public(), kid), jwk(t, other.Public(), kid)
	ps := jwk(t, m.rsa2.Public(), map[string]any{"kid": "same", "alg": "PS256"})
	good := jwk(t, m.ed.Public(), map[string]any{"kid": "good"})
	for _, tt := range []struct {
		name    string
		keys    []string
		found   want
		skipped int
	}{
		{"other types", []string{rsaKey, first}, want{token.RS256: 1, token.PS256: 1, token.ES256: 1}, 0},
		{"the same key twice", []string{first, first}, want{token.ES256: 1}, 0},
		{"two different keys of one type", []string{first, rsaKey, second}, want{token.RS256: 1, token.PS256: 1}, 1},
		{"two RSA keys, one of them for PS256 alone", []string{rsaKey, ps}, want{token.RS256: 1}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set, err := jwks.Parse(setOf(append(tt.keys, good)...))
			if err != nil {
				t.Fatal(err)
			}
			for _, alg := range []token.Algorithm{token.RS256, token.PS256, token.ES256, token.ES384} {
				if got, anyKid := len(set.Find("same", alg)), len(set.Find("", alg)); got != tt.found[alg] || anyKid != got {
					t.Errorf("%s: %d keys by kid and %d without, want %d", alg, got, anyKid, tt.found[alg])
				}
			}
			if told := set.Skipped(); len(told) != tt.skipped || tt.skipped > 0 && !strings.Contains(told[0], `"same": 2 different keys`) {
				t.Errorf("Skipped = %q", told)
			}
			if len(set.Find("good", token.EdDSA)) != 1 {
				t.Error("the good key beside them is not found")
			}
			if _, err := set.Keys(context.Background(), "same", token.EdDSA); !errors.Is(err, token.UnknownKey) {
				t.Errorf("Keys(same, EdDSA) = %v, want %v", err, token.UnknownKey)
			}
			if set.Find("Same", token.RS256) != nil {
				t.Error("a kid is found without regard to case")
			}
		})
	}
}

func TestATokenWithoutKidIsTriedWithEightKeysAtMost(t *testing.T) {
	var keys []string
	for i := range 20 {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, jwk(t, k.Public(), map[string]any{"kid": map[bool]string{true: fmt.Sprint(i)}[i%2 == 0]}))
	}
	set, err := jwks.Parse(setOf(keys...))
	if err != nil {
		t.Fatal(err)
	}
	for kid, want := range map[string]int{"": 8, "0": 1, "unknown": 8} { // the ten without a kid may be it
		if n := len(set.Find(kid, token.ES256)); n != want {
			t.Errorf("Find(%q) has %d keys, want %d", kid, n, want)
		}
	}
	if set.Len() != 20 {
		t.Errorf("Len = %d, want 20", set.Len())
	}
}

func TestWhatIsNoSetIsRefused(t *testing.T) {
	many := make([]string, jwks.MaxKeys+1)
	for i := range many {
		many[i] = "{}"
	}
	tests := []struct{ name, data string }{
		{"empty", ""},
		{"no JSON", "<html>"},
		{"no object", "[]"},
		{"no keys", `{"issuer":"x"}`},
		{"keys in another case", `{"Keys":[]}`},
		{"keys twice", `{"keys":[],"keys":[]}`},
		{"keys is null", `{"keys":null}`},
		{"keys is no array", `{"keys":{}}`},
		{"more after it", `{"keys":[]}{}`},
		{"101 keys", string(setOf(many...))},
		{"more than 512 KiB", `{"keys":[]` + strings.Repeat(" ", jwks.MaxSize) + `}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if set, err := jwks.Parse([]byte(tt.data)); err == nil {
				t.Errorf("Parse took it: %d keys", set.Len())
			}
		})
	}
	if set, err := jwks.Parse([]byte(`{"keys":[]}`)); err != nil || set.Len() != 0 {
		t.Errorf("a set of no keys: %d, %v", set.Len(), err)
	}
}

func TestMarshalKeepsTheOrderAndComesBack(t *testing.T) {
	m := newMaterial(t)
	var keys []token.Key
	for _, one := range []struct {
		id  string
		alg token.Algorithm
		pub any
	}{
		{"z", token.ES256, m.p256.Public()}, {"a", token.ES384, m.p384.Public()},
		{"m", token.PS256, m.rsa.Public()}, {"b", token.EdDSA, m.ed.Public()},
	} {
		k, err := token.NewKey(one.id, one.alg, one.pub)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k)
	}
	data, err := jwks.Marshal(keys)
	if err != nil {
		t.Fatal(err)
	}
	var out struct{ Keys []map[string]string }
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	set, err := jwks.Parse(data)
	if err != nil || set.Len() != len(keys) {
		t.Fatalf("Parse: %d keys, %v", set.Len(), err)
	}
	for i, k := range keys {
		shown := out.Keys[i]
		if shown["kid"] != k.ID() || shown["alg"] != string(k.Algorithm()) || shown["use"] != "sig" || shown["d"] != "" {
			t.Errorf("key %d is shown as %v", i, shown)
		}
		if got := set.Find(k.ID(), k.Algorithm()); len(got) != 1 || token.Fingerprint(got[0]) != token.Fingerprint(k) {
			t.Errorf("key %q comes back as %v", k.ID(), got)
		}
	}
	if jwks.FromKeys(keys...).Len() != len(keys) {
		t.Error("FromKeys lost a key")
	}
}

func TestASecretIsNeverPublished(t *testing.T) {
	secret, err := token.NewKey("s", token.HS256, []byte(strings.Repeat("s", 32)))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []token.Key{secret, {}} {
		if data, err := jwks.Marshal([]token.Key{k}); err == nil {
			t.Errorf("Marshal wrote %s", data)
		}
	}
	if jwks.FromKeys(secret).Len() != 0 {
		t.Error("FromKeys took a secret")
	}
}

func TestThumbprintOfTheRFCs(t *testing.T) {
	tests := []struct{ name, jwk, want string }{
		{"RFC 7638 section 3.1", `{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}`,
			"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"},
		{"RFC 8037 appendix A.3", `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
			"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var k jose.JSONWebKey
			if err := json.Unmarshal([]byte(tt.jwk), &k); err != nil {
				t.Fatal(err)
			}
			if got, err := jwks.Thumbprint(k.Key); got != tt.want || err != nil {
				t.Errorf("Thumbprint = %q, %v, want %q", got, err, tt.want)
			}
		})
	}
	for _, bad := range []any{nil, []byte("secret"), newMaterial(t).p256} {
		if got, err := jwks.Thumbprint(bad); err == nil {
			t.Errorf("Thumbprint(%T) = %q", bad, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(setOf(jwk(f, key.Public(), map[string]any{"kid": "a", "use": "sig"})))
	f.Add(setOf(jwk(f, key, nil), `{"kty":"RSA","n":"AQ","e":"AQ"}`, `{"kty":"OKP","crv":"Ed25519","x":"AA"}`, `null`))
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"","y":"","key_ops":3}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := jwks.Parse(data)
		if err != nil {
			return
		}
		for _, alg := range []token.Algorithm{token.ES256, token.ES384, token.RS256, token.PS256, token.EdDSA, token.HS256} {
			keys := set.Find("", alg)
			if len(keys) > 8 || len(keys) > set.Len() {
				t.Fatalf("%d keys for %s of %d", len(keys), alg, set.Len())
			}
			for _, k := range keys {
				if k.Algorithm() != alg || k.Public() == nil {
					t.Fatalf("Find(%s) returned a key for %s", alg, k.Algorithm())
				}
			}
			if out, err := jwks.Marshal(keys); err != nil {
				t.Fatalf("Marshal: %v", err)
			} else if back, err := jwks.Parse(out); err != nil || back.Len() != len(keys) {
				t.Fatalf("%s does not come back: %v", out, err)
			}
		}
	})
}

func TestKeysWithoutAKidAnswerForKidsThatNoKeyHas(t *testing.T) {
	named, unnamed := newKey(t, "a"), newKey(t, "")
	tests := []struct {
		name string
		set  jwks.Set
		kid  string
		want []token.Key
	}{
		{"the kid is there", jwks.FromKeys(named, unnamed), "a", []token.Key{named}},
		{"no key has this kid", jwks.FromKeys(named, unnamed), "b", []token.Key{unnamed}},
		{"every key has a kid", jwks.FromKeys(named), "b", nil},
		{"the token names none", jwks.FromKeys(named, unnamed), "", []token.Key{named, unnamed}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.set.Find(tt.kid, token.ES256); !slices.EqualFunc(got, tt.want, sameKey) {
				t.Errorf("Find(%q) = %d keys, want %d", tt.kid, len(got), len(tt.want))
			}
		})
	}
}

func newKey(t *testing.T, id string) token.Key {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := token.NewKey(id, token.ES256, &private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sameKey(a, b token.Key) bool {
	return a.ID() == b.ID() && token.Fingerprint(a) == token.Fingerprint(b)
}

func TestHoldsIsFindAndCompare(t *testing.T) {
	a, again, b, unnamed := newKey(t, "a"), newKey(t, "a"), newKey(t, "b"), newKey(t, "")
	renamed := func(id string, k token.Key) token.Key {
		t.Helper()
		same, err := token.NewKey(id, k.Algorithm(), k.Public())
		if err != nil {
			t.Fatal(err)
		}
		return same
	}
	tests := []struct {
		name string
		set  jwks.Set
		kid  string
		key  token.Key
		want bool
	}{
		{"the key", jwks.FromKeys(a, b), "a", a, true},
		{"the key, parsed anew", jwks.FromKeys(renamed("a", a), b), "a", a, true},
		{"the second of two with its kid", jwks.FromKeys(again, a), "a", a, true},
		{"another key under its kid", jwks.FromKeys(again), "a", a, false},
		{"the key under another kid", jwks.FromKeys(renamed("c", a)), "a", a, false},
		{"withdrawn", jwks.FromKeys(b), "a", a, false},
		{"the kid of another", jwks.FromKeys(a, b), "b", a, false},
		{"a token without kid", jwks.FromKeys(b, a), "", a, true},
		{"a token without kid, and the key under another one before", jwks.FromKeys(renamed("c", a), a), "", a, false},
		{"a kid that is in no set, and a key without one", jwks.FromKeys(a, unnamed), "x", unnamed, true},
		{"that kid came", jwks.FromKeys(renamed("x", a), unnamed), "x", unnamed, false},
		{"no key", jwks.FromKeys(a), "a", token.Key{}, false},
		{"an empty set", jwks.Set{}, "a", a, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.set.Holds(tt.kid, token.ES256, tt.key); got != tt.want {
				t.Errorf("Holds = %v", got)
			}
		})
	}
	set := jwks.FromKeys(a, b)
	if set.Holds("a", token.RS256, a) {
		t.Error("the algorithm does not count")
	}
	if n := testing.AllocsPerRun(100, func() { set.Holds("a", token.ES256, a) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A kid is compared and nothing else: it is no path, no query and no URL, and
// however long it is, what it says of itself stays short.
func TestAStrangeKidIsOnlyUnknown(t *testing.T) {
	set := jwks.FromKeys(newKey(t, "a"))
	for _, kid := range []string{
		"../../dev/null", "a/../a", "a\x00", "a ", "A", "' OR '1'='1", "https://evil.test/jwks", "%61", "\u202ea", "\r\nX: y", strings.Repeat("a", 64<<10),
	} {
		keys, err := set.Keys(context.Background(), kid, token.ES256)
		if !errors.Is(err, token.UnknownKey) || len(keys) != 0 {
			t.Errorf("%.40q finds %d keys, %v", kid, len(keys), err)
		}
		if s := err.Error(); len(s) > 400 || strings.ContainsAny(s, "\r\n\x00") {
			t.Errorf("%.40q is told in %d bytes: %.200q", kid, len(s), s)
		}
	}
}
