package oracle

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	josejwt "github.com/go-jose/go-jose/v4/jwt"
	"github.com/golang-jwt/jwt/v5"
	"github.com/lestrrat-go/jwx/v3/jwa"
	jwxjwt "github.com/lestrrat-go/jwx/v3/jwt"

	"github.com/longcase/longcase/verify"
)

// A judge says whether a token is acceptable: signature, issuer, audience, time.
type judge func(raw string, p pair) bool

// verifier is Longcase's own judge, which holds the keys of every algorithm.
func verifier(t *testing.T) judge {
	t.Helper()
	var keys verify.Fixed
	for _, p := range pairs() {
		keys = append(keys, p.signer.Key())
	}
	v, err := verify.New(verify.Config{Issuers: []verify.Issuer{
		{URL: us, Audience: me, Algorithms: algorithms(), Keys: keys},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return func(raw string, _ pair) bool {
		return v.Verify(context.Background(), raw, verify.Need{}, now()).Accepted()
	}
}

// bystanders are what people use, set up as their documentation says, with the
// one algorithm and key of the attack.
func bystanders() map[string]judge {
	return map[string]judge{
		"golang-jwt": func(raw string, p pair) bool {
			parser := jwt.NewParser(jwt.WithValidMethods([]string{string(p.alg)}), jwt.WithIssuer(us), jwt.WithAudience(me),
				jwt.WithExpirationRequired(), jwt.WithTimeFunc(now))
			var c jwt.RegisteredClaims
			_, err := parser.ParseWithClaims(raw, &c, func(*jwt.Token) (any, error) { return p.pub, nil })
			return err == nil
		},
		"go-jose": func(raw string, p pair) bool {
			t, err := josejwt.ParseSigned(raw, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(p.alg)})
			if err != nil {
				return false
			}
			var c josejwt.Claims
			if t.Claims(p.pub, &c) != nil {
				return false
			}
			return c.Validate(josejwt.Expected{Issuer: us, AnyAudience: []string{me}, Time: now()}) == nil
		},
		"jwx": func(raw string, p pair) bool {
			alg, _ := jwa.LookupSignatureAlgorithm(string(p.alg))
			_, err := jwxjwt.Parse([]byte(raw), jwxjwt.WithKey(alg, p.pub), jwxjwt.WithIssuer(us),
				jwxjwt.WithAudience(me), jwxjwt.WithRequiredClaim("exp"), jwxjwt.WithClock(jwxjwt.ClockFunc(now)))
			return err == nil
		},
	}
}

// sees reports what a judge says, and counts a panic as acceptance: it is as
// good for an attacker.
func sees(j judge, raw string, p pair) (accepted bool) {
	defer func() {
		if recover() != nil {
			accepted = true
		}
	}()
	return j(raw, p)
}

// Of the whole set nothing is accepted and nothing panics (goal V4).
func TestAttacks(t *testing.T) {
	set := confused(t)
	for _, alg := range algorithms() {
		p := pairs()[alg]
		set = append(set, ambiguous(t, p)...)
		set = append(set, edited(t, p)...)
	}
	if len(set) < 5000 {
		t.Errorf("%d attacks, want at least 5000", len(set))
	}
	ours := verifier(t)
	for _, a := range set {
		if ours(a.raw, pairs()[a.alg]) {
			t.Errorf("%s: %s: accepted: %.2000s", a.alg, a.name, a.raw)
		}
	}
	t.Logf("longcase accepts 0 of %d", len(set))
}

// The control of the set: careful libraries, set up with care, accept some of
// its hand-written part (what a gateway must judge besides included).
func TestAttacksOnOthers(t *testing.T) {
	set := confused(t)
	for _, alg := range algorithms() {
		set = append(set, ambiguous(t, pairs()[alg])...)
	}
	for name, j := range bystanders() {
		accepted := 0
		for _, a := range set {
			if sees(j, a.raw, pairs()[a.alg]) {
				accepted++
			}
		}
		t.Logf("%s accepts %d of %d", name, accepted, len(set))
		if accepted == 0 {
			t.Errorf("%s refuses the whole set: it no longer bites", name)
		}
	}
}

// The control: what the attacks are made from is accepted by everybody.
func TestGoodTokensAreAccepted(t *testing.T) {
	judges := bystanders()
	judges["longcase"] = verifier(t)
	for _, alg := range algorithms() {
		p := pairs()[alg]
		for name, raw := range map[string]string{
			"forged": p.forge(t, p.header(""), goodClaims()),
			"signed": must(p.signer.Sign("at+jwt", []byte(goodClaims()))),
			"last second": p.forge(t, p.header(""), fmt.Sprintf(
				`{"iss":%q,"sub":"s","aud":[%q],"client_id":"c","jti":"j","iat":%d,"exp":%d}`, us, me, epoch-300, now().Add(time.Second).Unix())),
		} {
			for who, j := range judges {
				if !j(raw, p) {
					t.Errorf("%s: %s refuses the %s token", alg, who, name)
				}
			}
		}
	}
}
