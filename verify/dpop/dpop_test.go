package dpop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/longcase/longcase/token"
)

func TestProofsOfEveryAlgorithmPass(t *testing.T) {
	for _, alg := range Algorithms() {
		h := newHolder(t, alg)
		p, err := Check([]string{h.prove(t, h.header().json(t), good().json(t))}, want(), start)
		if err != nil {
			t.Errorf("%s: %v", alg, err)
			continue
		}
		if p.JKT != h.thumbprint(t) || !p.Issued.Equal(start) || p.End.Sub(start) != MaxAge+MaxAhead {
			t.Errorf("%s: %+v, want the thumbprint %s", alg, p, h.thumbprint(t))
		}
	}
}

// RFC 9864: what most libraries send for these keys by now.
func TestEd25519IsEdDSA(t *testing.T) {
	h := newHolder(t, token.EdDSA)
	head := h.header().with(members{"alg": "Ed25519", "jwk": h.jwk.with(members{"alg": "Ed25519"})})
	p, err := Check([]string{h.prove(t, head.json(t), good().json(t))}, want(), start)
	if err != nil || p.JKT != h.thumbprint(t) {
		t.Errorf("%+v, %v", p, err)
	}
	other := newHolder(t, token.ES256)
	for name, head := range map[string]members{
		"a key of another type":            h.header().with(members{"alg": "Ed25519", "jwk": other.jwk}),
		"a name that is nearly that":       h.header().with(members{"alg": "ed25519"}),
		"a key that is for something else": h.header().with(members{"alg": "Ed25519", "jwk": h.jwk.with(members{"alg": "Ed448"})}),
	} {
		if _, err := Check([]string{h.prove(t, head.json(t), good().json(t))}, want(), start); !errors.Is(err, ErrInvalidProof) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// One mutation for each check of RFC 9449 section 4.3 but the last half of the
// twelfth, which compares Proof.JKT, and what is near it.
func TestEachCheckRefuses(t *testing.T) {
	h := newHolder(t, token.ES256)
	head, say := h.header(), good()
	one := func(header, payload members) []string { return []string{h.prove(t, header.json(t), payload.json(t))} }
	fine := one(head, say)
	stranger := newHolder(t, token.ES256)
	tests := []struct {
		name   string
		values []string
		reason token.Reason
		code   error
		detail string
	}{
		{"1: no proof", nil, token.BindingMissing, ErrInvalidProof, "no DPoP header"},
		{"1: an empty one", []string{""}, token.BindingMissing, ErrInvalidProof, "no DPoP header"},
		{"1: two proofs", append(one(head, say), fine...), token.BindingMismatch, ErrInvalidProof, "2 DPoP headers"},
		{"2: two proofs in one header", []string{fine[0] + ", " + fine[0]}, token.BindingMismatch, ErrInvalidProof, "malformed"},
		{"2: not a JWT", []string{"proof"}, token.BindingMismatch, ErrInvalidProof, "malformed"},
		{"2: padded", []string{fine[0] + "="}, token.BindingMismatch, ErrInvalidProof, "malformed"},
		{"2: too large", one(head, say.with(members{"x": strings.Repeat("x", maxSize)})), token.BindingMismatch, ErrInvalidProof, "8192 are the most"},
		{"2: a payload that is no object", []string{h.prove(t, head.json(t), `[]`)}, token.BindingMismatch, ErrInvalidProof, "malformed"},
		{"3: no jti", one(head, say.with(members{"jti": nil})), token.BindingMismatch, ErrInvalidProof, "proof: jti"},
		{"3: an empty jti", one(head, say.with(members{"jti": ""})), token.BindingMismatch, ErrInvalidProof, "proof: jti"},
		{"3: an oversized jti", one(head, say.with(members{"jti": strings.Repeat("j", MaxID+1)})), token.BindingMismatch, ErrInvalidProof, "jti has 129 bytes"},
		{"3: a jti that is a number", one(head, say.with(members{"jti": 1})), token.BindingMismatch, ErrInvalidProof, "jti"},
		{"3: no htm, no htu", one(head, say.with(members{"htm": nil, "htu": nil})), token.BindingMismatch, ErrInvalidProof, "proof: htm, htu"},
		{"3: no iat", one(head, say.with(members{"iat": nil})), token.BindingMismatch, ErrInvalidProof, "proof: iat"},
		{"3: an iat that is text", one(head, say.with(members{"iat": "1"})), token.BindingMismatch, ErrInvalidProof, "iat"},
		{"3: no ath", one(head, say.with(members{"ath": nil})), token.BindingMismatch, ErrInvalidProof, "proof: ath"},
		{"4: another typ", one(head.with(members{"typ": "at+jwt"}), say), token.BindingMismatch, ErrInvalidProof, `typ is "at+jwt"`},
		{"4: no typ", one(head.with(members{"typ": nil}), say), token.BindingMismatch, ErrInvalidProof, `typ is ""`},
		{"4: typ in capitals", one(head.with(members{"typ": "DPoP+JWT"}), say), token.BindingMismatch, ErrInvalidProof, "typ"},
		{"5: alg none", one(head.with(members{"alg": "none"}), say), token.BindingMismatch, ErrInvalidProof, "alg"},
		{"5: alg of another key", one(head.with(members{"alg": "RS256"}), say), token.BindingMismatch, ErrInvalidProof, "not a key for alg RS256"},
		{"6: signed by another key", []string{stranger.prove(t, head.json(t), say.json(t))}, token.BindingMismatch, ErrInvalidProof, "signature"},
		{"6: no signature", []string{fine[0][:strings.LastIndexByte(fine[0], '.')+1]}, token.BindingMismatch, ErrInvalidProof, "malformed"},
		{"7: no jwk", one(head.with(members{"jwk": nil}), say), token.BindingMismatch, ErrInvalidProof, "no jwk"},
		{"7: a private jwk", one(head.with(members{"jwk": jwkOf(t, h.key)}), say), token.BindingMismatch, ErrInvalidProof, `private member "d"`},
		{"7: a jwk that is a secret", one(head.with(members{"jwk": members{"kty": "oct", "k": "c2VjcmV0"}}), say), token.BindingMismatch, ErrInvalidProof, `private member "k"`},
		{"8: htm of another method", one(head, say.with(members{"htm": "POST"})), token.BindingMismatch, ErrInvalidProof, `htm is "POST"`},
		{"8: htm in small letters", one(head, say.with(members{"htm": "get"})), token.BindingMismatch, ErrInvalidProof, `htm is "get"`},
		{"9: htu of another path", one(head, say.with(members{"htu": called + "1"})), token.BindingMismatch, ErrInvalidProof, "htu is"},
		{"10: no nonce", one(head, say.with(members{"nonce": nil})), token.BindingMissing, ErrUseNonce, "no nonce"},
		{"10: a nonce of somebody else", one(head, say.with(members{"nonce": "AAAAAAAAAAAAAAAAAAAAAA"})), token.BindingMissing, ErrUseNonce, "none of the last 5m0s"},
		{"10: an old nonce", one(head, say.with(members{"nonce": nonces().At(start.Add(-2 * slot))})), token.BindingMissing, ErrUseNonce, "none of the last 5m0s"},
		{"11: too old", one(head, say.with(members{"iat": at(-95).Unix(), "nonce": nonces().At(start.Add(-slot))})), token.BindingMismatch, ErrInvalidProof, "iat is 95 s old (at most 60 s): make"},
		{"11: too old, by a clock that is behind", one(head, say.with(members{"iat": at(-95).Unix()})), token.BindingMismatch, ErrInvalidProof, "clock is at least 94 s behind"},
		{"11: in the future", one(head, say.with(members{"iat": at(31).Unix()})), token.BindingMismatch, ErrInvalidProof, "iat is 31 s in the future (at most 30 s)"},
		{"12: ath of another token", one(head, say.with(members{"ath": digest("other")})), token.BindingMismatch, ErrInvalidProof, "ath"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Check(tt.values, want(), start)
			if !errors.Is(err, tt.reason) || !errors.Is(err, tt.code) || !strings.Contains(err.Error(), tt.detail) {
				t.Errorf("err = %v, want %s by %v with %q", err, tt.reason, tt.code, tt.detail)
			}
		})
	}
	if _, err := Check(fine, want(), start); err != nil {
		t.Errorf("unchanged: %v", err)
	}
}

// What RFC 7515, 7517 and the attacks of the field have to say about keys.
func TestKeysThatProveNothing(t *testing.T) {
	h := newHolder(t, token.ES256)
	head, say := h.header(), good().json(t)
	under := func(jwk members) string { return h.prove(t, head.with(members{"jwk": jwk}).json(t), say) }
	enc := base64.RawURLEncoding
	hs := func(secret []byte) string {
		text := enc.EncodeToString([]byte(head.with(members{"alg": "HS256"}).json(t))) + "." + enc.EncodeToString([]byte(say))
		return text + "." + enc.EncodeToString(mac(secret, text))
	}
	fine := h.prove(t, head.json(t), say)
	unsigned := fine[:strings.LastIndexByte(fine, '.')+1]
	small, odd := smallRSA(t), newCurve(t)
	x, _ := h.jwk["x"].(string)
	tests := map[string]string{
		"psychic signature":                    unsigned + enc.EncodeToString(make([]byte, 64)),
		"psychic signature, r and s the order": unsigned + enc.EncodeToString(append(elliptic.P256().Params().N.Bytes(), elliptic.P256().Params().N.Bytes()...)),
		"HS256 with the jwk as secret":         hs([]byte(h.jwk.json(t))),
		"HS256 with the coordinate as secret":  hs([]byte(x)),
		"RSA of 1024 bits":                     small.prove(t, small.header().json(t), say),
		"secp521r1":                            odd.prove(t, odd.header().json(t), say),
		"crv of another curve":                 under(h.jwk.with(members{"crv": "P-384"})),
		"a point that is on no curve":          under(h.jwk.with(members{"y": x})),
		"a coordinate with a leading zero":     under(h.jwk.with(members{"x": "AA" + x})),
		"use is enc":                           under(h.jwk.with(members{"use": "enc"})),
		"alg of the key is another":            under(h.jwk.with(members{"alg": "ES384"})),
		"no kty":                               under(h.jwk.with(members{"kty": nil})),
		"kty in small letters":                 under(h.jwk.with(members{"kty": "ec"})),
		"an empty private member":              under(h.jwk.with(members{"d": ""})),
		"jwk is null":                          h.prove(t, strings.Replace(head.json(t), h.jwk.json(t), "null", 1), say),
		"jwk is a list":                        h.prove(t, strings.Replace(head.json(t), h.jwk.json(t), "["+h.jwk.json(t)+"]", 1), say),
		"two jwk":                              h.prove(t, strings.Replace(head.json(t), "{", `{"jwk":`+h.jwk.json(t)+",", 1), say),
		"two typ":                              h.prove(t, strings.Replace(head.json(t), "{", `{"typ":"dpop+jwt",`, 1), say),
		"x twice in jwk":                       h.prove(t, strings.Replace(head.json(t), `"kty"`, `"x":"AA","kty"`, 1), say),
		"JWK beside jwk":                       h.prove(t, head.with(members{"JWK": h.jwk}).json(t), say),
		"crit":                                 h.prove(t, head.with(members{"crit": []string{"b64"}}).json(t), say),
		"two htu":                              h.prove(t, head.json(t), strings.Replace(say, "{", `{"htu":"https://evil.test/",`, 1)),
		"HTU beside htu":                       h.prove(t, head.json(t), good().with(members{"HTU": called}).json(t)),
		"an htu that is a list":                h.prove(t, head.json(t), good().with(members{"htu": []string{called}}).json(t)),
		"JSON serialization":                   `{"payload":"` + enc.EncodeToString([]byte(say)) + `"}`,
	}
	for name, raw := range tests {
		if _, err := Check([]string{raw}, want(), start); !errors.Is(err, token.BindingMismatch) || !errors.Is(err, ErrInvalidProof) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// smallRSA is a key from before 2014: the runtime makes none any more, so its
// primes are made here.
func smallRSA(t *testing.T) holder {
	t.Helper()
	p, err := rand.Prime(rand.Reader, 512)
	if err != nil {
		t.Fatal(err)
	}
	q, err := rand.Prime(rand.Reader, 512)
	if err != nil {
		t.Fatal(err)
	}
	n := new(big.Int).Mul(p, q)
	enc := base64.RawURLEncoding
	jwk := members{"kty": "RSA", "n": enc.EncodeToString(n.Bytes()), "e": "AQAB"}
	return holder{token.RS256, newHolder(t, token.RS256).key, jwk}
}

func newCurve(t *testing.T) holder {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return holder{token.ES256, key, jwkOf(t, key.Public())}
}

func TestACertificateInTheKeyIsNotLookedAt(t *testing.T) {
	h := newHolder(t, token.ES256)
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, h.key.Public(), h.key)
	if err != nil {
		t.Fatal(err)
	}
	for _, x5c := range []any{[]string{base64.StdEncoding.EncodeToString(der)}, []string{"forged"}, "forged"} {
		jwk := h.jwk.with(members{"x5c": x5c, "x5u": "https://evil.test/"})
		p, err := Check([]string{h.prove(t, h.header().with(members{"jwk": jwk}).json(t), good().json(t))}, want(), start)
		if err != nil || p.JKT != h.thumbprint(t) {
			t.Errorf("%v: %+v, %v", x5c, p, err)
		}
	}
}

func TestTheWindowOfIat(t *testing.T) {
	h := newHolder(t, token.ES256)
	w := want()
	w.Nonces = nil
	for seconds, ok := range map[int]bool{-61: false, -60: true, 0: true, 30: true, 31: false, -1e6: false, 1e6: false} {
		_, err := Check([]string{h.prove(t, h.header().json(t), good().with(members{"iat": at(seconds).Unix()}).json(t))}, w, start)
		if (err == nil) != ok {
			t.Errorf("iat at %+d s: %v", seconds, err)
		}
	}
}

// The key for single use and its end follow from what was signed and the URL,
// whatever the clock says, and its size is bounded.
func TestTheKeyOfAProof(t *testing.T) {
	h := newHolder(t, token.ES256)
	w := want()
	w.Nonces = nil
	proof := func(change members, now time.Time) Proof {
		t.Helper()
		p, err := Check([]string{h.prove(t, h.header().json(t), good().with(change).json(t))}, w, now)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	base := proof(nil, start)
	if again := proof(members{"htu": "HTTPS://API.test:443/orders/%37?x=y#z"}, at(60)); again != base {
		t.Errorf("%+v, want %+v", again, base)
	}
	if other := proof(members{"jti": "p2"}, start); other.Key == base.Key {
		t.Error("another jti has the same key")
	}
	if long := proof(members{"jti": strings.Repeat("j", MaxID)}, start); len(long.Key) != len(base.Key) {
		t.Errorf("the key of a long jti has %d bytes", len(long.Key))
	}
	w.URL = "https://api.test/orders/8"
	if other := proof(members{"htu": w.URL}, start); other.Key == base.Key {
		t.Error("another URL has the same key")
	}
	w.URL, h = called, newHolder(t, token.ES256)
	if other := proof(nil, start); other.Key == base.Key || other.JKT == base.JKT {
		t.Error("another client's key has the same key")
	}
}

func TestANonceThatIsNotDemandedIsNotLookedAt(t *testing.T) {
	h := newHolder(t, token.ES256)
	w := want()
	w.Nonces = nil
	for _, nonce := range []any{nil, "from elsewhere"} {
		if _, err := Check([]string{h.prove(t, h.header().json(t), good().with(members{"nonce": nonce}).json(t))}, w, start); err != nil {
			t.Errorf("nonce %v: %v", nonce, err)
		}
	}
}

func TestNonces(t *testing.T) {
	n := nonces()
	begin := start.Add(-time.Second) // of the slot
	first := n.At(begin)
	for _, tt := range []struct {
		name string
		at   time.Duration
		ok   bool
	}{
		{"at once", 0, true},
		{"in the next slot", 2*slot - time.Nanosecond, true},
		{"in the one after that", 2 * slot, false},
		{"by a host that is a little behind", -time.Second, true},
		{"before the slot before", -slot - time.Second, false},
	} {
		if n.Valid(first, begin.Add(tt.at)) != tt.ok {
			t.Errorf("%s: valid %v", tt.name, !tt.ok)
		}
	}
	other, err := NewNonces([]byte(strings.Repeat("o", minKey)))
	if err != nil || other.At(begin) == first || other.Valid(first, begin) {
		t.Errorf("nonces of another key: %v", err)
	}
	if n.At(begin.Add(slot)) == first || len(first) != 22 || n.Valid("", begin) {
		t.Errorf("nonce %q", first)
	}
	if _, err := NewNonces(make([]byte, minKey-1)); err == nil {
		t.Error("a short key is taken")
	}
}
