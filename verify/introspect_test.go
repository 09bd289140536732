package verify

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/longcase/longcase/token"
)

// answers is an Introspector that knows some tokens; what a claims value says
// is how it answers.
type answers struct {
	known map[string]claims
	err   error
	asked *[]string // who was asked, in order
	name  string
}

func (a answers) Introspect(_ context.Context, raw string, _ time.Time) (token.Claims, error) {
	if a.asked != nil {
		*a.asked = append(*a.asked, a.name)
	}
	if a.err != nil {
		return token.Claims{}, a.err
	}
	c, ok := a.known[raw]
	if !ok {
		return token.Claims{}, token.Refuse(token.Revoked, "%s says that the token is not active", a.name)
	}
	return token.ReadClaims(c.json())
}

func asking(t *testing.T, a answers, is Issuer) *Verifier {
	t.Helper()
	is.URL, is.Audience, is.Introspect = issuerA, orders, a
	return mustNew(t, Config{Issuers: []Issuer{is}, CacheBytes: 1 << 20})
}

func TestAnAnswerIsJudgedLikeAToken(t *testing.T) {
	opaque := good().with(claims{"iss": nil, "jti": nil, "nbf": nil, "active": true, "token_type": "Bearer"})
	memory := &uses{seen: map[string]time.Time{}}
	tests := []struct {
		name   string
		answer claims
		need   Need
		want   token.Reason
	}{
		{"without iss", opaque, Need{}, ""},
		{"with iss", opaque.with(claims{"iss": issuerA}), Need{}, ""},
		{"with another iss", opaque.with(claims{"iss": issuerB}), Need{}, token.WrongIssuer},
		{"a list of one audience", opaque.with(claims{"aud": []string{orders}}), Need{}, ""},
		{"no aud", opaque.with(claims{"aud": nil}), Need{}, token.MissingClaim},
		{"another aud", opaque.with(claims{"aud": mail}), Need{}, token.WrongAudience},
		{"no exp", opaque.with(claims{"exp": nil}), Need{}, token.MissingClaim},
		{"no sub", opaque.with(claims{"sub": nil}), Need{}, ""},
		{"no client_id", opaque.with(claims{"client_id": nil}), Need{}, ""},
		{"neither", opaque.with(claims{"sub": nil, "client_id": nil}), Need{}, token.MissingClaim},
		{"no iat", opaque.with(claims{"iat": nil}), Need{}, ""},
		{"over", opaque.with(claims{"iat": at(-600).Unix(), "exp": at(-300).Unix()}), Need{}, token.Expired},
		{"not yet", opaque.with(claims{"iat": at(31).Unix()}), Need{}, token.IssuedInFuture},
		{"too long a life", opaque.with(claims{"exp": at(3601).Unix()}), Need{}, token.LifetimeTooLong},
		{"too long a rest of life", opaque.with(claims{"iat": nil, "exp": at(3632).Unix()}), Need{}, token.LifetimeTooLong},
		{"a scope too few", opaque, Need{Scopes: []string{"x"}}, token.InsufficientScope},
		{"another client", opaque, Need{Clients: []string{"batch"}}, token.ClientNotAllowed},
		{"bound, no proof", opaque.with(claims{"cnf": claims{"jkt": thumb}}), Need{}, token.BindingMissing},
		{"once without jti", opaque, Need{Once: true}, token.MissingClaim},
		{"once", opaque.with(claims{"jti": "j"}), Need{Once: true}, ""},
		{"twice", opaque.with(claims{"jti": "j"}), Need{Once: true}, token.Replayed},
		{"an ended session", opaque.with(claims{"sid": "gone"}), Need{}, token.Revoked},
		{"lacks what is required", opaque.with(claims{"scope": nil}), Need{}, token.MissingClaim},
		{"at another audience's route", opaque, Need{Audience: mail}, token.Malformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := mustNew(t, Config{
				Issuers: []Issuer{{URL: issuerA, Audience: orders, Required: []string{"scope"}, Introspect: answers{known: map[string]claims{"handle": tt.answer}}}},
				First:   memory.first,
				Ended: func(kid string, c *token.Claims, _ time.Time) error {
					if kid != "" {
						t.Errorf("kid %q", kid)
					}
					if c.Session == "gone" {
						return token.Refuse(token.Revoked, "gone")
					}
					return nil
				},
			})
			got := v.at("handle", tt.need, start)
			wantReason(t, got, tt.want)
			if got.KeyID != "" || got.Accepted() && (got.Claims.Issuer != issuerA || len(got.Claims.Raw) == 0) {
				t.Errorf("verdict %+v", got)
			}
		})
	}
}

func TestWhatIsAskedAbout(t *testing.T) {
	key := newSigner(t, "k1", token.ES256)
	jwt := sign(t, key, "whatever+jwt", good())
	stranger := sign(t, newSigner(t, "k9", token.ES256), "at+jwt", good())
	for name, tt := range map[string]struct {
		raw   string
		asked bool
		want  token.Reason
	}{
		"a handle":                      {"lc_at_0123456789", true, ""},
		"every character of b64token":   {"azAZ09-._~+/==", true, ""},
		"a JWT of its issuer":           {jwt, true, ""},
		"a JWT that nobody knows":       {stranger, true, token.Revoked},
		"a handle that nobody knows":    {"lc_at_9", true, token.Revoked},
		"a JWT of another issuer":       {sign(t, key, "at+jwt", good().with(claims{"iss": issuerB})), false, token.WrongIssuer},
		"a JWT that says two things":    {"eyJhbGciOiJFUzI1NiIsImFsZyI6Im5vbmUifQ.e30.AAAA", false, token.Malformed},
		"a handle that looks like none": {"handle\nX-Evil: 1", false, token.Malformed},
		"a space":                       {"a b", false, token.Malformed},
		"a form separator":              {"a&token=b", false, token.Malformed},
		"letters beyond ASCII":          {"händel", false, token.Malformed},
		"= in the middle":               {"a=b", false, token.Malformed},
		"= alone":                       {"==", false, token.Malformed},
		"nothing":                       {"", false, token.Malformed},
		"16,385 bytes":                  {strings.Repeat("a", token.MaxSize+1), false, token.TooLarge},
		"five parts":                    {"eyJhbGciOiJkaXIifQ....", true, token.Revoked},
	} {
		t.Run(name, func(t *testing.T) {
			var asked []string
			answer := good().with(claims{"active": true})
			v := asking(t, answers{asked: &asked, known: map[string]claims{"lc_at_0123456789": answer, "azAZ09-._~+/==": answer, jwt: answer}}, Issuer{})
			for range 2 { // nothing is remembered here: an answer's age is the asker's to bound
				wantReason(t, v.at(tt.raw, Need{}, start), tt.want)
			}
			if want := map[bool]int{true: 2}[tt.asked]; len(asked) != want {
				t.Errorf("asked %d times, want %d", len(asked), want)
			}
		})
	}
	// Where nobody is asked an opaque token is no token.
	wantReason(t, only(t, Issuer{}, key).at("lc_at_0123456789", Need{}, start), token.Malformed)
}

func TestSeveralIssuersAreAskedInOrder(t *testing.T) {
	down := token.Refuse(token.KeysUnavailable, "cannot be asked")
	yes := map[string]claims{"h": good().with(claims{"iss": nil})}
	tests := []struct {
		name  string
		a, b  answers
		need  Need
		want  token.Reason
		asked string
		iss   string
	}{
		{"the first knows it", answers{known: yes}, answers{known: yes}, Need{}, "", "a", issuerA},
		{"the second knows it", answers{}, answers{known: yes}, Need{}, "", "ab", issuerB},
		{"the first cannot be asked", answers{err: down}, answers{known: yes}, Need{}, "", "ab", issuerB},
		{"nobody knows it", answers{}, answers{}, Need{}, token.Revoked, "ab", ""},
		{"one does not, one cannot be asked", answers{}, answers{err: down}, Need{}, token.KeysUnavailable, "ab", ""},
		{"one cannot be asked, one does not", answers{err: down}, answers{}, Need{}, token.KeysUnavailable, "ab", ""},
		{"an error that is no refusal", answers{}, answers{err: errors.New("oops")}, Need{}, token.KeysUnavailable, "ab", ""},
		{"an answer that is none", answers{err: token.Refuse(token.Malformed, "two readings")}, answers{known: yes}, Need{}, token.Malformed, "a", ""},
		{"only those of the audience see it", answers{known: yes}, answers{known: yes}, Need{Audience: mail}, token.Malformed, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var asked []string
			tt.a.name, tt.a.asked, tt.b.name, tt.b.asked = "a", &asked, "b", &asked
			v := mustNew(t, Config{Issuers: []Issuer{
				{URL: issuerA, Audience: orders, Introspect: tt.a},
				{URL: issuerB, Audience: orders, Introspect: tt.b},
				{URL: "https://c.test", Audience: mail, Keys: Fixed{}},
			}})
			got := v.at("h", tt.need, start)
			wantReason(t, got, tt.want)
			if strings.Join(asked, "") != tt.asked || got.Claims.Issuer != tt.iss {
				t.Errorf("asked %q, issuer %q", asked, got.Claims.Issuer)
			}
		})
	}
}

// An issuer that is asked vouches for its own tokens and for nobody else's.
func TestAnAnswerSpeaksForNoOtherIssuer(t *testing.T) {
	v := mustNew(t, Config{Issuers: []Issuer{
		{URL: issuerA, Audience: orders, Introspect: answers{known: map[string]claims{"h": good().with(claims{"iss": issuerB})}}},
		{URL: issuerB, Audience: orders, Keys: Fixed{}},
	}})
	got := v.at("h", Need{}, start)
	wantReason(t, got, token.WrongIssuer)
	if got.Claims.Subject != "" {
		t.Error("its claims are handed out")
	}
}

func TestOneAnswerServesEveryAudienceOfItsIssuer(t *testing.T) {
	var asked []string
	a := answers{asked: &asked, name: "a", known: map[string]claims{"h": good().with(claims{"aud": mail})}}
	v := mustNew(t, Config{Issuers: []Issuer{
		{URL: issuerA, Audience: orders, Introspect: a},
		{URL: issuerA, Audience: mail, Introspect: a, MaxLifetime: time.Minute},
	}})
	wantReason(t, v.at("h", Need{}, start), token.LifetimeTooLong) // by mail's policy
	wantReason(t, v.at("h", Need{Audience: orders}, start), token.WrongAudience)
	if !slices.Equal(asked, []string{"a", "a"}) {
		t.Errorf("asked %q", asked)
	}
}

// Whatever a caller sends: it is asked about only if it is a b64token of bounded
// size, and an answer is judged.
func FuzzOpaque(f *testing.F) {
	for _, s := range []string{"", "h", "a.b.c", "eyJ9.e30.AA", "a=b", "\x00", strings.Repeat("=", 40), "e30.e30.e30"} {
		f.Add(s)
	}
	yes := good().with(claims{"iss": nil})
	f.Fuzz(func(t *testing.T, raw string) {
		v := mustNew(t, Config{Issuers: []Issuer{{URL: issuerA, Audience: orders, Introspect: careful{t, yes}}}})
		v.at(raw, Need{}, start)
	})
}

// careful is an Introspector that fails the test when it is asked about what no
// request may carry.
type careful struct {
	t      *testing.T
	answer claims
}

func (c careful) Introspect(_ context.Context, raw string, _ time.Time) (token.Claims, error) {
	if raw == "" || len(raw) > token.MaxSize || strings.Trim(raw, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/=") != "" {
		c.t.Errorf("asked about %q", raw)
	}
	return token.ReadClaims(c.answer.json())
}
