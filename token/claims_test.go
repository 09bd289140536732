package token_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/longcase/longcase/token"
)

func TestClaims(t *testing.T) {
	payload := ` {"iss":"https://a.test","sub":"s\u0075b","aud":["b","c"],"client_id":"c1","jti":"j","sid":"s1",
		"scope":"x y","iat":1700000000,"nbf":1699999990,"exp":1700000300,"auth_time":1699990000,
		"cnf":{"jkt":"thumb","x5t#S256":"cert","kid":7},"act":{"sub":"a"},"n":1.50} `
	at := func(sec int64) time.Time { return time.Unix(sec, 0).UTC() }
	want := token.Claims{
		Issuer: "https://a.test", Subject: "sub", Audience: []string{"b", "c"}, ClientID: "c1", ID: "j", Session: "s1",
		Scope: "x y", IssuedAt: at(1700000000), NotBefore: at(1699999990), Expires: at(1700000300),
		AuthTime: at(1699990000), Confirm: token.Confirmation{JKT: "thumb", X5T: "cert", Other: "kid"}, Raw: []byte(payload),
	}
	got, err := check(signed(hs, payload), hs256(t))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Claims =\n%+v, want\n%+v", got, want)
	}
	if w := got.Window(); w.NotBefore != want.NotBefore || w.Expires != want.Expires {
		t.Errorf("Window = %+v", w)
	}
}

func TestScopesAreSplitAtSpacesOnly(t *testing.T) {
	tests := []struct {
		scope string
		want  []string
	}{
		{"", nil},
		{"a", []string{"a"}},
		{" a  b ", []string{"a", "b"}},
		{"a\tb\u00a0c", []string{"a\tb\u00a0c"}},
	}
	for _, tt := range tests {
		if got := (token.Claims{Scope: tt.scope}).Scopes(); !slices.Equal(got, tt.want) {
			t.Errorf("Scopes of %q = %q, want %q", tt.scope, got, tt.want)
		}
	}
}

// Duende IdentityServer and Spring write an array, Okta and Entra "scp".
func TestScopesOfOtherIssuers(t *testing.T) {
	const refused = "malformed"
	tests := []struct{ name, claims, scope string }{
		{"none", ``, ""},
		{"a string", `"scope":"a b"`, "a b"},
		{"an array", `"scope":["a","b:c"]`, "a b:c"},
		{"an array of one", `"scope":[ "a" ]`, "a"},
		{"an array of one, escaped", `"scope":["\u0061"]`, "a"},
		{"an empty array", `"scope":[]`, ""},
		{"two scopes in one item", `"scope":["a b"]`, refused},
		{"two scopes in one item, escaped", `"scope":["a\u0020b"]`, refused},
		{"a tab in an item", `"scope":["a\tb"]`, refused},
		{"a quotation mark in an item", `"scope":["a\"b"]`, refused},
		{"a letter beyond ASCII in an item", `"scope":["é"]`, refused},
		{"an empty item", `"scope":["a",""]`, refused},
		{"an item that is a space", `"scope":[" "]`, refused},
		{"null among items", `"scope":["a",null]`, refused},
		{"an array in the array", `"scope":[["a"]]`, refused},
		{"an object", `"scope":{"a":true}`, refused},
		{"null", `"scope":null`, refused},
		{"no JSON", `"scope":[a]`, refused},
		{"not closed", `"scope":["a"`, refused},

		{"scp, an array", `"scp":["a","b"]`, "a b"},
		{"scp, a string", `"scp":"a b"`, "a b"},
		{"scp, an empty array", `"scp":[]`, ""},
		{"scp with two scopes in one item", `"scp":["a","b c"]`, ""},
		{"scp with an empty item", `"scp":["a",""]`, ""},
		{"scp with a number", `"scp":["a",1]`, ""},
		{"scp with an object", `"scp":[{"b":"c"},"a"]`, ""},
		{"scp, a number", `"scp":7`, ""},
		{"scp, null", `"scp":null`, ""},
		{"scp with a member twice", `"scp":[{"b":1,"b":1}]`, refused},
		{"scp that is no JSON", `"scp":[a]`, refused},
		{"scp in another case", `"Scp":["a"]`, refused},
		{"scp twice", `"scp":["a"],"scp":["b"]`, refused},
		{"both, scope first", `"scope":"a","scp":["b"]`, "a"},
		{"both, scp first", `"scp":["b"],"scope":"a"`, "a"},
		{"scope is empty and counts", `"scope":"","scp":["b"]`, ""},
		{"scope is an empty array and counts", `"scp":"b","scope":[]`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := check(signed(hs, "{"+tt.claims+"}"), hs256(t))
			if tt.scope == refused {
				if !errors.Is(err, token.Malformed) {
					t.Errorf("Claims = %+v, %v, want %v", c, err, token.Malformed)
				}
				return
			}
			if err != nil || c.Scope != tt.scope {
				t.Errorf("scope = %q, %v, want %q", c.Scope, err, tt.scope)
			}
			if asked, err := token.ReadClaims(c.Raw); err != nil || asked.Scope != tt.scope {
				t.Errorf("an answer's scope = %q, %v, want %q", asked.Scope, err, tt.scope)
			}
		})
	}
}

func TestMemberIsWhatWasSigned(t *testing.T) {
	c := token.Claims{Raw: []byte(` {"n": 1.50 ,"act":{"sub": "a"},"\u0078":null,"t":"\u0041"} `)}
	tests := []struct {
		name, want string
		ok         bool
	}{
		{"n", "1.50", true},
		{"act", `{"sub": "a"}`, true},
		{"x", "null", true},
		{"t", `"\u0041"`, true},
		{"sub", "", false},
		{"", "", false},
	}
	for _, tt := range tests {
		if got, ok := c.Member(tt.name); string(got) != tt.want || ok != tt.ok {
			t.Errorf("Member(%q) = %s, %v, want %s, %v", tt.name, got, ok, tt.want, tt.ok)
		}
	}
	if got, ok := (token.Claims{}).Member("n"); ok {
		t.Errorf("Member of no claims = %s", got)
	}
}

func TestClaimsLackWhatIsAbsentOrEmpty(t *testing.T) {
	c, err := token.ReadClaims([]byte(`{"null":null,"text":"","list":[ ],"object":{ },"no":false,"zero":0,"blank":" ","a":[null],"b":{"":""},"\u0063":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	asked := []string{"null", "no", "text", "zero", "list", "blank", "object", "a", "b", "c", "absent", ""}
	if got, want := c.Lacks(asked), []string{"null", "text", "list", "object", "absent", ""}; !slices.Equal(got, want) {
		t.Errorf("Lacks = %q, want %q", got, want)
	}
	if got := (token.Claims{}).Lacks([]string{"sub"}); !slices.Equal(got, []string{"sub"}) {
		t.Errorf("no claims lack %q", got)
	}
	if got := c.Lacks(nil); len(got) != 0 {
		t.Errorf("of nothing %q is lacking", got)
	}
}

func TestReadClaimsKeepsItsOwnCopy(t *testing.T) {
	data := []byte(`{"iss":"a","exp":1}`)
	c, err := token.ReadClaims(data)
	clear(data)
	if err != nil || c.Issuer != "a" || string(c.Raw) != `{"iss":"a","exp":1}` {
		t.Errorf("ReadClaims = %+v, %v", c, err)
	}
	if _, err := token.ReadClaims([]byte(`{"exp":1,"Exp":2}`)); !errors.Is(err, token.Malformed) {
		t.Errorf("two readings: %v", err)
	}
}

func TestClaimsRefuses(t *testing.T) {
	tests := []struct {
		name    string
		payload string
		want    token.Reason
	}{
		{"empty", ``, token.Malformed},
		{"blank", ` `, token.Malformed},
		{"array", `[]`, token.Malformed},
		{"null", `null`, token.Malformed},
		{"a token in a token", a1, token.Malformed},
		{"two objects", `{}{}`, token.Malformed},
		{"something after", `{}x`, token.Malformed},
		{"a NUL after", "{}\x00", token.Malformed},
		{"byte order mark", "\ufeff{}", token.Malformed},
		{"cut short", `{"a":1`, token.Malformed},
		{"cut in a string", `{"a":"b`, token.Malformed},
		{"cut in an escape", `{"a":"\`, token.Malformed},
		{"cut in a name", `{"a`, token.Malformed},
		{"comma last", `{"a":1,}`, token.Malformed},
		{"comma first", `{,"a":1}`, token.Malformed},
		{"no comma", `{"a":1 "b":2}`, token.Malformed},
		{"no colon", `{"a" 1}`, token.Malformed},
		{"no value", `{"a":}`, token.Malformed},
		{"name without quotes", `{a:1}`, token.Malformed},
		{"name in other quotes", `{'a':1}`, token.Malformed},
		{"comment", `{/**/"a":1}`, token.Malformed},
		{"white space of another kind", "{\"a\":\v1}", token.Malformed},
		{"word cut short", `{"a":tru}`, token.Malformed},
		{"word too long", `{"a":nulll}`, token.Malformed},
		{"NaN", `{"a":NaN}`, token.Malformed},
		{"a number too large", `{"a":1e309}`, token.Malformed},
		{"a number too large, digit by digit", `{"a":1` + strings.Repeat("0", 309) + `}`, token.Malformed},
		{"array comma last", `{"a":[1,]}`, token.Malformed},
		{"array comma first", `{"a":[,1]}`, token.Malformed},
		{"array not closed", `{"a":[1}`, token.Malformed},
		{"invalid UTF-8", "{\"a\":\"\xc3\x28\"}", token.Malformed},
		{"overlong UTF-8", "{\"a\":\"\xc0\xaf\"}", token.Malformed},
		{"surrogate in UTF-8", "{\"a\":\"\xed\xa0\x80\"}", token.Malformed},
		{"line feed in a string", "{\"a\":\"\n\"}", token.Malformed},
		{"line feed after an escape", "{\"a\":\"\\t\n\"}", token.Malformed},
		{"unknown escape", `{"a":"\x41"}`, token.Malformed},
		{"escape of three digits", `{"a":"\u041"}`, token.Malformed},
		{"escape not hexadecimal", `{"a":"\u00g1"}`, token.Malformed},
		{"high surrogate alone", `{"a":"\ud83d"}`, token.Malformed},
		{"high surrogate, then another", `{"a":"\ud83d\ud83d"}`, token.Malformed},
		{"high surrogate, then a letter", `{"a":"\ud83da"}`, token.Malformed},
		{"low surrogate alone", `{"a":"\ude00"}`, token.Malformed},
		{"member twice", `{"exp":1,"exp":2}`, token.Malformed},
		{"member twice, one escaped", `{"exp":1,"e\u0078p":2}`, token.Malformed},
		{"unknown member twice", `{"x":1,"x":1}`, token.Malformed},
		{"the empty name twice", `{"":1,"":1}`, token.Malformed},
		{"deep member twice", `{"x":[{"y":{"a":1,"a":1}}]}`, token.Malformed},
		{"the 40th member is the first", manyMembers(40, "m0"), token.Malformed},
		{"the 40th member is the 39th", manyMembers(40, "m38"), token.Malformed},
		{"exp in another case", `{"exp":1,"Exp":99}`, token.Malformed},
		{"exp in another case only", `{"EXP":99}`, token.Malformed},
		{"aud in another case", `{"aud":"other","AUD":"me"}`, token.Malformed},
		{"another case, escaped", `{"aud":"other","\u0041ud":"me"}`, token.Malformed},
		{"iss with a long s", "{\"i\u017fs\":\"me\"}", token.Malformed},
		{"act in another case", `{"Act":{}}`, token.Malformed},
		{"jkt in another case", `{"cnf":{"JKT":"a"}}`, token.Malformed},
		{"x5t#S256 in another case", `{"cnf":{"x5t#s256":"a"}}`, token.Malformed},
		{"cnf string", `{"cnf":"a"}`, token.Malformed},
		{"cnf null", `{"cnf":null}`, token.Malformed},
		{"cnf jkt number", `{"cnf":{"jkt":1}}`, token.Malformed},
		{"cnf jkt empty", `{"cnf":{"jkt":""}}`, token.Malformed},
		{"cnf x5t#S256 empty", `{"cnf":{"jkt":"a","x5t#S256":""}}`, token.Malformed},
		{"cnf empty", `{"cnf":{}}`, token.Malformed},
		{"cnf member without a name", `{"cnf":{"":1}}`, token.Malformed},
		{"cnf jkt twice", `{"cnf":{"jkt":"a","jkt":"b"}}`, token.Malformed},
		{"aud null", `{"aud":null}`, token.Malformed},
		{"aud number", `{"aud":1}`, token.Malformed},
		{"aud object", `{"aud":{"a":1}}`, token.Malformed},
		{"aud empty", `{"aud":[]}`, token.Malformed},
		{"aud of null", `{"aud":[null]}`, token.Malformed},
		{"aud of string and number", `{"aud":["a",1]}`, token.Malformed},
		{"aud of arrays", `{"aud":[["a"]]}`, token.Malformed},
		{"aud names one twice", `{"aud":["a","b","\u0061"]}`, token.Malformed},
		{"33 levels", `{"x":` + nested(32) + `}`, token.TooLarge},
		{"33 levels of objects", strings.Repeat(`{"x":`, 33) + "1" + strings.Repeat("}", 33), token.TooLarge},
		{"5000 levels", `{"x":` + nested(5000) + `}`, token.TooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if c, err := check(signed(hs, tt.payload), hs256(t)); !errors.Is(err, tt.want) {
				t.Errorf("Claims = %+v, %v, want %v", c, err, tt.want)
			}
		})
	}
}

// manyMembers is an object of n members m0, m1, … and one more called last.
func manyMembers(n int, last string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"m%d":%d`, i, i)
	}
	return "{" + b.String()[1:] + fmt.Sprintf(`,%q:0}`, last)
}

func TestStringClaimsAreStrings(t *testing.T) {
	for _, name := range []string{"iss", "sub", "client_id", "jti", "sid"} {
		for _, value := range []string{"null", "1", "true", `["a"]`, `{"a":1}`, "x", `"`} {
			payload := fmt.Sprintf(`{%q:%s}`, name, value)
			if _, err := check(signed(hs, payload), hs256(t)); !errors.Is(err, token.Malformed) {
				t.Errorf("%s: %v, want %v", payload, err, token.Malformed)
			}
		}
	}
}

func TestTimeClaims(t *testing.T) {
	const refused = -1
	tests := []struct {
		literal string
		micros  int64 // since 1970
	}{
		{"0", 0},
		{"1700000000", 1700000000e6},
		{"1700000000.0", 1700000000e6},
		{"1700000000.5", 1700000000500000},
		{"1700000000.123456", 1700000000123456},
		{"1.7e9", 1700000000e6},
		{"17E+8", 1700000000e6},
		{"17000000005e-1", 1700000000500000},
		{"0.9999999", 999999},
		{"1e-400", 0},
		{"253402300799", 253402300799e6},
		{"253402300800", refused},
		{"1700000000000", refused},
		{"1e400", refused},
		{"1e18", refused},
		{"18446744073709551616", refused},
		{"-1", refused},
		{"-0", refused},
		{"-1e400", refused},
		{"-0.5", refused},
		{"+1", refused},
		{"01", refused},
		{"1.", refused},
		{".5", refused},
		{"1e", refused},
		{"1e+", refused},
		{"0x10", refused},
		{"1_000", refused},
		{"Infinity", refused},
		{"null", refused},
		{"true", refused},
		{`"1700000000"`, refused},
		{`[1700000000]`, refused},
		{`{}`, refused},
	}
	for _, tt := range tests {
		t.Run(tt.literal, func(t *testing.T) {
			payload := fmt.Sprintf(`{"exp":%[1]s,"iat":%[1]s,"nbf":%[1]s,"auth_time":%[1]s}`, tt.literal)
			c, err := check(signed(hs, payload), hs256(t))
			if tt.micros == refused {
				if !errors.Is(err, token.Malformed) {
					t.Errorf("Claims = %+v, %v, want %v", c, err, token.Malformed)
				}
				return
			}
			want := time.UnixMicro(tt.micros).UTC()
			if err != nil || c.Expires != want || c.IssuedAt != want || c.NotBefore != want || c.AuthTime != want {
				t.Errorf("Claims = %+v, %v, want %v", c, err, want)
			}
		})
	}
}

func TestCheckObject(t *testing.T) {
	tests := []struct {
		name, data string
		want       error
	}{
		{"empty object", `{}`, nil},
		{"members of any type", `{"exp":"x","aud":null,"Aud":1,"a":[1,{"b":2}]}`, nil},
		{"white space around", "\n{}\t", nil},
		{"32 levels", `{"x":` + nested(31) + `}`, nil},
		{"33 levels", `{"x":` + nested(32) + `}`, token.TooLarge},
		{"100 neighbours of two levels", `{"x":[` + strings.Repeat(`[[]],{"a":{}},`, 50) + `1]}`, nil},
		{"many members", manyMembers(2000, "last"), nil},
		{"many members, one twice", manyMembers(2000, "m1999"), token.Malformed},
		{"nothing", ``, token.Malformed},
		{"array", `[]`, token.Malformed},
		{"twice", `{"a":1,"\u0061":1}`, token.Malformed},
		{"trailing", `{}{}`, token.Malformed},
		{"invalid UTF-8", "{\"\xff\":1}", token.Malformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := token.CheckObject([]byte(tt.data)); !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
}
