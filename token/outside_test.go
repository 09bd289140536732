package token_test

import (
	"errors"
	"testing"

	"github.com/longcase/longcase/token"
)

func TestClaimsOutsideATokenAreReadAsStrictly(t *testing.T) {
	good := `{"active":true,"iss":"a","aud":["b","c"],"exp":1.5e3,"cnf":{"jkt":"k"}}`
	c, err := token.ParseClaims([]byte(good))
	if err != nil || c.Issuer != "a" || len(c.Audience) != 2 || c.Expires.Unix() != 1500 || c.Confirm.JKT != "k" || string(c.Raw) != good {
		t.Errorf("ParseClaims = %+v, %v", c, err)
	}
	for _, bad := range []string{``, `[]`, `{"iss":"a","iss":"b"}`, `{"iss":"a","ISS":"b"}`, `{"exp":"1"}`, `{"iss":1}`, `{}x`, "{\"iss\":\"\xff\"}"} {
		if c, err := token.ParseClaims([]byte(bad)); !errors.Is(err, token.Malformed) || c.Raw != nil {
			t.Errorf("%s: %+v, %v", bad, c, err)
		}
	}
}
