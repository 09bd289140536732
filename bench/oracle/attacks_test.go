package oracle

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/longcase/longcase/jwks"
	"github.com/longcase/longcase/token"
)

// An attack is a token that must be refused, and why somebody would try it.
type attack struct {
	name string
	alg  token.Algorithm
	raw  string

	strict bool // refused with profile rfc9068 only
}

// attackOn is an attack that begins with the good token of alg, which is its
// control: it is accepted.
func attackOn(name string, alg token.Algorithm, raw string) attack {
	return attack{name: name, alg: alg, raw: raw}
}

const (
	us    = "https://tokens.example.com"
	me    = "https://service-b.example.com"
	epoch = 1_700_000_000 // now
)

func now() time.Time { return time.Unix(epoch, 0) }

// goodClaims are accepted as they are.
func goodClaims() string {
	return fmt.Sprintf(`{"iss":%q,"sub":"s","aud":%q,"client_id":"c","jti":"j","iat":%d,"exp":%d,"scope":"orders.read"}`,
		us, me, epoch, epoch+300)
}

// forge signs any header and payload rightly with the pair's own key.
func (p pair) forge(t *testing.T, header, payload string) string {
	t.Helper()
	return p.signMessage(t, b64(header)+"."+b64(payload))
}

func (p pair) header(more string) string {
	return fmt.Sprintf(`{"alg":%q,"kid":"k","typ":"at+jwt"%s}`, string(p.alg), more)
}

// ambiguous are payloads and headers that two readers take for two different
// things, or that say what the service must not accept, rightly signed.
func ambiguous(t *testing.T, p pair) []attack {
	t.Helper()
	var all []attack
	add := func(name, header, payload string) {
		all = append(all, attackOn(name, p.alg, p.forge(t, header, payload)))
	}
	for name, payload := range badPayloads() {
		add(name, p.header(""), payload)
	}
	for name, more := range badParameters() {
		add(name, p.header(more), goodClaims())
	}
	for _, typ := range []string{`"typ":"JWT"`, `"typ":"dpop+jwt"`, `"typ":"logout+jwt"`, `"typ":""`, `"typ":"at+jwt "`, `"x":1`} {
		add("typ "+typ, fmt.Sprintf(`{"alg":%q,"kid":"k",%s}`, string(p.alg), typ), goodClaims())
	}
	return all
}

func badPayloads() map[string]string {
	good := goodClaims()
	with := func(member string) string { return strings.Replace(good, "{", "{"+member+",", 1) }
	swap := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	exp := fmt.Sprintf(`"exp":%d`, epoch+300)
	bad := map[string]string{
		"exp twice, the dead one first":         with(`"exp":1`),
		"exp twice, the dead one last":          swap(exp, exp+`,"exp":1`),
		"exp in another case":                   swap(exp, fmt.Sprintf(`"exp":1,"Exp":%d`, epoch+300)),
		"exp only in another case":              swap("exp", "EXP"),
		"exp escaped twice":                     with(`"\u0065xp":1`),
		"aud twice":                             with(`"aud":"other"`),
		"aud in another case":                   swap(`"aud":"`+me, `"aud":"other","AUD":"`+me),
		"aud with a null":                       swap(`"`+me+`"`, `["`+me+`",null]`),
		"aud of nulls":                          swap(`"`+me+`"`, `[null]`),
		"aud empty":                             swap(`"`+me+`"`, `[]`),
		"aud of two":                            swap(`"`+me+`"`, `["`+me+`","other"]`),
		"aud longer":                            swap(me, me+"/"),
		"aud in upper case":                     swap(me, strings.ToUpper(me)),
		"aud an object":                         swap(`"`+me+`"`, `{"`+me+`":1}`),
		"iss with a slash":                      swap(us, us+"/"),
		"iss in another case":                   swap(us, "https://Tokens.example.com"),
		"iss with a long s":                     swap(`"iss"`, "\"i\u017fs\""),
		"iss null":                              swap(`"`+us+`"`, "null"),
		"iss array":                             swap(`"`+us+`"`, `["`+us+`"]`),
		"exp as text":                           swap(exp, fmt.Sprintf(`"exp":"%d"`, epoch+300)),
		"exp as a date":                         swap(exp, `"exp":"2099-01-01T00:00:00Z"`),
		"exp null":                              swap(exp, `"exp":null`),
		"exp too large for a float":             swap(exp, `"exp":1e400`),
		"exp too large for an integer":          swap(exp, `"exp":18446744073709551616`),
		"exp in milliseconds":                   swap(exp, fmt.Sprintf(`"exp":%d`, (epoch+300)*1000)),
		"exp negative":                          swap(exp, `"exp":-1`),
		"exp over":                              swap(exp, fmt.Sprintf(`"exp":%d`, epoch-61)),
		"exp a year away":                       swap(exp, fmt.Sprintf(`"exp":%d`, epoch+365*86400)),
		"nbf a day away":                        with(fmt.Sprintf(`"nbf":%d`, epoch+86400)),
		"nbf null":                              with(`"nbf":null`),
		"iat a day away":                        swap(fmt.Sprintf(`"iat":%d`, epoch), fmt.Sprintf(`"iat":%d`, epoch+86400)),
		"bound to a key that is not shown":      with(`"cnf":{"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}`),
		"bound to a certificate that is not":    with(`"cnf":{"x5t#S256":"A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"}`),
		"bound in another case":                 with(`"cnf":{"JKT":"x"}`),
		"unknown member twice":                  with(`"x":1,"x":2`),
		"a member twice, deep":                  with(`"x":[{"y":{"z":1,"z":2}}]`),
		"33 levels":                             with(`"x":` + strings.Repeat("[", 32) + strings.Repeat("]", 32)),
		"2000 levels":                           with(`"x":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000)),
		"invalid UTF-8":                         with("\"x\":\"\xff\""),
		"a lone surrogate":                      with(`"x":"\ud800"`),
		"a NUL after":                           good + "\x00",
		"another object after":                  good + `{}`,
		"an array":                              "[" + good + "]",
		"nothing":                               "",
		"null":                                  "null",
		"a token in a token":                    a1(),
		"a number too large for a float":        with(`"x":1e999`),
		"a comma too many":                      strings.TrimSuffix(good, "}") + ",}",
		"a comment":                             strings.Replace(good, "{", "{/**/", 1),
		"a byte order mark":                     "\ufeff" + good,
		"scope of two in one item":              swap(`"orders.read"`, `["orders.read admin"]`),
		"jti of the wrong type":                 swap(`"j"`, `1`),
		"client_id null":                        swap(`"client_id":"c"`, `"client_id":null`),
		"sub an object":                         swap(`"s"`, `{"a":"s"}`),
		"a control character in the text":       swap(`"s"`, "\"s\n\""),
		"larger than 16 KiB":                    with(`"x":"` + strings.Repeat("x", 16384) + `"`),
		"larger than a mebibyte":                with(`"x":"` + strings.Repeat("x", 1<<20) + `"`),
		"act in another case beside the true":   with(`"act":{"sub":"a"},"Act":{"sub":"b"}`),
		"scope in another case beside the true": with(`"Scope":"admin"`),
	}
	for _, name := range []string{"iss", "sub", "aud", "client_id", "jti", "iat", "exp"} {
		bad["without "+name] = strings.Replace(good, `"`+name+`"`, `"x`+name+`"`, 1)
	}
	return bad
}

// a1 is the token of RFC 7515 A.1, as a payload.
func a1() string { return b64(hs) + "." + b64(`{}`) + "." + b64("x") }

func badParameters() map[string]string {
	return map[string]string{
		"crit unknown":      `,"crit":["exp2"],"exp2":1`,
		"crit empty":        `,"crit":[]`,
		"crit in the clear": `,"crit":["kid"]`,
		"crit null":         `,"crit":null`,
		"b64 false":         `,"b64":false,"crit":["b64"]`,
		"b64 alone":         `,"b64":false`,
		"zip":               `,"zip":"DEF"`,
		"enc":               `,"enc":"A256GCM"`,
		"alg twice":         `,"alg":"none"`,
		"alg in upper case": `,"ALG":"none"`,
		"alg escaped":       `,"\u0061lg":"none"`,
		"kid twice":         `,"kid":"other"`,
		"kid in upper case": `,"KID":"other"`,
		"unknown twice":     `,"x":1,"x":1`,
		"33 levels":         `,"x":` + strings.Repeat("[", 32) + strings.Repeat("]", 32),
	}
}

// confused are tokens signed by somebody who has only what is public.
func confused(t *testing.T) []attack {
	t.Helper()
	var all []attack
	for _, alg := range algorithms() {
		p := pairs()[alg]
		for _, secret := range publicBytes(t, p) {
			message := b64(`{"alg":"HS256","kid":"k","typ":"at+jwt"}`) + "." + b64(goodClaims())
			mac := hmac.New(sha256.New, secret)
			mac.Write([]byte(message))
			all = append(all, attackOn("public key as HS256 secret", alg, message+"."+b64(string(mac.Sum(nil)))))
		}
		for _, none := range []string{"none", "None", "NONE", "nOnE", "none ", "", "HS1", "RS1", "ES256K", "A128KW", "dir"} {
			message := b64(fmt.Sprintf(`{"alg":%q,"kid":"k","typ":"at+jwt"}`, none)) + "." + b64(goodClaims())
			for _, sig := range []string{".", "", ".AA", "." + b64("x")} {
				all = append(all, attackOn("alg "+none, alg, message+sig))
			}
		}
		for _, other := range algorithms() {
			if other != alg {
				good := strings.Split(p.forge(t, p.header(""), goodClaims()), ".")
				raw := b64(pairs()[other].header("")) + "." + good[1] + "." + good[2]
				all = append(all, attackOn("signature of "+string(alg), other, raw))
			}
		}
	}
	return append(all, strangers(t)...)
}

// publicBytes are the forms in which a public key lies about.
func publicBytes(t *testing.T, p pair) [][]byte {
	t.Helper()
	if p.alg == token.HS256 {
		return [][]byte{nil, []byte("secret"), make([]byte, 32), {0}}
	}
	der, err := x509.MarshalPKIXPublicKey(p.pub)
	if err != nil {
		t.Fatal(err)
	}
	set, err := jwks.Marshal([]token.Key{p.signer.Key()})
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	return [][]byte{der, text, text[:len(text)-1], set}
}

// strangers are tokens signed with a key of the attacker's own, which the header
// offers in every way there is, and with signatures that need no key.
func strangers(t *testing.T) []attack {
	t.Helper()
	mine := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	x, y := coordinates(t, mine)
	jwk := fmt.Sprintf(`{"kty":"EC","crv":"P-256","x":%q,"y":%q}`, x, y)
	p := pair{token.ES256, must(token.NewSigner("k", token.ES256, mine)), mine.Public(), mine}
	var all []attack
	for _, more := range []string{
		``, `,"jwk":` + jwk, `,"jku":"https://evil.test/jwks"`, `,"x5u":"https://evil.test/x5u"`, `,"x5c":["AAAA"]`,
	} {
		all = append(all, attackOn("own key"+more, token.ES256, p.forge(t, p.header(more), goodClaims())))
	}
	for _, kid := range []string{"", "other", "../../dev/null", "/dev/null", "k' OR '1'='1", "k\\u0000", strings.Repeat("k", 8000)} {
		header := fmt.Sprintf(`{"alg":"ES256","kid":"%s","typ":"at+jwt"}`, kid)
		all = append(all, attackOn("kid", token.ES256, p.forge(t, header, goodClaims())))
	}
	message := b64(p.header("")) + "." + b64(goodClaims()) + "."
	order := elliptic.P256().Params().N
	for _, r := range []*big.Int{new(big.Int), big.NewInt(1), order, new(big.Int).Sub(order, big.NewInt(1))} {
		for _, s := range []*big.Int{new(big.Int), big.NewInt(1), order} {
			sig := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
			all = append(all, attackOn("psychic signature", token.ES256, message+b64(string(sig))))
		}
	}
	return append(all, inASN1(t))
}

// inASN1 is a good signature in the wrong form.
func inASN1(t *testing.T) attack {
	t.Helper()
	p := pairs()[token.ES256]
	raw := p.forge(t, p.header(""), goodClaims())
	dot := strings.LastIndexByte(raw, '.')
	sig := must(base64.RawURLEncoding.DecodeString(raw[dot+1:]))
	der := must(asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])}))
	return attackOn("signature in ASN.1", token.ES256, raw[:dot+1]+b64(string(der)))
}

// edited are all tokens one small edit away from a good one.
func edited(t *testing.T, p pair) []attack {
	t.Helper()
	good := p.forge(t, p.header(""), goodClaims())
	var all []attack
	for i := range len(good) {
		edits := []string{good[:i] + good[i+1:], good[:i] + good[i:i+1] + good[i:], good[:i]}
		for _, skipped := range "=\n\r \t\x00?." {
			edits = append(edits, good[:i]+string(skipped)+good[i:])
		}
		if p.alg != token.ES384 || i%20 == 0 {
			edits = append(edits, good[:i]+string(next(good[i], 1))+good[i+1:], good[:i]+string(next(good[i], 32))+good[i+1:])
		}
		for _, raw := range edits {
			all = append(all, attackOn(fmt.Sprintf("edited at %d", i), p.alg, raw))
		}
	}
	return all
}

// next is another character of base64url, or the dot's neighbour.
func next(c byte, by int) byte {
	const all = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	i := strings.IndexByte(all, c)
	return all[(i+by)%len(all)]
}

func coordinates(t *testing.T, key *ecdsa.PrivateKey) (x, y string) {
	t.Helper()
	k, err := token.NewKey("", token.ES256, key.Public())
	if err != nil {
		t.Fatal(err)
	}
	data, err := jwks.Marshal([]token.Key{k})
	if err != nil {
		t.Fatal(err)
	}
	var set struct{ Keys []struct{ X, Y string } }
	if err := json.Unmarshal(data, &set); err != nil || len(set.Keys) != 1 {
		t.Fatalf("%s: %v", data, err)
	}
	return set.Keys[0].X, set.Keys[0].Y
}
