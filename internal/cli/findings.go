package cli

import (
	"fmt"
	"strings"
	"time"
)

// longLife is from where on a lifetime is a problem by itself: minutes are the
// rule, an hour is the most a gate takes by default.
const longLife = time.Hour

// finding is one row of what can be wrong with a token that is well formed.
type finding struct {
	found  func(t jwt, now time.Time) bool
	says   func(t jwt, now time.Time) string
	remedy string
}

func lacks(claim string) func(jwt, time.Time) bool {
	return func(t jwt, _ time.Time) bool { return text(t.claims[claim]) == "" }
}

func says(s string) func(jwt, time.Time) string { return func(jwt, time.Time) string { return s } }

// findings is read only, in the order in which people care.
var findings = []finding{
	{func(t jwt, _ time.Time) bool { return strings.EqualFold(text(t.header["alg"]), "none") },
		says("alg is none: anyone can write this token"), "refuse it; have the issuer sign"},
	{func(t jwt, _ time.Time) bool { return t.window.State == "endless" },
		says("exp is missing: it never ends"), "have the issuer set exp, minutes after iat"},
	{func(t jwt, _ time.Time) bool { return t.window.State == "expired" },
		says("it is over"), "get a new one"},
	{func(t jwt, now time.Time) bool {
		return t.window.State == "not_yet_valid" || t.window.Issued.After(now)
	},
		func(t jwt, now time.Time) string { return "it begins " + away(t.window.begin(), now) }, "check NTP on the issuer and on this host"},
	{func(t jwt, _ time.Time) bool { return t.window.Life > longLife.Seconds() },
		func(t jwt, _ time.Time) string {
			return "it lives for " + span(time.Duration(t.window.Life)*time.Second)
		},
		"issue tokens for minutes; whoever steals this one has it that long"},
	{func(t jwt, _ time.Time) bool { return t.window.begin().IsZero() },
		says("iat and nbf are missing: its life cannot be judged"), "have the issuer set iat"},
	{lacks("aud"), says("aud is missing: every service may take it"), "ask for a token with one audience"},
	{func(t jwt, _ time.Time) bool { return strings.Contains(text(t.claims["aud"]), "*") },
		says("aud is a wildcard: every service may take it"), "ask for a token with one audience"},
	{func(t jwt, _ time.Time) bool { list, _ := t.claims["aud"].([]any); return len(list) > 1 },
		func(t jwt, _ time.Time) string {
			list, _ := t.claims["aud"].([]any)
			return fmt.Sprintf("aud lists %d audiences: each can use it at the others", len(list))
		},
		"ask for one token per audience"},
	{lacks("iss"), says("iss is missing: nobody knows whose keys verify it"), "have the issuer set iss"},
	{lacks("sub"), says("sub is missing: it speaks for nobody"), "have the issuer set sub"},
	{lacks("jti"), says("jti is missing: it cannot be ended early by itself"), "have the issuer set jti"},
	{func(t jwt, _ time.Time) bool { return strings.HasPrefix(text(t.header["alg"]), "HS") },
		says("it is signed with a shared secret: every verifier can write such tokens"), "sign with ES256 and publish the key"},
	{func(t jwt, _ time.Time) bool {
		for _, m := range []string{"jwk", "jku", "x5u", "x5c"} {
			if t.header[m] != nil {
				return true
			}
		}
		return false
	}, says("its header brings a key or says where one is: a verifier must not believe that"), "have the issuer publish its keys and send kid only"},
	{func(t jwt, _ time.Time) bool { return t.header["kid"] == nil && text(t.header["alg"]) != "none" },
		says("kid is missing: keys cannot rotate without guessing"), "have the issuer send kid"},
	{func(t jwt, _ time.Time) bool { return t.header["typ"] == nil },
		says("typ is missing: it can be taken for another kind of token"), "have the issuer set typ at+jwt (RFC 9068)"},
}
