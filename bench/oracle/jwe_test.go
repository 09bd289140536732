package oracle

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/longcase/longcase/token"
)

// encrypted are real encrypted tokens (RFC 7516) and what looks like them: to
// the service's public keys, to secrets that everybody knows, compressed or not
// (CVE-2024-28180, CVE-2026-34986).
func encrypted(f *forger) {
	inner := good(f.T, pairs()[token.ES256])
	encs := []jose.ContentEncryption{jose.A128CBC_HS256, jose.A192CBC_HS384, jose.A256CBC_HS512, jose.A128GCM, jose.A192GCM, jose.A256GCM}
	for alg, keyAlgs := range map[token.Algorithm][]jose.KeyAlgorithm{
		token.RS256: {jose.RSA1_5, jose.RSA_OAEP, jose.RSA_OAEP_256},
		token.ES256: {jose.ECDH_ES, jose.ECDH_ES_A128KW, jose.ECDH_ES_A192KW, jose.ECDH_ES_A256KW},
		token.ES384: {jose.ECDH_ES, jose.ECDH_ES_A256KW},
		token.HS256: {jose.A256KW, jose.A256GCMKW, jose.PBES2_HS256_A128KW},
	} {
		for _, keyAlg := range keyAlgs {
			for _, enc := range encs {
				for _, zip := range []jose.CompressionAlgorithm{jose.NONE, jose.DEFLATE} {
					for _, text := range []string{inner, goodClaims(), strings.Repeat("0", 1<<20)} {
						f.add(fmt.Sprintf("encrypted with %s, %s, %s", keyAlg, enc, zip), pairs()[alg], encryptTo(f.T, pairs()[alg], keyAlg, enc, zip, text))
					}
				}
			}
		}
	}
	lookEncrypted(f)
}

func encryptTo(t *testing.T, p pair, alg jose.KeyAlgorithm, enc jose.ContentEncryption, zip jose.CompressionAlgorithm, text string) string {
	t.Helper()
	opts := (&jose.EncrypterOptions{Compression: zip}).WithType("at+jwt").WithContentType("JWT")
	e, err := jose.NewEncrypter(enc, jose.Recipient{Algorithm: alg, Key: p.pub, KeyID: "k", PBES2Count: 1000}, opts)
	if err != nil {
		t.Fatalf("%s: %v", alg, err)
	}
	object, err := e.Encrypt([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", alg, err)
	}
	return must(object.CompactSerialize())
}

// lookEncrypted have five parts, or say that they are encrypted or compressed.
func lookEncrypted(f *forger) {
	bomb := deflated(strings.Repeat(" ", 4<<20) + goodClaims())
	for _, alg := range []string{"dir", "RSA-OAEP", "A256KW", "PBES2-HS512+A256KW", "ECDH-ES", "none", "@alg"} {
		for _, parameters := range []string{``, `,"zip":"DEF"`, `,"p2c":2147483647,"p2s":"AAAA"`, `,"epk":{}`, `,"epk":null`, `,"iv":"","tag":""`, `,"apu":1`} {
			p := f.next()
			header := b64(strings.ReplaceAll(`{"alg":"`+alg+`","enc":"A256GCM","kid":"k"`+parameters+`}`, "@alg", string(p.alg)))
			for _, rest := range []string{"....", "..AAAA.AAAA.AAAA", ".AAAA.AAAA." + b64(bomb) + ".AAAA", ".." + b64(goodClaims()) + ".."} {
				f.add("looks encrypted", p, header+rest)
			}
			f.add("looks encrypted and is signed", p, signLike(f, p, header+"."+b64(goodClaims())))
		}
	}
	for _, zip := range []string{`"DEF"`, `"def"`, `"GZ"`, `"GZIP"`, `""`, "null", "true", "1", `["DEF"]`} {
		for _, payload := range []string{goodClaims(), deflated(goodClaims()), gzipped(goodClaims()), bomb} {
			f.signed("zip "+zip, `,"zip":`+zip, payload)
		}
	}
	for _, payload := range []string{deflated(goodClaims()), gzipped(goodClaims()), bomb} {
		f.signed("compressed and silent about it", "", payload)
	}
}

// signLike signs a message whose header is somebody else's.
func signLike(f *forger, p pair, message string) string {
	if p.alg == token.HS256 {
		p = pairs()[token.ES256]
	}
	return signWith(f.T, p, message)
}

func deflated(s string) string {
	var b bytes.Buffer
	w := must(flate.NewWriter(&b, flate.BestCompression))
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.String()
}

func gzipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.String()
}

// critical ask for extensions that nobody here honours (RFC 7515 section 4.1.11,
// RFC 7797).
func critical(f *forger) {
	for _, name := range []string{"b64", "exp", "iat", "alg", "kid", "typ", "crit", "jku", "http://example.com/x", "x", "", "sigT", "url", "nonce"} {
		for _, list := range []string{`["` + name + `"]`, `["` + name + `","` + name + `"]`, `"` + name + `"`, `{"` + name + `":true}`, `["x","` + name + `"]`, `[["` + name + `"]]`} {
			for _, value := range []string{"", "true", "false", "null", "1"} {
				parameters := `,"crit":` + list
				if value != "" && name != "alg" && name != "kid" && name != "typ" && name != "crit" {
					parameters += `,"` + name + `":` + value
				}
				f.signed("crit "+list, parameters, goodClaims())
			}
		}
	}
	for _, value := range []string{"[]", "null", "true", "0", `""`, "{}", "[null]", "[0]", "[{}]"} {
		f.signed("crit "+value, `,"crit":`+value, goodClaims())
	}
	for _, value := range []string{"true", "false", "null", "0", `"false"`, "[]"} {
		for _, crit := range []string{"", `,"crit":["b64"]`} {
			f.signed("b64 "+value, `,"b64":`+value+crit, goodClaims())
			p := f.next()
			header := b64(p.header(`,"b64":` + value + crit))
			for _, payload := range []string{goodClaims(), strings.ReplaceAll(goodClaims(), ".", "%2e"), ""} {
				signature := strings.TrimPrefix(p.signMessage(f.T, header+"."+payload), header+"."+payload)
				f.add("payload as it is, b64 "+value, p, header+"."+payload+signature)
				f.add("payload apart, b64 "+value, p, header+"."+signature)
			}
		}
	}
}

// wrapped are tokens in other serializations (RFC 7515 section 7.2), tokens in
// tokens, and tokens with something around them.
func wrapped(f *forger) {
	for _, alg := range algorithms() {
		p := pairs()[alg]
		raw := good(f.T, p)
		header, payload, signature := parts(raw)
		one := fmt.Sprintf(`{"payload":%q,"protected":%q,"signature":%q}`, payload, header, signature)
		two := fmt.Sprintf(`{"payload":%q,"signatures":[{"protected":%q,"signature":%q}]}`, payload, header, signature)
		bare := fmt.Sprintf(`{"payload":%q,"header":%s,"signature":%q}`, payload, p.header(""), signature)
		quoted := string(must(json.Marshal(raw)))
		for _, text := range []string{one, two, bare, quoted} {
			f.add("another serialization", p, text)
			f.add("another serialization in base64", p, b64(text))
			f.add("another serialization as payload", p, p.forge(f.T, p.header(""), text))
		}
		for _, cty := range []string{"JWT", "jwt", "application/jwt", "JOSE", "JOSE+JSON", ""} {
			f.add("a token in a token", p, p.forge(f.T, p.header(`,"cty":"`+cty+`"`), raw))
			f.add("a token in a token in a token", p, p.forge(f.T, p.header(`,"cty":"`+cty+`"`), p.forge(f.T, p.header(`,"cty":"JWT"`), raw)))
		}
		f.add("no payload", p, header+".."+signature)
		f.add("no payload, rightly signed", p, p.signMessage(f.T, header+"."))
		f.add("no header", p, "."+payload+"."+signature)
		f.add("no header, rightly signed", p, p.signMessage(f.T, "."+payload))
		for _, around := range [][2]string{
			{`"`, `"`}, {"'", "'"}, {"<", ">"}, {"[", "]"}, {"Bearer ", ""}, {"bearer%20", ""}, {"token=", ""}, {"", ";"}, {"", "#x"}, {"", "?x"}, {"", "&x=1"}, {"", ","}, {"", "/"}, {"\ufeff", ""}, {"\u200b", ""}, {"", "\u200b"},
			{"", "~"}, {"", "~WyJhIl0~"}, {"v4.public.", ""}, {"", "." + raw}, {raw + ".", ""}, {"", "," + raw}, {"\x00", ""}, {"", "\x00"}, {"DPoP ", ""}, {"", "\n"}, {"\r\n", ""}, {"\t", ""},
		} {
			f.add(fmt.Sprintf("between %q and %q", clip(around[0]), clip(around[1])), p, around[0]+raw+around[1])
		}
	}
}

// otherKinds are tokens of other kinds than access tokens (RFC 8725 sections
// 3.11 and 3.12).
func otherKinds(f *forger) {
	for _, typ := range []string{
		"dpop+jwt", "logout+jwt", "secevent+jwt", "token-introspection+jwt", "statuslist+jwt", "wit+jwt", "txntoken+jwt", "oauth-authz-req+jwt", "id+jwt", "rt+jwt", "client-authentication+jwt", "entity-statement+jwt",
		"JOSE", "JOSE+JSON", "none", "at", "at jwt", "at+jwt ", " at+jwt", "at+jwt;v=1", "at+jwt\\u0000", "application/at+jwt ", "application/jwt+at", "application/application/at+jwt", "text/at+jwt", "at+jwt,JWT", "at＋jwt", "аt+jwt", "at%2Bjwt", "*",
	} {
		for range 2 {
			f.headed("typ "+typ, `{"alg":"@alg","kid":"k","typ":"`+typ+`"}`)
		}
	}
	for _, value := range []string{`""`, "null", "1", "true", `["at+jwt"]`, `{"at+jwt":1}`} {
		f.headed("typ "+value, `{"alg":"@alg","kid":"k","typ":`+value+`}`)
	}
	for _, header := range []string{`{"alg":"@alg","kid":"k","typ":"JWT"}`, `{"alg":"@alg","kid":"k","typ":"jwt"}`, `{"alg":"@alg","kid":"k"}`} {
		f.headed("typ of anything", header)
		f.set[len(f.set)-1].strict = true
	}
}
