package token_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/longcase/longcase/token"
)

const hs = `{"alg":"HS256"}`

func TestParseRefuses(t *testing.T) {
	good := signed(hs, `{}`)
	tests := []struct {
		name string
		raw  string
		want token.Reason
	}{
		{"nothing", "", token.Malformed},
		{"one part", "abc", token.Malformed},
		{"two parts", b64(hs) + "." + b64("{}"), token.Malformed},
		{"four parts", good + ".", token.Malformed},
		{"five parts, a JWE", b64(`{"alg":"RSA-OAEP","enc":"A256GCM"}`) + ".a.b.c.d", token.Malformed},
		{"three empty parts", "..", token.Malformed},
		{"JSON serialization", `{"payload":"e30","protected":"e30","signature":"AA"}`, token.Malformed},
		{"one byte too many", strings.Repeat("a", 16385), token.TooLarge},
		{"a mebibyte of dots", strings.Repeat(".", 1<<20), token.TooLarge},
		{"no signature", b64(hs) + "." + b64("{}") + ".", token.Malformed},
		{"blank before", " " + good, token.Malformed},
		{"blank after", good + " ", token.Malformed},
		{"line feed after", good + "\n", token.Malformed},
		{"line feed inside", good[:9] + "\n" + good[9:], token.Malformed},
		{"carriage return inside", good[:9] + "\r" + good[9:], token.Malformed},
		{"padding", strings.Replace(good, ".", "=.", 1), token.Malformed},
		{"padding at the end", good + "=", token.Malformed},
		{"base64 of the other alphabet", b64(hs) + "." + b64("{}") + ".ab+/", token.Malformed},
		{"unused bits set", b64(hs) + "." + b64("{}") + ".AB", token.Malformed},
		{"a lone base64 character", b64(hs) + "." + b64("{}") + ".A", token.Malformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { refused(t, tt.raw, tt.want) })
	}
}

func TestParseRefusesHeader(t *testing.T) {
	tests := []struct {
		name   string
		header string
		want   token.Reason
	}{
		{"empty", ``, token.Malformed},
		{"array", `["alg","HS256"]`, token.Malformed},
		{"string", `"HS256"`, token.Malformed},
		{"null", `null`, token.Malformed},
		{"no alg", `{"typ":"JWT"}`, token.Malformed},
		{"alg null", `{"alg":null}`, token.Malformed},
		{"alg number", `{"alg":256}`, token.Malformed},
		{"alg array", `{"alg":["HS256"]}`, token.Malformed},
		{"alg empty", `{"alg":""}`, token.BadAlgorithm},
		{"alg none", `{"alg":"none"}`, token.BadAlgorithm},
		{"alg None", `{"alg":"None"}`, token.BadAlgorithm},
		{"alg in lower case", `{"alg":"hs256"}`, token.BadAlgorithm},
		{"alg with a blank", `{"alg":"HS256 "}`, token.BadAlgorithm},
		{"alg not ours", `{"alg":"HS512"}`, token.BadAlgorithm},
		{"alg of secp256k1", `{"alg":"ES256K"}`, token.BadAlgorithm},
		{"alg twice, the same", `{"alg":"HS256","alg":"HS256"}`, token.Malformed},
		{"alg twice, none first", `{"alg":"none","alg":"HS256"}`, token.Malformed},
		{"alg twice, one escaped", `{"alg":"HS256","\u0061lg":"none"}`, token.Malformed},
		{"alg in another case too", `{"alg":"HS256","Alg":"none"}`, token.Malformed},
		{"alg in another case only", `{"ALG":"HS256"}`, token.Malformed},
		{"alg in another case, escaped", `{"alg":"HS256","\u0041lg":"none"}`, token.Malformed},
		{"kid with a Kelvin sign", `{"alg":"HS256","\u212Aid":"k"}`, token.Malformed},
		{"kid number", `{"alg":"HS256","kid":1}`, token.Malformed},
		{"kid null", `{"alg":"HS256","kid":null}`, token.Malformed},
		{"typ empty", `{"alg":"HS256","typ":""}`, token.Malformed},
		{"typ array", `{"alg":"HS256","typ":["JWT"]}`, token.Malformed},
		{"crit unknown", `{"alg":"HS256","crit":["foo"],"foo":1}`, token.Malformed},
		{"crit empty", `{"alg":"HS256","crit":[]}`, token.Malformed},
		{"crit null", `{"alg":"HS256","crit":null}`, token.Malformed},
		{"Crit", `{"alg":"HS256","Crit":["exp"]}`, token.Malformed},
		{"b64 false", `{"alg":"HS256","b64":false}`, token.Malformed},
		{"b64 true", `{"alg":"HS256","b64":true}`, token.Malformed},
		{"zip", `{"alg":"HS256","zip":"DEF"}`, token.Malformed},
		{"enc", `{"alg":"HS256","enc":"A128GCM"}`, token.Malformed},
		{"unknown member twice", `{"alg":"HS256","x":1,"x":1}`, token.Malformed},
		{"duplicate inside", `{"alg":"HS256","x":{"y":[{"a":1,"a":1}]}}`, token.Malformed},
		{"two objects", hs + `{}`, token.Malformed},
		{"white space before", " " + hs, token.Malformed},
		{"white space after", hs + "\n", token.Malformed},
		{"a number too large", `{"alg":"HS256","x":1e309}`, token.Malformed},
		{"a NUL after", hs + "\x00", token.Malformed},
		{"byte order mark", "\ufeff" + hs, token.Malformed},
		{"invalid UTF-8", "{\"alg\":\"HS256\",\"x\":\"\xff\"}", token.Malformed},
		{"33 levels", `{"alg":"HS256","x":` + nested(32) + `}`, token.TooLarge},
		{"4000 levels", `{"alg":"HS256","x":` + nested(4000) + `}`, token.TooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { refused(t, signed(tt.header, `{}`), tt.want) })
	}
}

func refused(t *testing.T, raw string, want token.Reason) {
	t.Helper()
	j, err := token.Parse(raw)
	var e *token.Error
	if !errors.As(err, &e) || e.Reason != want {
		t.Fatalf("Parse = %+v, %v, want %v", j, err, want)
	}
	if len(e.Error()) > 250 {
		t.Errorf("the refusal repeats the token: %.300s", e.Error())
	}
}

func TestParseTakesHeader(t *testing.T) {
	tests := []struct{ name, header, kid, typ string }{
		{"alone", hs, "", ""},
		{"white space of RFC 8259 inside", "{ \"alg\" :\t\r\n\"HS256\" }", "", ""},
		{"kid and typ", `{"alg":"HS256","kid":"a/../b","typ":"at+JWT"}`, "a/../b", "at+jwt"},
		{"escapes", `{"\u0061lg":"HS\u0032\u00356","kid":"\u00e9\ud83d\ude00\n"}`, "é😀\n", ""},
		{"keys and addresses are ignored", `{"alg":"HS256","jku":"http://evil.test/","x5u":1,"jwk":{"k":"AA"},"x5c":[]}`, "", ""},
		{"32 levels", `{"alg":"HS256","x":` + nested(31) + `}`, "", ""},
		{"every kind of value", `{"alg":"HS256","a":[true,false,null,-0.5e+7,0,"",{},[]]}`, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			j, err := token.Parse(signed(tt.header, `{}`))
			if err != nil {
				t.Fatal(err)
			}
			if err := j.Verify(hs256(t)); err != nil {
				t.Error(err)
			}
			if j.Algorithm() != token.HS256 || j.KeyID() != tt.kid || j.Type() != tt.typ || string(j.Header()) != tt.header {
				t.Errorf("read %q, %q, %q of %s", j.Algorithm(), j.KeyID(), j.Type(), j.Header())
			}
		})
	}
}

func TestParseTakesTheLongestToken(t *testing.T) {
	head := b64(hs) + "."
	longest := func(extra int) string {
		fill := strings.Repeat("A", 16384-len(head)-44+extra)
		return head + fill + "." + strings.Repeat("A", 43)
	}
	if _, err := token.Parse(longest(0)); err != nil {
		t.Errorf("16384 bytes: %v", err)
	}
	if _, err := token.Parse(longest(1)); !errors.Is(err, token.TooLarge) {
		t.Errorf("16385 bytes: %v, want %v", err, token.TooLarge)
	}
}

func TestKeyDecidesTheAlgorithm(t *testing.T) {
	for _, alg := range algorithms() {
		raw, err := signers()[alg].Sign("", []byte(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		j, err := token.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		for _, other := range algorithms() {
			err := j.Verify(signers()[other].Key())
			if other == alg && err != nil || other != alg && !errors.Is(err, token.BadAlgorithm) {
				t.Errorf("%s token, %s key: %v", alg, other, err)
			}
		}
		if err := j.Verify(token.Key{}); !errors.Is(err, token.BadAlgorithm) {
			t.Errorf("%s token, zero key: %v", alg, err)
		}
		if err := (token.JWS{}).Verify(token.Key{}); !errors.Is(err, token.BadAlgorithm) {
			t.Errorf("zero token, zero key: %v", err)
		}
	}
}

// RFC 9864 gives EdDSA with this curve a name of its own.
func TestEd25519IsEdDSA(t *testing.T) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key := must(token.NewKey("", token.EdDSA, private.Public()))
	text := b64(`{"alg":"Ed25519"}`) + "." + b64(`{}`)
	raw := text + "." + b64(string(ed25519.Sign(private, []byte(text))))
	j, err := token.Parse(raw)
	if err != nil || j.Algorithm() != token.EdDSA {
		t.Fatalf("read as %q: %v", j.Algorithm(), err)
	}
	if err := j.Verify(key); err != nil {
		t.Error(err)
	}
	for _, alg := range algorithms() {
		want := token.BadAlgorithm
		if alg == token.EdDSA {
			want = token.BadSignature // of another key
		}
		if err := j.Verify(signers()[alg].Key()); !errors.Is(err, want) {
			t.Errorf("with a key for %s: %v, want %s", alg, err, want)
		}
	}
	for _, other := range []string{"ed25519", "ED25519", "Ed25519 ", "EdDSA25519", "Ed448", "eddsa", "Ed25519ph"} {
		refused(t, signed(`{"alg":"`+other+`"}`, `{}`), token.BadAlgorithm)
	}
	if _, err := token.NewKey("", "Ed25519", private.Public()); err == nil {
		t.Error("a key has two names for its algorithm")
	}
}

// Whoever holds a public key must not be able to use it as an HMAC secret.
func TestPublicKeyIsNoSecret(t *testing.T) {
	for _, alg := range []token.Algorithm{token.RS256, token.ES256, token.EdDSA} {
		if _, err := token.NewKey("", token.HS256, signers()[alg].Key().Public()); err == nil {
			t.Errorf("%s key taken for HS256", alg)
		}
	}
}

func TestAnotherKeyOfTheAlgorithmIsBadSignature(t *testing.T) {
	other, err := token.NewKey("other", token.HS256, []byte(strings.Repeat("x", 32)))
	if err != nil {
		t.Fatal(err)
	}
	_, err = check(signed(hs, `{}`), other)
	if !errors.Is(err, token.BadSignature) {
		t.Fatalf("%v, want %v", err, token.BadSignature)
	}
	if want := fmt.Sprintf(`"other" (%s)`, token.Fingerprint(other)); !strings.Contains(err.Error(), want) {
		t.Errorf("%v does not name the key as %s", err, want)
	}
}

func TestSignatureOfAnotherShapeIsBadSignature(t *testing.T) {
	zeros := func(n int) string { return string(make([]byte, n)) }
	tests := []struct {
		name string
		alg  token.Algorithm
		sig  func(good string) string
	}{
		{"ES256 zeros", token.ES256, func(string) string { return zeros(64) }},
		{"ES256 r is zero", token.ES256, func(g string) string { return zeros(32) + g[32:] }},
		{"ES256 s is zero", token.ES256, func(g string) string { return g[:32] + zeros(32) }},
		{"ES256 all ones", token.ES256, func(string) string { return strings.Repeat("\xff", 64) }},
		{"ES256 one byte short", token.ES256, func(g string) string { return g[:63] }},
		{"ES256 one byte long", token.ES256, func(g string) string { return g + "\x00" }},
		{"ES256 halves widened", token.ES256, func(g string) string { return "\x00" + g[:32] + "\x00" + g[32:] }},
		{"ES256 halves swapped", token.ES256, func(g string) string { return g[32:] + g[:32] }},
		{"ES384 zeros", token.ES384, func(string) string { return zeros(96) }},
		{"ES384 of 64 bytes", token.ES384, func(g string) string { return g[:64] }},
		{"RS256 short", token.RS256, func(g string) string { return g[1:] }},
		{"RS256 zeros", token.RS256, func(string) string { return zeros(256) }},
		{"RS256 one", token.RS256, func(string) string { return zeros(255) + "\x01" }},
		{"PS256 long", token.PS256, func(g string) string { return "\x00" + g }},
		{"EdDSA zeros", token.EdDSA, func(string) string { return zeros(64) }},
		{"EdDSA short", token.EdDSA, func(g string) string { return g[:63] }},
		{"HS256 short", token.HS256, func(g string) string { return g[:16] }},
		{"HS256 one byte", token.HS256, func(string) string { return "\x00" }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := signers()[tt.alg]
			raw, err := s.Sign("", []byte(`{}`))
			if err != nil {
				t.Fatal(err)
			}
			dot := strings.LastIndexByte(raw, '.')
			raw = raw[:dot+1] + b64(tt.sig(string(unb64(t, raw[dot+1:]))))
			if _, err := check(raw, s.Key()); !errors.Is(err, token.BadSignature) {
				t.Errorf("%v, want %v", err, token.BadSignature)
			}
		})
	}
}

// A PS256 salt is as long as the hash (RFC 7518 section 3.5).
func TestSaltOfAnotherLengthIsBadSignature(t *testing.T) {
	key := must(rsa.GenerateKey(rand.Reader, 2048))
	k := must(token.NewKey("", token.PS256, key.Public()))
	message := b64(`{"alg":"PS256"}`) + "." + b64(`{}`)
	digest := sha256.Sum256([]byte(message))
	for _, salt := range []int{1, 20, 31, 32, 33, 64, rsa.PSSSaltLengthAuto} {
		sig, err := rsa.SignPSS(rand.Reader, key, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: salt})
		if err != nil {
			t.Fatal(err)
		}
		_, err = check(message+"."+b64(string(sig)), k)
		if salt == sha256.Size && err != nil || salt != sha256.Size && !errors.Is(err, token.BadSignature) {
			t.Errorf("a salt of %d bytes: %v", salt, err)
		}
	}
}

// An RS256 signature is none of PS256.
func TestRSAPaddingsAreNotMixed(t *testing.T) {
	rs, err := signers()[token.RS256].Sign("", []byte(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(rs, ".")
	raw := b64(`{"alg":"PS256","kid":"k-RS256"}`) + "." + parts[1] + "." + parts[2]
	if _, err := check(raw, signers()[token.PS256].Key()); !errors.Is(err, token.BadSignature) {
		t.Errorf("%v, want %v", err, token.BadSignature)
	}
}

// ECDSA has two signatures for one message. Both are valid by RFC 7515, so the
// text of a token must not be the key of anything that may happen once.
func TestECDSAHasASecondSignature(t *testing.T) {
	s := signers()[token.ES256]
	raw, err := s.Sign("", []byte(`{"jti":"j"}`))
	if err != nil {
		t.Fatal(err)
	}
	dot := strings.LastIndexByte(raw, '.')
	sig := unb64(t, raw[dot+1:])
	other := new(big.Int).Sub(elliptic.P256().Params().N, new(big.Int).SetBytes(sig[32:]))
	other.FillBytes(sig[32:])
	c, err := check(raw[:dot+1]+b64(string(sig)), s.Key())
	if err != nil || c.ID != "j" {
		t.Errorf("Claims = %+v, %v, want the same jti", c, err)
	}
}

// One token has one spelling: whatever single byte is changed, dropped, doubled
// or put in, the result is refused.
func TestOneTokenOneSpelling(t *testing.T) {
	for _, alg := range algorithms() {
		t.Run(string(alg), func(t *testing.T) {
			s := signers()[alg]
			good, err := s.Sign("at+jwt", []byte(`{"iss":"a","exp":1}`))
			if err != nil {
				t.Fatal(err)
			}
			for i := range len(good) {
				for _, bad := range mutations(good, i, stride(alg)) {
					if _, err := check(bad, s.Key()); err == nil {
						t.Fatalf("byte %d: also accepted: %s", i, bad)
					}
				}
			}
		})
	}
}

// stride thins the mutations out where a signature check is dear.
func stride(alg token.Algorithm) int {
	switch alg {
	case token.HS256:
		return 1
	case token.ES384:
		return 64 / long(64)
	default:
		return 16 / long(16)
	}
}

// mutations are the strings one edit away from s at place i: every stride-th
// other byte, none, the byte twice, and what lenient decoders skip.
func mutations(s string, i, stride int) []string {
	list := []string{s[:i] + s[i+1:], s[:i] + s[i:i+1] + s[i:]}
	for _, skipped := range "=\n\r \t" {
		list = append(list, s[:i]+string(skipped)+s[i:])
	}
	for c := i % stride; c < 256; c += stride {
		if byte(c) != s[i] {
			list = append(list, s[:i]+string([]byte{byte(c)})+s[i+1:])
		}
	}
	return list
}

func TestCheckAllocatesLittle(t *testing.T) {
	s := signers()[token.EdDSA]
	raw, err := s.Sign("at+jwt", []byte(`{"iss":"https://a.test","sub":"s","aud":"b","exp":1,"iat":1,"jti":"j","client_id":"c"}`))
	if err != nil {
		t.Fatal(err)
	}
	n := testing.AllocsPerRun(100, func() {
		if _, err := check(raw, s.Key()); err != nil {
			t.Error(err)
		}
	})
	if n > 4 {
		t.Errorf("%v allocations, want at most 4: the text, its strings, the audience", n)
	}
}
