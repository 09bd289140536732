package token_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/longcase/longcase/token"
)

// FuzzParse holds Parse to its promise: a token taken apart and written again is
// the same text, and a refusal is one of three.
func FuzzParse(f *testing.F) {
	for _, raw := range []string{a1, a2, a3, a4, "", "..", "a.b.c", "a.b.c.d.e", signed(hs, `{}`), signed(`{"alg":"none"}`, `{}`)} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		j, err := token.Parse(raw)
		if err != nil {
			oneOf(t, err, token.Malformed, token.TooLarge, token.BadAlgorithm)
			return
		}
		if err := token.CheckObject(j.Header()); err != nil {
			t.Errorf("header %q: %v", j.Header(), err)
		}
		if got, _, _ := strings.Cut(raw, "."); got != b64(string(j.Header())) {
			t.Errorf("header spelt %s also reads %q", got, j.Header())
		}
		for _, alg := range algorithms() {
			if err := j.Verify(signers()[alg].Key()); err != nil {
				oneOf(t, err, token.BadAlgorithm, token.BadSignature)
			}
		}
		if _, err := j.Claims(); err != nil {
			oneOf(t, err, token.Malformed, token.TooLarge)
		}
	})
}

func oneOf(t *testing.T, err error, want ...token.Reason) {
	t.Helper()
	for _, w := range want {
		if errors.Is(err, w) {
			return
		}
	}
	t.Errorf("%v is none of %v", err, want)
}

// FuzzClaims compares the scanner with encoding/json: whatever is accepted is
// valid there too and means the same.
func FuzzClaims(f *testing.F) {
	for _, payload := range []string{
		`{}`, `{"iss":"a","aud":["b","c"],"exp":1.7e9,"cnf":{"jkt":"x"}}`, `{"exp":1,"Exp":2}`, `{"a":"\ud83d\ude00"}`,
		`{"a":{"b":[1,2,{"c":null}]}}`, `{"aud":[]}`, `{"x":"\ud800"}`, "{\"sub\":\"\xff\"}", `{"iat":-1}`, ` { } `,
		`{"scope":["a","b"]}`, `{"scp":["a b","c"]}`, `{"scp":"a b","scope":[]}`,
	} {
		f.Add(payload)
	}
	f.Fuzz(func(t *testing.T, payload string) {
		j, err := token.Parse(signed(hs, payload))
		if err != nil {
			oneOf(t, err, token.TooLarge)
			return
		}
		c, err := j.Claims()
		if err != nil {
			oneOf(t, err, token.Malformed, token.TooLarge)
			return
		}
		var all map[string]any
		if err := json.Unmarshal([]byte(payload), &all); err != nil {
			t.Fatalf("encoding/json refuses %q: %v", payload, err)
		}
		sameText(t, all, map[string]string{
			"iss": c.Issuer, "sub": c.Subject, "client_id": c.ClientID, "jti": c.ID, "sid": c.Session,
		})
		sameScopes(t, all, c)
		sameMembers(t, all, c)
	})
}

func sameText(t *testing.T, all map[string]any, read map[string]string) {
	t.Helper()
	for name, got := range read {
		if want, ok := all[name]; ok && want != got || !ok && got != "" {
			t.Errorf("%s = %q, encoding/json reads %v", name, got, want)
		}
	}
}

// sameScopes: what the claim holds is read, and no scope that is not one of its
// items.
func sameScopes(t *testing.T, all map[string]any, c token.Claims) {
	t.Helper()
	claim, given := all["scope"]
	if !given {
		claim = all["scp"]
	}
	switch said := claim.(type) {
	case string:
		if c.Scope != said {
			t.Errorf("scope = %q, encoding/json reads %q", c.Scope, said)
		}
	case []any:
		read := c.Scopes()
		if len(read) != len(said) && (given || c.Scope != "") {
			t.Errorf("scopes = %q, encoding/json reads %q", read, said)
		}
		for i, one := range read {
			if one != said[i] {
				t.Errorf("scopes = %q, encoding/json reads %q", read, said)
			}
		}
	default:
		if c.Scope != "" {
			t.Errorf("scope = %q, encoding/json reads %v", c.Scope, claim)
		}
	}
}

func sameMembers(t *testing.T, all map[string]any, c token.Claims) {
	t.Helper()
	for name, want := range all {
		raw, ok := c.Member(name)
		var got any
		if err := json.Unmarshal(raw, &got); !ok || err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("Member(%q) = %s, %v, encoding/json reads %v", name, raw, ok, want)
		}
	}
}
