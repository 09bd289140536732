package oracle

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"strings"
)

// sign spells a token out of any header and payload with a good HS256 signature,
// so that what is in them decides.
func sign(header, payload string) string {
	message := b64(header) + "." + b64(payload)
	mac := hmac.New(sha256.New, secret())
	mac.Write([]byte(message))
	return message + "." + b64(string(mac.Sum(nil)))
}

const hs = `{"alg":"HS256"}`

// headers are JOSE headers, good ones and bad ones.
func headers() []string {
	list := []string{
		hs, `{"alg":"HS256","typ":"JWT"}`, `{"typ":"at+jwt","alg":"HS256","kid":"k"}`, ` { "alg" : "HS256" } `,
		`{"\u0061lg":"HS256"}`, `{"alg":"HS256","kid":"\u00e9\ud83d\ude00"}`, `{"alg":"HS256","x":[{"y":null}]}`,
		`{"alg":"HS256","kid":""}`, `{"alg":"HS256","jku":"https://evil.test/jwks"}`, `{"alg":"HS256","iss":"a"}`,
		`{"alg":"HS512"}`, `{"alg":"none"}`, `{"ALG":"HS256"}`, `{"alg":"HS256","Alg":"none"}`, `{"alg":"HS256","alg":"HS256"}`,
		`{"alg":"HS256","kid":1}`, `{"alg":"HS256","typ":null}`, `{}`, ``, `[]`, `null`, `"HS256"`, hs + hs, hs + "\x00",
		`{"alg":"HS256",}`, "{\"alg\":\"HS256\",\"x\":\"\xff\"}", `{"alg":"HS256","x":"\ud800"}`,
		`{"alg":"HS256","zip":"DEF"}`, `{"alg":"HS256","enc":"A128GCM"}`, `{"alg":"HS256","b64":false}`,
		`{"alg":"HS256","b64":false,"crit":["b64"]}`, `{"alg":"HS256","b64":true,"crit":["b64"]}`,
	}
	for _, crit := range []string{`[]`, `null`, `"exp"`, `["exp"]`, `["alg"]`, `["x"]`, `[1]`, `["kid","kid"]`} {
		list = append(list, `{"alg":"HS256","kid":"k","x":1,"exp":1,"crit":`+crit+`}`)
	}
	return list
}

// payloads are claims sets, good ones and bad ones.
func payloads() []string {
	list := []string{
		`{}`, ` { } `, typical, strings.ReplaceAll(typical, ",", " ,\n"), ``, ` `, `[]`, `null`, `1`, `"a"`, `{}{}`, `{}x`, "{}\x00", "\ufeff{}",
		`{"a":1,}`, `{,}`, `{"a"}`, `{"a":}`, `{a:1}`, `{'a':1}`, `{"a":01}`, `{"a":+1}`, `{"a":.5}`, `{"a":1.}`, `{"a":NaN}`,
		`{"a":-0}`, `{"a":1e999}`, `{"a":-0.5e-7}`, `{"a":12345678901234567890123}`, `{"a":tru}`, `{"a":[1,]}`, `{"a":[1 2]}`,
		`{"a":"\u0000"}`, `{"a":"\ud83d\ude00"}`, `{"a":"\ud83d"}`, `{"a":"\ude00\ud83d"}`, `{"a":"\x"}`, "{\"a\":\"\n\"}",
		"{\"a\":\"\xff\"}", "{\"\xff\":1}", "{\"a\":\"\xed\xa0\x80\"}", "{\"a\":\"\u2028\"}", "{\"a\":\"\x7f\"}", "{\"a\":\v1}",
		`{"a":1,"a":2}`, `{"a":{"b":1,"b":1}}`, `{"a":1,"\u0061":2}`, `{"a":1,"A":2}`, `{"":1}`, `{"":1,"":2}`,
		`{"exp":1,"Exp":99999999999}`, `{"exp":1,"exp":99999999999}`, `{"Exp":99999999999}`, `{"aud":"other","AUD":"me"}`,
		"{\"i\u017fs\":\"me\"}", `{"i\u017fs":"me","iss":"you"}`, "{\"\u212a\":1,\"k\":2}",
		`{"cnf":{"jkt":"a"}}`, `{"cnf":{"jkt":"a","JKT":"b"}}`, `{"cnf":null}`, `{"cnf":1}`,
		`{"a":` + strings.Repeat("[", 31) + strings.Repeat("]", 31) + `}`,
		`{"a":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + `}`,
		strings.Repeat(`{"a":`, 9000) + "1" + strings.Repeat("}", 9000),
	}
	for _, name := range []string{"iss", "sub", "jti", "aud", "exp", "iat", "nbf", "scope", "scp", "client_id", "sid", "auth_time"} {
		for _, value := range values() {
			list = append(list, fmt.Sprintf(`{%q:%s}`, name, value))
		}
	}
	return list
}

const typical = `{"iss":"https://tokens.example.com","sub":"service-a","aud":["https://service-b.example.com","x"],"client_id":"service-a",` +
	`"jti":"b2f1c7d9e0a34856","iat":1700000000,"nbf":1699999990.5,"exp":1.7000003e9,"scope":"orders.read","act":{"sub":"c"}}`

func values() []string {
	return []string{
		`null`, `true`, `"a"`, `""`, `"\u0061\n"`, `"1700000000"`, `"2026-11-22T10:00:00Z"`, `{}`, `{"a":1}`,
		`[]`, `[null]`, `["a"]`, `["a","b"]`, `["a","a"]`, `["a",1]`, `[["a"]]`, `["a",null]`,
		`0`, `-0`, `1`, `-1`, `1700000000`, `1700000000.5`, `1.7e9`, `17E+8`, `0.9999999`, `1e-400`, `1e400`, `1e18`, `-1e18`,
		`253402300799`, `253402300800`, `9007199254740993`, `18446744073709551616`, `1700000000.999999`,
	}
}

// edit makes one to three random edits to s.
func edit(r *rand.Rand, s string) string {
	for range 1 + r.IntN(3) {
		i := r.IntN(len(s) + 1)
		switch r.IntN(4) {
		case 0: // put something in
			s = s[:i] + bits[r.IntN(len(bits))] + s[i:]
		case 1: // take some out
			s = s[:i] + s[min(len(s), i+1+r.IntN(3)):]
		case 2: // change one byte
			if i < len(s) {
				s = s[:i] + string([]byte{byte(r.IntN(256))}) + s[i+1:]
			}
		case 3: // repeat a piece elsewhere
			k := r.IntN(len(s) + 1)
			s = s[:i] + s[min(i, k):max(i, k)] + s[i:]
		}
	}
	return s
}

// bits are what readers of JSON disagree about.
var bits = []string{
	"{", "}", "[", "]", ",", ":", `"`, `\`, "0", "-", "e", ".", " ", "\n", "\x00", "\xff", "\u017f", `\u0061`, `\ud800`, "null",
	`"exp":1,`, `"Exp":1,`, `"aud":"b",`, `"iss":null,`, `"sub":"\u0000",`, `"a":1,`, `{"a":[1,2]}`, "1e5", "A", "//", "'",
}
