package oracle

import (
	"fmt"
	"strings"
)

// duplicates name a member twice: the very same, in another case, escaped, or
// with a letter that folds to the right one. One reader takes the first, another
// the last (RFC 8259 section 4, RFC 7519 section 4).
func duplicates(f *forger) {
	for _, name := range []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "client_id", "scope", "scp", "sid", "cnf", "act", "may_act", "azp", "nonce", "auth_time"} {
		same, other := membersOf(name)
		for _, spelled := range twins(name) {
			for _, value := range []string{same, other} {
				member := `"` + spelled + `":` + value
				first := goodClaims()
				if !strings.Contains(first, `"`+name+`":`) {
					first = with(`"` + name + `":` + same)
				}
				f.signed(name+" twice, first as "+spelled, "", strings.Replace(first, "{", "{"+member+",", 1))
				f.signed(name+" twice, last as "+spelled, "", strings.TrimSuffix(first, "}")+","+member+"}")
			}
		}
		for _, spelled := range append(cases(name), folds(name)...) {
			f.signed(name+" only as "+spelled, "", without(name, `"`+spelled+`":`+same))
		}
	}
	headerTwins(f)
	deep(f)
}

// twins are what a reader may take for name, itself included.
func twins(name string) []string {
	upper := strings.ToUpper(name)
	list := append([]string{name, upper, strings.ToUpper(name[:1]) + name[1:], name[:len(name)-1] + upper[len(name)-1:]}, folds(name)...)
	return append(list, escapes(name)...)
}

// folds spell name with letters outside ASCII that fold to it.
func folds(name string) []string {
	var list []string
	for plain, strange := range map[string]string{"s": "\u017f", "k": "\u212a"} {
		if strings.Contains(name, plain) {
			list = append(list, strings.Replace(name, plain, strange, 1), strings.ReplaceAll(name, plain, strange))
		}
	}
	return list
}

// membersOf are the value of a claim in goodClaims, or a likely one, and one
// that must not count.
func membersOf(name string) (same, other string) {
	values := map[string][2]string{
		"iss": {`"` + us + `"`, `"` + them + `"`}, "aud": {`"` + me + `"`, `"other"`}, "sub": {`"s"`, `"admin"`},
		"exp": {fmt.Sprint(epoch + 300), fmt.Sprint(epoch + 3000)}, "iat": {fmt.Sprint(epoch), "1"}, "nbf": {fmt.Sprint(epoch), fmt.Sprint(epoch + 86400)},
		"auth_time": {fmt.Sprint(epoch), "1"}, "cnf": {`{"kid":"a"}`, `{"jkt":"a"}`}, "act": {`{"sub":"a"}`, `{"sub":"b"}`}, "may_act": {`{"sub":"a"}`, "null"},
		"client_id": {`"c"`, `"admin"`}, "jti": {`"j"`, `"other"`}, "scope": {`"orders.read"`, `"admin"`},
	}
	if v, ok := values[name]; ok {
		return v[0], v[1]
	}
	return `"a"`, `"b"`
}

func headerTwins(f *forger) {
	for name, values := range map[string][2]string{
		"alg": {`"@alg"`, `"none"`}, "kid": {`"k"`, `"other"`}, "typ": {`"at+jwt"`, `"JWT"`}, "cty": {`"x"`, `"JWT"`}, "jwk": {`{}`, `{"kty":"oct"}`},
		"crit": {`[]`, `["exp"]`}, "x5c": {`[]`, `["AAAA"]`}, "jku": {`"https://a.test"`, `"https://b.test"`}, "enc": {`"A256GCM"`, `"x"`},
	} {
		for _, spelled := range twins(name) {
			for _, value := range values {
				rest := `"alg":"@alg","kid":"k","typ":"at+jwt"`
				if !strings.Contains(rest, `"`+name+`"`) {
					rest += `,"` + name + `":` + values[0]
				}
				f.headed(name+" twice, first as "+spelled, `{"`+spelled+`":`+value+`,`+rest+`}`)
				f.headed(name+" twice, last as "+spelled, `{`+rest+`,"`+spelled+`":`+value+`}`)
			}
		}
	}
}

// deep hides the twice named member further down.
func deep(f *forger) {
	for depth := 1; depth <= 30; depth++ {
		twice := `{"a":1,"a":2}`
		f.signed("twice in objects", "", with(`"x":`+strings.Repeat(`{"y":`, depth-1)+twice+strings.Repeat("}", depth-1)))
		f.signed("twice in arrays", "", withLast(`"x":`+strings.Repeat("[", depth-1)+twice+strings.Repeat("]", depth-1)))
		f.signed("twice in the header", `,"x":`+strings.Repeat("[", depth-1)+`{"\u0061":1,"a":2}`+strings.Repeat("]", depth-1), goodClaims())
	}
	for _, count := range []int{2, 15, 16, 17, 18, 100, 500} { // small objects and large ones are kept in different ways
		var many strings.Builder
		for i := range count {
			fmt.Fprintf(&many, `"m%d":%d,`, i, i)
		}
		for _, again := range []int{0, count / 2, count - 1} {
			f.signed(fmt.Sprintf("one of %d twice", count), "", with(many.String()+fmt.Sprintf(`"m%d":0`, again)))
			f.signed(fmt.Sprintf("one of %d twice, below", count), "", with(`"x":{`+many.String()+fmt.Sprintf(`"m%d":0}`, again)))
		}
	}
}

// numbers are spellings of times that are no number, or no time.
func numbers(f *forger) {
	soon := fmt.Sprint(epoch + 300)
	never := []string{
		"NaN", "nan", "Infinity", "-Infinity", "inf", "+1", "+" + soon, "0" + soon, "00", "01", "-01", "0x" + fmt.Sprintf("%x", epoch+300), "0b1", "0o17", soon + "n", soon + "L",
		soon + ".", ".5", soon + "e", soon + "e+", soon + "e-", "1e1.5", "1_700_000_300", "1,700,000,300", "1 700000300", "--1", "-", "+", "e5", "1e309", "1e999", "-1e309", "1E+400",
		"1e99999999999999999999", "-1", "-0.5", "-" + soon, "-1e-400", "1e18", "1e300", "253402300801", "9007199254740993000", "9223372036854775807", "9223372036854775808", "18446744073709551615",
		"18446744073709551616", strings.Repeat("9", 309), strings.Repeat("9", 4000), soon + "000", soon + "000000", "１７００００００３００", "١٧٠٠٠٠٠٣٠٠", soon + "/**/", soon + "//", "(" + soon + ")",
		`"` + soon + `"`, `"` + soon + `.0"`, `"2099-01-01T00:00:00Z"`, `"never"`, `""`, `"0"`, `"NaN"`, "null", "true", "false", "[]", "[" + soon + "]", "{}", `{"$date":` + soon + `}`, "undefined", "None", soon + "s",
		soon + "\u00a0", soon + "\u2028", soon + "\v", "\ufeff" + soon, soon + `\u0030`, "'" + soon + "'",
	}
	for _, name := range []string{"exp", "nbf", "iat", "auth_time"} {
		for _, value := range never {
			f.signed(name+" as "+clip(value), "", without(name, `"`+name+`":`+value))
		}
	}
	for _, value := range never[:34] {
		f.signed("another member as "+clip(value), "", with(`"x":`+value))
	}
}

// spelledTimes say in many ways that the token is over, not valid yet or too
// long-lived: -0, 1.0E0, exponents, fractions.
func spelledTimes(f *forger) {
	for _, gone := range []int64{0, 1, 86400, epoch - 86400, epoch - 61, epoch - 31, epoch - 30} {
		for _, value := range spellTime(gone) {
			f.signed("over at "+value, "", without("exp", `"exp":`+value))
		}
	}
	for _, ahead := range []int64{epoch + 31, epoch + 61, epoch + 299, epoch + 86400} {
		for _, value := range spellTime(ahead) {
			f.signed("not before "+value, "", with(`"nbf":`+value))
			f.signed("issued at "+value, "", without("iat", `"iat":`+value))
		}
	}
	for _, far := range []int64{epoch + 86401, epoch + 365*86400, epoch + 100*365*86400, 253402300799} {
		for _, value := range spellTime(far) {
			f.signed("ends at "+value, "", without("exp", `"exp":`+value))
		}
	}
	for _, value := range []string{"-0", "-0.0", "-0e0", "0", "0.0", "0e0", "1.0E0", "1E-9", "0.9999999"} {
		f.signed("over at "+value, "", without("exp", `"exp":`+value))
	}
}

// spellTime spells seconds as JSON numbers that mean the same.
func spellTime(seconds int64) []string {
	s := fmt.Sprint(seconds)
	list := []string{s, s + ".0", s + ".000000", s + "e0", s + "E+0", s + "e-0", s + "0e-1", s + "000E-3"}
	if len(s) > 1 {
		list = append(list, s[:1]+"."+s[1:]+fmt.Sprintf("e%d", len(s)-1), s[:1]+"."+s[1:]+fmt.Sprintf("E+0%d", len(s)-1), "0."+s+fmt.Sprintf("e%d", len(s)))
	}
	return list
}
