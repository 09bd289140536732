package verify

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/longcase/longcase/token"
)

func TestEveryReasonHasItsCause(t *testing.T) {
	key := newSigner(t, "k1", token.ES256)
	stranger := newSigner(t, "k1", token.ES256)
	other := newSigner(t, "k2", token.ES256)
	secret := newSigner(t, "k1", token.HS256)
	v := only(t, Issuer{}, key)
	typ := "at+jwt"
	tests := []struct {
		name string
		raw  string
		need Need
		now  time.Time
		want token.Reason
	}{
		{"a good token", sign(t, key, typ, good()), Need{}, start, ""},
		{"typ in capitals and in full", sign(t, key, "Application/AT+JWT", good()), Need{}, start, ""},
		{"nothing", "", Need{}, start, token.Malformed},
		{"a million dots", strings.Repeat(".", 1<<20), Need{}, start, token.TooLarge},
		{"a secret where keys are expected", sign(t, secret, typ, good()), Need{}, start, token.BadAlgorithm},
		{"a kid nobody published", sign(t, other, typ, good()), Need{}, start, token.UnknownKey},
		{"the kid of another key", sign(t, stranger, typ, good()), Need{}, start, token.BadSignature},
		{"an ID token", sign(t, key, "JWT", good()), Need{}, start, token.WrongType},
		{"a DPoP proof", sign(t, key, "dpop+jwt", good()), Need{}, start, token.WrongType},
		{"no typ at all", sign(t, key, "", good()), Need{}, start, token.WrongType},
		{"another issuer", sign(t, key, typ, good().with(claims{"iss": issuerB})), Need{}, start, token.WrongIssuer},
		{"the issuer and a slash", sign(t, key, typ, good().with(claims{"iss": issuerA + "/"})), Need{}, start, token.WrongIssuer},
		{"another audience", sign(t, key, typ, good().with(claims{"aud": mail})), Need{}, start, token.WrongAudience},
		{"no subject", sign(t, key, typ, good().with(claims{"sub": ""})), Need{}, start, token.MissingClaim},
		{"not before tomorrow", sign(t, key, typ, good().with(claims{"nbf": at(86400).Unix(), "exp": at(86700).Unix()})), Need{}, start, token.NotYetValid},
		{"issued in the future", sign(t, key, typ, good().with(claims{"iat": at(31).Unix()})), Need{}, start, token.IssuedInFuture},
		{"over, and the leeway too", sign(t, key, typ, good()), Need{}, at(330), token.Expired},
		{"the last instant of the leeway", sign(t, key, typ, good()), Need{}, at(330).Add(-time.Nanosecond), ""},
		{"a life of an hour", sign(t, key, typ, good().with(claims{"exp": at(3600).Unix()})), Need{}, start, ""},
		{"a life of an hour and a second", sign(t, key, typ, good().with(claims{"exp": at(3601).Unix()})), Need{}, start, token.LifetimeTooLong},
		{"an end in the year 9999", sign(t, key, typ, good().with(claims{"exp": 253402300799})), Need{}, start, token.LifetimeTooLong},
		{"both scopes", sign(t, key, typ, good()), Need{Scopes: []string{"orders.write", "orders.read"}}, start, ""},
		{"a scope too few", sign(t, key, typ, good()), Need{Scopes: []string{"orders.read", "orders.delete"}}, start, token.InsufficientScope},
		{"half a scope's name", sign(t, key, typ, good()), Need{Scopes: []string{"orders"}}, start, token.InsufficientScope},
		{"a client of the list", sign(t, key, typ, good()), Need{Clients: []string{"batch", "web"}}, start, ""},
		{"a client not on the list", sign(t, key, typ, good()), Need{Clients: []string{"batch"}}, start, token.ClientNotAllowed},
		{"bound to a DPoP key, shown as bearer", sign(t, key, typ, good().with(claims{"cnf": claims{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}})), Need{}, start, token.BindingMissing},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := v.at(tt.raw, tt.need, tt.now)
			wantReason(t, got, tt.want)
			if tt.want != "" && got.Detail == "" {
				t.Error("a refusal without a sentence")
			}
			if strings.Contains(got.Detail, tt.raw) && len(tt.raw) > 20 {
				t.Error("the sentence repeats the token")
			}
		})
	}
}

func TestClaimsWithTwoReadingsAreMalformed(t *testing.T) {
	forger, keys := newForger(t)
	v := mustNew(t, Config{Issuers: []Issuer{{URL: issuerA, Audience: orders, Keys: keys}}})
	body := string(mustJSON(t, good()))
	wantReason(t, v.at(forge(t, forger, "at+jwt", body), Need{}, start), "")
	for name, change := range map[string][2]string{
		"no object":                       {body, "[]"},
		"a duplicate member":              {`"iss":`, `"iss":"https://a.test","iss":`},
		"a member in capitals":            {`"iss":`, `"EXP":9999999999,"iss":`},
		"the same in disguise":            {`"iss":`, `"\u0065xp":9999999999,"iss":`},
		"a time before 1970":              {`"nbf":`, `"nbf":-`},
		"a time as text":                  {fmt.Sprint(start.Unix()), `"soon"`},
		"a number as audience":            {`"aud":"` + orders + `"`, `"aud":7`},
		"null among the audiences":        {`"aud":"` + orders + `"`, `"aud":["` + orders + `",null]`},
		"an audience twice":               {`"aud":"` + orders + `"`, `"aud":["` + orders + `","` + orders + `"]`},
		"a list of no audience":           {`"aud":"` + orders + `"`, `"aud":[]`},
		"no audience but null":            {`"aud":"` + orders + `"`, `"aud":null`},
		"something behind the last brace": {body, body + "{}"},
	} {
		t.Run(name, func(t *testing.T) {
			raw := forge(t, forger, "at+jwt", strings.Replace(body, change[0], change[1], 1))
			wantReason(t, v.at(raw, Need{}, start), token.Malformed)
		})
	}
}

// RFC 9068 section 2.2, RFC 7519: each of them, one at a time.
func TestARequiredClaimCannotBeLeftOut(t *testing.T) {
	key := newSigner(t, "k1", token.ES256)
	required := map[Profile][]string{
		RFC9068: {"iss", "sub", "aud", "exp", "iat", "jti", "client_id"},
		JWT:     {"iss", "sub", "aud", "exp"},
	}
	optional := map[Profile][]string{
		RFC9068: {"nbf", "scope", "sid"},
		JWT:     {"iat", "nbf", "jti", "client_id", "scope", "sid"},
	}
	for _, profile := range []Profile{RFC9068, JWT} {
		v := only(t, Issuer{Profile: profile}, key)
		for _, name := range required[profile] {
			t.Run(fmt.Sprintf("%s without %s", profile, name), func(t *testing.T) {
				got := v.at(sign(t, key, "at+jwt", good().with(claims{name: nil})), Need{}, start)
				wantReason(t, got, token.MissingClaim)
				if !strings.Contains(got.Detail, name) {
					t.Errorf("detail %q does not name %s", got.Detail, name)
				}
			})
		}
		for _, name := range optional[profile] {
			t.Run(fmt.Sprintf("%s needs no %s", profile, name), func(t *testing.T) {
				wantReason(t, v.at(sign(t, key, "at+jwt", good().with(claims{name: nil})), Need{}, start), "")
			})
		}
	}
}

func TestAudienceIsComparedByteForByte(t *testing.T) {
	key := newSigner(t, "k1", token.ES256)
	tests := []struct {
		name         string
		aud          any
		rfc9068, jwt token.Reason
	}{
		{"the one", orders, "", ""},
		{"an array of the one", []string{orders}, "", ""},
		{"one of two", []string{mail, orders}, token.WrongAudience, ""},
		{"another", mail, token.WrongAudience, token.WrongAudience},
		{"an empty string", "", token.WrongAudience, token.WrongAudience},
		{"a prefix", orders[:len(orders)-1], token.WrongAudience, token.WrongAudience},
		{"a longer one", orders + "/", token.WrongAudience, token.WrongAudience},
		{"in capitals", strings.ToUpper(orders), token.WrongAudience, token.WrongAudience},
		{"a wildcard", "*", token.WrongAudience, token.WrongAudience},
		{"a list in one string", orders + " " + mail, token.WrongAudience, token.WrongAudience},
		{"absent", nil, token.MissingClaim, token.MissingClaim},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			raw := sign(t, key, "at+jwt", good().with(claims{"aud": tt.aud}))
			wantReason(t, only(t, Issuer{}, key).at(raw, Need{}, start), tt.rfc9068)
			wantReason(t, only(t, Issuer{Profile: JWT}, key).at(raw, Need{}, start), tt.jwt)
		})
	}
}

// Issuers × audiences: who may speak for which service (RFC 8725 section 3.9).
func TestATokenServesOnlyWhatItsIssuerIsAcceptedFor(t *testing.T) {
	a, b := newSigner(t, "same", token.ES256), newSigner(t, "same", token.ES256)
	v := mustNew(t, Config{Issuers: []Issuer{
		{URL: issuerA, Audience: orders, Keys: keysOf(a)},
		{URL: issuerB, Audience: mail, Keys: keysOf(b)},
	}})
	tests := []struct {
		name   string
		signer token.Signer
		iss    string
		aud    string
		need   string
		want   token.Reason
	}{
		{"A for orders at orders", a, issuerA, orders, orders, ""},
		{"A for orders where any is taken", a, issuerA, orders, "", ""},
		{"B for mail at mail", b, issuerB, mail, mail, ""},
		{"A for orders at mail", a, issuerA, orders, mail, token.WrongAudience},
		{"A for mail at mail", a, issuerA, mail, mail, token.WrongIssuer},
		{"A for mail where any is taken", a, issuerA, mail, "", token.WrongAudience},
		{"B's key under A's name", b, issuerA, orders, orders, token.BadSignature},
		{"A's key under B's name", a, issuerB, mail, mail, token.BadSignature},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			raw := sign(t, tt.signer, "at+jwt", good().with(claims{"iss": tt.iss, "aud": tt.aud}))
			wantReason(t, v.at(raw, Need{Audience: tt.need}, start), tt.want)
		})
	}
}

func TestOneIssuerMayServeTwoAudiences(t *testing.T) {
	key := newSigner(t, "k1", token.ES256)
	v := mustNew(t, Config{Issuers: []Issuer{
		{URL: issuerA, Audience: orders, Keys: keysOf(key)},
		{URL: issuerA, Audience: mail, Keys: keysOf(key), MaxLifetime: time.Minute},
	}})
	forMail := sign(t, key, "at+jwt", good().with(claims{"aud": mail}))
	wantReason(t, v.at(sign(t, key, "at+jwt", good()), Need{Audience: orders}, start), "")
	wantReason(t, v.at(sign(t, key, "at+jwt", good()), Need{Audience: mail}, start), token.WrongAudience)
	wantReason(t, v.at(forMail, Need{Audience: mail}, start), token.LifetimeTooLong) // its own policy
	wantReason(t, v.at(forMail, Need{}, start), token.LifetimeTooLong)
}

func TestAlgorithmsAreListedNotTaken(t *testing.T) {
	all := []token.Algorithm{token.ES256, token.ES384, token.RS256, token.PS256, token.EdDSA, token.HS256}
	for _, alg := range all {
		key := newSigner(t, "k1", alg)
		raw := sign(t, key, "at+jwt", good())
		byDefault, named := token.Reason(""), token.Reason("")
		if alg == token.HS256 {
			byDefault = token.BadAlgorithm
		}
		t.Run(string(alg), func(t *testing.T) {
			wantReason(t, only(t, Issuer{}, key).at(raw, Need{}, start), byDefault)
			wantReason(t, only(t, Issuer{Algorithms: []token.Algorithm{alg}}, key).at(raw, Need{}, start), named)
			for _, listed := range all {
				if listed != alg {
					wantReason(t, only(t, Issuer{Algorithms: []token.Algorithm{listed}}, key).at(raw, Need{}, start), token.BadAlgorithm)
				}
			}
		})
	}
}

func TestJWTTypes(t *testing.T) {
	key := newSigner(t, "k1", token.ES256)
	v := only(t, Issuer{Profile: JWT}, key)
	for typ, want := range map[string]token.Reason{
		"": "", "JWT": "", "jwt": "", "at+jwt": "", "application/at+jwt": "",
		"dpop+jwt": token.WrongType, "logout+jwt": token.WrongType, "token-introspection+jwt": token.WrongType,
	} {
		t.Run(typ, func(t *testing.T) { wantReason(t, v.at(sign(t, key, typ, good()), Need{}, start), want) })
	}
}

// Incident 2: aud is the user; exp, iat, iss, nbf and sub are all there is.
func TestSubjectFromAudience(t *testing.T) {
	key := newSigner(t, "", token.HS256)
	v := only(t, Issuer{Profile: JWT, SubjectFrom: "aud", Algorithms: []token.Algorithm{token.HS256}}, key)
	seed := claims{"iss": issuerA, "sub": "access", "aud": "alice", "iat": start.Unix(), "nbf": start.Unix(), "exp": at(300).Unix()}
	got := v.at(sign(t, key, "JWT", seed), Need{}, start)
	wantReason(t, got, "")
	if got.Claims.Subject != "alice" {
		t.Errorf("subject = %q, want the audience", got.Claims.Subject)
	}
	wantReason(t, v.at(sign(t, key, "JWT", seed.with(claims{"aud": []string{"alice", "bob"}})), Need{}, start), token.WrongAudience)
	wantReason(t, v.at(sign(t, key, "JWT", seed.with(claims{"aud": ""})), Need{}, start), token.WrongAudience)
	wantReason(t, v.at(sign(t, key, "JWT", seed), Need{Audience: "alice"}, start), token.WrongAudience)
}

// Two kinds of audience: a request is for a service, for a user, or for either.
func TestUsersAndServicesAreToldApart(t *testing.T) {
	key := newSigner(t, "k1", token.EdDSA)
	v := mustNew(t, Config{CacheBytes: 1 << 20, Issuers: []Issuer{
		{URL: issuerA, Audience: orders, Keys: keysOf(key)},
		{URL: issuerB, SubjectFrom: "aud", Profile: JWT, Keys: keysOf(key)},
		{URL: issuerA + "/asked", Audience: orders, Introspect: answers{}},
	}})
	service, user := sign(t, key, "at+jwt", good()), sign(t, key, "JWT", good().with(claims{"iss": issuerB, "aud": "alice"}))
	named := sign(t, key, "JWT", good().with(claims{"iss": issuerB}))
	tests := []struct {
		name, raw string
		need      Need
		want      token.Reason
		detail    string
	}{
		{"a service's token for either", service, Need{}, "", ""},
		{"a user's token for either", user, Need{}, "", ""},
		{"a service's token for it", service, Need{Audience: orders}, "", ""},
		{"a user's token for a service", user, Need{Audience: orders}, token.WrongAudience, "name a user, not an audience"},
		{"a user who is called like the service", named, Need{Audience: orders}, token.WrongAudience, "name a user, not an audience"},
		{"a service's token for users", service, Need{Users: true}, token.WrongAudience, "are for a service; this route takes tokens whose aud is the user"},
		{"a user's token for users", user, Need{Users: true}, "", ""},
		{"an opaque token for users", "opaque", Need{Users: true}, token.Malformed, "no compact JWS"},
		{"a service's token for users and for it", service, Need{Users: true, Audience: orders}, token.WrongAudience, ""},
		{"a user's token for users and for a service", user, Need{Users: true, Audience: orders}, token.WrongAudience, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for range 2 { // the second time warm
				got := v.at(tt.raw, tt.need, start)
				wantReason(t, got, tt.want)
				if !strings.Contains(got.Detail, tt.detail) {
					t.Errorf("detail %q, want %q in it", got.Detail, tt.detail)
				}
				if tt.want == "" && tt.raw == user && got.Claims.Subject != "alice" {
					t.Errorf("subject = %q, want the audience", got.Claims.Subject)
				}
			}
		})
	}
}

func TestBadSignatureStatesTheFingerprint(t *testing.T) {
	key, stranger := newSigner(t, "k1", token.ES256), newSigner(t, "k1", token.ES256)
	got := only(t, Issuer{}, key).at(sign(t, stranger, "at+jwt", good()), Need{}, start)
	wantReason(t, got, token.BadSignature)
	if !strings.Contains(got.Detail, token.Fingerprint(key.Key())) {
		t.Errorf("detail %q lacks the fingerprint %s", got.Detail, token.Fingerprint(key.Key()))
	}
	if got.Claims.Subject != "" || got.KeyID != "" {
		t.Error("claims of an unsigned token are handed out")
	}
}

// Both sides can compare the secrets they hold, and nobody can try guesses out.
func TestBadSignatureStatesLittleOfASecret(t *testing.T) {
	key, stranger := newSigner(t, "k1", token.HS256), newSigner(t, "k2", token.HS256)
	v := mustNew(t, Config{Issuers: []Issuer{{URL: issuerA, Audience: orders, Algorithms: []token.Algorithm{token.HS256}, Keys: Fixed{key.Key()}}}})
	raw := sign(t, stranger, "at+jwt", good())
	wantReason(t, v.at(raw, Need{}, start), token.UnknownKey)
	raw = raw[:len(raw)-2] + "AA"
	forged := sign(t, key, "at+jwt", good())
	got := v.at(forged[:len(forged)-43]+raw[len(raw)-43:], Need{}, start)
	wantReason(t, got, token.BadSignature)
	print := token.Fingerprint(key.Key())
	if !strings.Contains(got.Detail, print) || len(print) > len("SHA256:0000…") {
		t.Errorf("detail %q, fingerprint %q", got.Detail, print)
	}
}

func TestBadSignatureOfManyKeysStaysShort(t *testing.T) {
	var keys Fixed
	for range 5 {
		keys = append(keys, newSigner(t, "", token.ES256).Key())
	}
	v := mustNew(t, Config{Issuers: []Issuer{{URL: issuerA, Audience: orders, Keys: keys}}})
	got := v.at(sign(t, newSigner(t, "", token.ES256), "at+jwt", good()), Need{}, start)
	wantReason(t, got, token.BadSignature)
	if strings.Count(got.Detail, "SHA256:") != 2 || !strings.Contains(got.Detail, "3 more") {
		t.Errorf("detail = %q", got.Detail)
	}
}

// What a stranger writes into a token does not fill the log.
func TestDetailsAreBounded(t *testing.T) {
	key := newSigner(t, "k1", token.ES256)
	v := only(t, Issuer{}, key)
	long := strings.Repeat("é", 900)
	for _, c := range []claims{{"iss": long}, {"aud": []string{long, long + "2", long + "3", long + "4"}}, {"scope": long}, {"client_id": long}} {
		got := v.at(sign(t, key, "at+jwt", good().with(c)), Need{Scopes: []string{"orders.delete"}, Clients: []string{"web"}}, start)
		if got.Accepted() || len(got.Detail) > 1000 || !utf8.ValidString(got.Detail) {
			t.Errorf("%q: %d bytes: %q", got.Reason, len(got.Detail), got.Detail)
		}
	}
}

func TestWithoutKidEveryFittingKeyIsTried(t *testing.T) {
	first, second := newSigner(t, "k1", token.ES256), newSigner(t, "", token.ES256)
	v := only(t, Issuer{}, first, second)
	wantReason(t, v.at(sign(t, second, "at+jwt", good()), Need{}, start), "")
}

// failing is a Keys that answers with err.
type failing struct{ err error }

func (f failing) Keys(context.Context, string, token.Algorithm) ([]token.Key, error) {
	return nil, f.err
}

func TestWhoCannotBeAskedIsNotBelieved(t *testing.T) {
	key := newSigner(t, "k1", token.ES256)
	raw := sign(t, key, "at+jwt", good())
	down := errors.New("connection refused")
	for _, err := range []error{down, &token.Error{Reason: token.KeysUnavailable, Err: down}} {
		v := mustNew(t, Config{Issuers: []Issuer{{URL: issuerA, Audience: orders, Keys: failing{err}}}})
		got := v.at(raw, Need{}, start)
		wantReason(t, got, token.KeysUnavailable)
		if !errors.Is(got.Err, down) || strings.Contains(got.Detail, down.Error()) {
			t.Errorf("the cause belongs into Err (%v), not into Detail (%q)", got.Err, got.Detail)
		}
	}
	v := mustNew(t, Config{
		Issuers: []Issuer{{URL: issuerA, Audience: orders, Keys: keysOf(key)}},
		Ended:   func(string, *token.Claims, time.Time) error { return down },
	})
	wantReason(t, v.at(raw, Need{}, start), token.RevocationsStale)
}

func TestEarlyEnds(t *testing.T) {
	key, gone := newSigner(t, "k1", token.ES256), newSigner(t, "k0", token.ES256)
	v := mustNew(t, Config{
		Issuers: []Issuer{{URL: issuerA, Audience: orders, Keys: keysOf(key)}},
		Ended: func(kid string, c *token.Claims, _ time.Time) error {
			switch {
			case kid == "k0":
				return token.Refuse(token.KeyRevoked, "k0 is withdrawn")
			case c.ID == "t2":
				return token.Refuse(token.Revoked, "t2 is ended")
			}
			return nil
		},
	})
	wantReason(t, v.at(sign(t, key, "at+jwt", good()), Need{}, start), "")
	wantReason(t, v.at(sign(t, key, "at+jwt", good().with(claims{"jti": "t2"})), Need{}, start), token.Revoked)
	wantReason(t, v.at(sign(t, gone, "at+jwt", good()), Need{}, start), token.KeyRevoked) // no longer in the set
	// A token that is over says so, ended early or not.
	wantReason(t, v.at(sign(t, key, "at+jwt", good().with(claims{"jti": "t2"})), Need{}, at(400)), token.Expired)
}

func TestNewNamesEveryWrongField(t *testing.T) {
	keys := Fixed{}
	_, err := New(Config{Issuers: []Issuer{
		{URL: "http://tokens.example.com", Audience: "https://*.example.com", Keys: keys, Leeway: 61 * time.Second},
		{URL: issuerA, Audience: "", Algorithms: []token.Algorithm{"none"}, MaxLifetime: -1},
		{URL: issuerB + "?x", Audience: orders, Keys: keys, Profile: "own", SubjectFrom: "sub"},
		{URL: issuerB, Audience: orders, Keys: keys, Leeway: time.Millisecond},
		{URL: issuerB, Audience: orders, Keys: keys, Algorithms: []token.Algorithm{token.ES256, token.ES256}},
	}})
	for _, want := range []string{
		"issuers[0].URL", "issuers[0].Audience", "issuers[0].Leeway",
		"issuers[1].Audience", "issuers[1].Algorithms", "issuers[1].MaxLifetime", "issuers[1].Keys",
		"issuers[2].URL", "issuers[2].Profile", "issuers[2].SubjectFrom",
		"issuers[3].Leeway", "issuers[4].Algorithms", "issuers[4]: ",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New does not name %s: %v", want, err)
		}
	}
	if _, err := New(Config{}); err == nil {
		t.Error("New without issuers succeeds")
	}
}

// Which of the two a token means, it does not say: one that is meant for another
// service would be accepted with that service's name as its user.
func TestOneIssuersAudienceIsAServiceOrAUser(t *testing.T) {
	service := Issuer{URL: issuerA, Audience: orders, Profile: JWT, Keys: Fixed{}}
	user := Issuer{URL: issuerA, SubjectFrom: "aud", Profile: JWT, Keys: Fixed{}}
	for _, both := range [][]Issuer{{service, user}, {user, service}} {
		if _, err := New(Config{Issuers: both}); err == nil || !strings.Contains(err.Error(), "issuers[1].SubjectFrom") {
			t.Errorf("New = %v, want the second entry's SubjectFrom named", err)
		}
	}
	user.URL = issuerB
	if _, err := New(Config{Issuers: []Issuer{service, user}}); err != nil {
		t.Errorf("two issuers: %v", err)
	}
}

func TestNewNamesWhatIsWrongWithTheNewerFields(t *testing.T) {
	asked, keys := answers{}, Fixed{}
	tests := []struct {
		name    string
		issuers []Issuer
		want    string
	}{
		{"a required claim without a name", []Issuer{{URL: issuerA, Audience: orders, Keys: keys, Required: []string{"sid", ""}}}, "issuers[0].Required: [1]: required"},
		{"a required claim twice", []Issuer{{URL: issuerA, Audience: orders, Keys: keys, Required: []string{"sid", "sid"}}}, `issuers[0].Required: "sid" is named twice`},
		{"too many required claims", []Issuer{{URL: issuerA, Audience: orders, Keys: keys, Required: make([]string, 33)}}, "issuers[0].Required: 33 names"},
		{"neither keys nor a place to ask", []Issuer{{URL: issuerA, Audience: orders}}, "issuers[0].Keys"},
		{"asked and believed", []Issuer{{URL: issuerA, Audience: orders, Keys: keys}, {URL: issuerA, Audience: mail, Introspect: asked}}, "issuers[1].Introspect"},
		{"asked for a user", []Issuer{{URL: issuerA, Profile: JWT, SubjectFrom: "aud", Introspect: asked}}, "issuers[0].Introspect"},
		{"five to ask", []Issuer{
			{URL: issuerA, Audience: orders, Introspect: asked}, {URL: issuerA + "/2", Audience: orders, Introspect: asked},
			{URL: issuerA + "/3", Audience: orders, Introspect: asked}, {URL: issuerA + "/4", Audience: orders, Introspect: asked},
			{URL: issuerA + "/5", Audience: orders, Introspect: asked},
		}, "5 have Introspect"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := New(Config{Issuers: tt.issuers}); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("New = %v, want %q", err, tt.want)
			}
		})
	}
	if _, err := New(Config{Issuers: []Issuer{{URL: issuerA, Audience: orders, Keys: keys}}, CacheBytes: -1}); err == nil {
		t.Error("New takes a negative CacheBytes")
	}
}

func TestIssuersThatNewAccepts(t *testing.T) {
	for _, is := range []Issuer{
		{URL: "http://LocalHost:4600", Audience: orders},
		{URL: "http://[::ffff:127.0.0.1]:4600", Audience: orders},
		{URL: "http://127.0.0.1:4600", Audience: orders},
		{URL: "http://localhost:4600/realm", Audience: "orders"},
		{URL: "user-service", Audience: orders, Profile: JWT},
		{URL: issuerA, Audience: orders, Leeway: NoLeeway},
		{URL: issuerA, Audience: orders, Leeway: 60 * time.Second},
	} {
		is.Keys = Fixed{}
		if _, err := New(Config{Issuers: []Issuer{is}}); err != nil {
			t.Errorf("New(%+v) = %v", is, err)
		}
	}
}
