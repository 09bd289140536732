package oracle

import (
	"fmt"
	"strings"
)

// timeLies are over, not valid yet, or live longer than a token may, in many
// combinations; each would be accepted if one of its times were believed alone.
func timeLies(f *forger) {
	at := func(offset float64) string { return strings.TrimSuffix(fmt.Sprintf("%.3f", epoch+offset), ".000") }
	window := func(name string, iat, nbf, exp float64) {
		claims := without("exp", `"exp":`+at(exp))
		claims = strings.Replace(claims, fmt.Sprintf(`"iat":%d`, epoch), `"iat":`+at(iat), 1)
		f.signed(name, "", strings.TrimSuffix(claims, "}")+`,"nbf":`+at(nbf)+"}")
	}
	for _, late := range []float64{30, 30.001, 30.5, 31, 45, 60, 61, 299, 3600, 86400, 86400 * 365} {
		for _, life := range []float64{1, 60, 300, 3600} {
			window("over", -late-life, -late-life, -late)
			window("over before it began", 0, 0, -late)
			window("over, issued when it was over", -late, -late, -late)
		}
	}
	for _, early := range []float64{30.001, 30.5, 31, 45, 60, 61, 299, 3600, 86400} {
		for _, life := range []float64{1, 60, 300, 3600} {
			window("not yet", early, early, early+life)
			window("not yet, issued long ago", -300, early, early+life)
			window("issued in the future, valid since long", early, -300, early+life)
		}
	}
	for _, long := range []float64{86400.5, 86401, 90000, 7 * 86400, 365 * 86400, 3650 * 86400} {
		window("too long", 0, 0, long)
		window("too long, nearly over", 60-long, 60-long, 60)
		window("too long, since nbf it is not", 60-long, 0, 60)
		window("too long, as iat is far ago", 10-long, 10-long, 10)
	}
}

// bound are tokens that a key other than the bearer's may use (RFC 9449 section
// 7.2, RFC 8705 section 3).
func bound(f *forger) {
	thumb := "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
	for _, cnf := range []string{
		`{"jkt":"` + thumb + `"}`, `{"x5t#S256":"` + thumb + `"}`, `{"jkt":"` + thumb + `","x5t#S256":"` + thumb + `"}`, `{"jkt":"x"}`, `{"x5t#S256":"x"}`, `{"kid":"k","jkt":"` + thumb + `"}`,
		`{"JKT":"` + thumb + `"}`, `{"Jkt":"` + thumb + `"}`, `{"jKT":"x"}`, `{"X5T#S256":"` + thumb + `"}`, `{"x5t#s256":"` + thumb + `"}`, `{"x5T#S256":"x"}`, `{"\u006akt":"` + thumb + `"}`, `{"jkt":"a","jkt":"b"}`, `{"jkt":"a","\u006akt":""}`,
		`{"jkt":null}`, `{"jkt":1}`, `{"jkt":["` + thumb + `"]}`, `{"jkt":{}}`, `{"x5t#S256":null}`, `{"x5t#S256":true}`, `"` + thumb + `"`, "null", "1", "true", "[]", `[{"jkt":"` + thumb + `"}]`,
	} {
		for range 6 { // with every algorithm
			f.signed("cnf "+clip(cnf), "", with(`"cnf":`+cnf))
		}
		f.signed("CNF "+clip(cnf), "", with(`"CNF":`+cnf))
		f.signed("cnf twice "+clip(cnf), "", with(`"cnf":`+cnf+`,"cnf":{}`))
	}
}

// absent lack a claim that must be there, or have it empty or of another type.
func absent(f *forger) {
	for _, name := range []string{"iss", "sub", "aud", "exp"} {
		for _, instead := range []string{"", `"x":1`, `"` + name + `":null`, `"` + name + `":""`, `"` + name + `":[]`, `"` + name + `":{}`, `"` + name + `":false`, `" ` + name + `":"s"`, `"` + name + ` ":"s"`, `"` + name + `\u0000":"s"`, `"x":{"` + name + `":"s"}`, `"http://schemas.example.com/` + name + `":"s"`} {
			f.signed("without "+name+", but "+instead, "", without(name, instead))
		}
	}
	for _, name := range []string{"jti", "client_id"} {
		for _, instead := range []string{`"` + name + `":null`, `"` + name + `":[]`, `"` + name + `":{}`, `"` + name + `":0`, `"` + name + `":["a"]`} {
			f.signed("without "+name+", but "+instead, "", without(name, instead))
		}
		for _, instead := range []string{"", `"` + name + `":""`} {
			f.signed("without "+name, "", without(name, instead))
			f.set[len(f.set)-1].strict = true
		}
	}
	f.signed("without iat", "", without("iat", ""))
	f.set[len(f.set)-1].strict = true
	for _, scope := range []string{"null", "1", "true", `["orders.read",null]`, `["orders.read admin"]`, `["orders.read\u0020admin"]`, `["orders.read\tadmin"]`, `[""]`, `[["orders.read"]]`, "{}", `{"orders.read":true}`} {
		for range 6 {
			f.signed("scope "+scope, "", without("scope", `"scope":`+scope))
		}
	}
}
