package verify

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/longcase/longcase/token"
)

// checkClaims judges a token whose signature holds, or whose issuer vouched for
// it.
func (v *Verifier) checkClaims(ctx context.Context, p *policy, r *reading, need Need, now time.Time, out *Verdict) error {
	c := &r.claims
	out.Claims, out.KeyID = r.claims, r.key.ID()
	if err := p.checkType(r.typ); err != nil {
		return err
	}
	if err := p.checkPresent(r, need); err != nil {
		return err
	}
	if err := p.checkAudienceOf(c, need); err != nil {
		return err
	}
	if p.SubjectFrom != "" {
		c = p.subjectFromAudience(c)
		out.Claims.Subject = c.Subject
	}
	if err := v.checkWindow(p, c, now, out); err != nil {
		return err
	}
	if err := v.checkLifetime(p, c, now, out); err != nil {
		return err
	}
	if err := checkNeed(c, need); err != nil {
		return err
	}
	if err := checkBinding(c, need, now); err != nil {
		return err
	}
	if err := v.checkEnded(r.key.ID(), c, now); err != nil {
		return err
	}
	return v.checkOnce(ctx, c, need)
}

// checkType compares "typ" (RFC 9068 section 4, RFC 8725 section 3.11).
func (p *policy) checkType(typ string) error {
	if p.Introspect != nil {
		return nil // there is none
	}
	switch typ {
	case "at+jwt", "application/at+jwt":
		return nil
	case "", "jwt":
		if p.Profile == JWT {
			return nil
		}
	}
	want := `"at+jwt"`
	if p.Profile == JWT {
		want = `absent, "JWT" or "at+jwt"`
	}
	return token.Refuse(token.WrongType, "typ is %q; it must be %s", token.Clip(typ), want)
}

// checkPresent names every required claim that is absent or empty: those of the
// profile, the policy's Required, and "jti" where the token is to be used once.
// "iss" was seen before.
func (p *policy) checkPresent(r *reading, need Need) error {
	c := &r.claims
	if c.Subject != "" && len(c.Audience) > 0 && !c.Expires.IsZero() && !c.IssuedAt.IsZero() && c.ID != "" && c.ClientID != "" && r.lacks == nil {
		return nil
	}
	var absent []string
	missing := func(name string, is bool) {
		if is {
			absent = append(absent, name)
		}
	}
	full, asked := p.Profile == RFC9068 && p.Introspect == nil, p.Introspect != nil
	missing("sub", c.Subject == "" && !asked)
	missing("sub and client_id", c.Subject == "" && c.ClientID == "" && asked)
	missing("aud", len(c.Audience) == 0)
	missing("exp", c.Expires.IsZero())
	missing("iat", c.IssuedAt.IsZero() && full)
	missing("jti", c.ID == "" && (full || need.Once))
	missing("client_id", c.ClientID == "" && full)
	for _, name := range r.lacks {
		missing(name, slices.Contains(p.Required, name) && !slices.Contains(absent, name))
	}
	if len(absent) == 0 {
		return nil
	}
	return token.Refuse(token.MissingClaim, "absent or empty: %s", strings.Join(absent, ", "))
}

// checkAudienceOf compares "aud" byte for byte. With RFC9068 it is one
// audience, with JWT it may list others too.
func (p *policy) checkAudienceOf(c *token.Claims, need Need) error {
	if p.SubjectFrom != "" {
		return p.checkUser(c, need)
	}
	if need.Users {
		return token.Refuse(token.WrongAudience, "tokens of %s are for a service; this route takes tokens whose aud is the user", p.URL)
	}
	want := p.Audience
	if need.Audience != "" {
		want = need.Audience
	}
	switch {
	case !slices.Contains(c.Audience, want):
		return token.Refuse(token.WrongAudience, "aud is %s; this service is %q", quoted(c.Audience), want)
	case want != p.Audience:
		return token.Refuse(token.WrongIssuer, "iss %q is not accepted for audience %q", p.URL, want)
	case p.Profile == RFC9068 && len(c.Audience) != 1:
		return token.Refuse(token.WrongAudience, "aud lists %d audiences; profile %s takes exactly one", len(c.Audience), p.Profile)
	}
	return nil
}

// checkUser takes tokens whose one audience is the user (incident 2).
func (p *policy) checkUser(c *token.Claims, need Need) error {
	if need.Audience != "" {
		return token.Refuse(token.WrongAudience, "tokens of %s name a user, not an audience; this route asks for %q", p.URL, need.Audience)
	}
	if len(c.Audience) != 1 || c.Audience[0] == "" {
		return token.Refuse(token.WrongAudience, "aud is %s; it must be one user", quoted(c.Audience))
	}
	return nil
}

// subjectFromAudience returns a copy of c whose subject is its audience.
func (p *policy) subjectFromAudience(c *token.Claims) *token.Claims {
	own := *c
	own.Subject = own.Audience[0]
	return &own
}

// checkNeed judges what the request asks for beyond a valid token.
func checkNeed(c *token.Claims, need Need) error {
	if len(need.Clients) > 0 && !slices.Contains(need.Clients, c.ClientID) {
		return token.Refuse(token.ClientNotAllowed, "client %q is not on this route's list", token.Clip(c.ClientID))
	}
	if len(need.Scopes) == 0 {
		return nil
	}
	for _, s := range need.Scopes {
		if !hasScope(c.Scope, s) {
			return token.Refuse(token.InsufficientScope, "scope %q is needed; the token has %q", strings.Join(need.Scopes, " "), token.Clip(c.Scope))
		}
	}
	return nil
}

// hasScope is slices.Contains(c.Scopes(), want) without the slice.
func hasScope(scope, want string) bool {
	for scope != "" {
		one, rest, _ := strings.Cut(scope, " ")
		if one == want && one != "" {
			return true
		}
		scope = rest
	}
	return false
}

// checkEnded asks for an early end. An error that is no refusal means that
// nobody knows: refused.
func (v *Verifier) checkEnded(kid string, c *token.Claims, now time.Time) error {
	if v.ended == nil {
		return nil
	}
	if err := v.ended(kid, c, now); err != nil {
		return asRefusal(err, token.RevocationsStale)
	}
	return nil
}
