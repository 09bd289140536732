package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/longcase/longcase/token"
)

// Verify says whether raw may be used at now for what need asks. It looks, in
// this order, at size and form, the issuer (which chooses the keys), the
// algorithm, the key, the signature, the type, the claims that must be there,
// the audience, the window, the lifetime, client, scopes, binding, and early ends. The
// first failure is the verdict. It waits at most for one fetch of keys, as
// long as ctx allows.
func (v *Verifier) Verify(ctx context.Context, raw string, need Need, now time.Time) Verdict {
	var out Verdict
	if err := v.judge(ctx, raw, need, now, &out); err != nil {
		out.refuse(err)
	}
	return out
}

// refuse writes err into the verdict. An error that is no refusal would be a
// defect of a part that was passed in; it refuses too.
func (v *Verdict) refuse(err error) {
	var e *token.Error
	if !errors.As(err, &e) {
		e = &token.Error{Reason: token.KeysUnavailable, Err: err}
	}
	v.Reason, v.Detail, v.Err = e.Reason, e.Detail, e.Err
}

func (v *Verifier) judge(ctx context.Context, raw string, need Need, now time.Time, out *Verdict) error {
	j, err := token.Parse(raw)
	if err != nil {
		return err
	}
	c, err := j.Claims()
	if err != nil {
		return err
	}
	p, err := v.choose(&c, need)
	if err != nil {
		return err
	}
	key, err := v.authenticate(ctx, p, j, &c, now)
	if err != nil {
		return err
	}
	out.Claims, out.KeyID = c, key.ID()
	return v.checkClaims(ctx, p, j, need, now, out)
}

// choose returns the policy for the issuer the token claims: the one for the
// audience it and need name, else any of that issuer's, whose audience check
// will fail.
func (v *Verifier) choose(c *token.Claims, need Need) (*policy, error) {
	if c.Issuer == "" {
		return nil, token.Refuse(token.MissingClaim, "iss is absent")
	}
	policies := v.issuers[c.Issuer]
	if len(policies) == 0 {
		return nil, token.Refuse(token.WrongIssuer, "iss %q is not an issuer accepted here", clip(c.Issuer))
	}
	for i := range policies {
		if p := &policies[i]; p.serves(need) && (p.SubjectFrom != "" || slices.Contains(c.Audience, p.Audience)) {
			return p, nil
		}
	}
	for i := range policies {
		if policies[i].serves(need) {
			return &policies[i], nil
		}
	}
	return &policies[0], nil
}

func (p *policy) serves(need Need) bool { return need.Audience == "" || need.Audience == p.Audience }

// authenticate returns the key that signed the token. Keys come from the
// issuer's own policy and from nowhere else (RFC 8725 section 3.8).
func (v *Verifier) authenticate(ctx context.Context, p *policy, j token.JWS, c *token.Claims, now time.Time) (token.Key, error) {
	if !slices.Contains(p.Algorithms, j.Algorithm()) {
		return token.Key{}, token.Refuse(token.BadAlgorithm, "alg %s is not accepted from %s; accepted: %s", j.Algorithm(), p.URL, listed(p.Algorithms))
	}
	if err := v.withdrawn(j.KeyID(), c, now); err != nil {
		return token.Key{}, err
	}
	keys, err := p.Keys.Keys(ctx, j.KeyID(), j.Algorithm())
	if err != nil {
		return token.Key{}, err
	}
	for _, k := range keys {
		if j.Verify(k) == nil {
			return k, nil
		}
	}
	return token.Key{}, badSignature(j.Algorithm(), keys)
}

// withdrawn refuses a key that was withdrawn, before anybody looks for it: the
// search for a key that is in no set any more would use up the one fetch that
// its successor may need.
func (v *Verifier) withdrawn(kid string, c *token.Claims, now time.Time) error {
	if v.ended == nil || kid == "" {
		return nil
	}
	if err := v.ended(kid, c, now); errors.Is(err, token.KeyRevoked) {
		return err
	}
	return nil
}

func badSignature(alg token.Algorithm, keys []token.Key) error {
	const shown = 2
	prints := make([]string, 0, shown)
	for _, k := range keys[:min(len(keys), shown)] {
		prints = append(prints, fmt.Sprintf("%s (kid %q)", token.Fingerprint(k), clip(k.ID())))
	}
	more := ""
	if n := len(keys) - shown; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return token.Refuse(token.BadSignature, "%s signature does not match key %s%s: compare the fingerprint with the issuer's", alg, strings.Join(prints, ", "), more)
}

// checkClaims judges a token whose signature holds.
func (v *Verifier) checkClaims(ctx context.Context, p *policy, j token.JWS, need Need, now time.Time, out *Verdict) error {
	c := &out.Claims
	if err := p.checkType(j.Type()); err != nil {
		return err
	}
	if err := p.checkPresent(c, need); err != nil {
		return err
	}
	if err := p.checkAudienceOf(c, need); err != nil {
		return err
	}
	if err := p.checkWindow(c, now, out); err != nil {
		return err
	}
	if err := p.checkLifetime(c, now); err != nil {
		return err
	}
	if err := checkNeed(c, need); err != nil {
		return err
	}
	if err := checkBinding(c, need, now); err != nil {
		return err
	}
	if err := v.checkEnded(out.KeyID, c, now); err != nil {
		return err
	}
	return v.checkOnce(ctx, c, need)
}

// checkType compares "typ" (RFC 9068 section 4, RFC 8725 section 3.11).
func (p *policy) checkType(typ string) error {
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
	return token.Refuse(token.WrongType, "typ is %q; it must be %s", clip(typ), want)
}

// checkPresent names every required claim that is absent or empty: those of the
// profile, the policy's Required, and "jti" where the token is to be used once.
// "iss" was seen before.
func (p *policy) checkPresent(c *token.Claims, need Need) error {
	if c.Subject != "" && c.Audience != nil && !c.Expires.IsZero() && (c.ID != "" || !need.Once) && len(p.Required) == 0 &&
		(p.Profile == JWT || !c.IssuedAt.IsZero() && c.ID != "" && c.ClientID != "") {
		return nil
	}
	var absent []string
	missing := func(name string, is bool) {
		if is {
			absent = append(absent, name)
		}
	}
	missing("sub", c.Subject == "")
	missing("aud", c.Audience == nil)
	missing("exp", c.Expires.IsZero())
	missing("iat", c.IssuedAt.IsZero() && p.Profile == RFC9068)
	missing("jti", c.ID == "" && (p.Profile == RFC9068 || need.Once))
	missing("client_id", c.ClientID == "" && p.Profile == RFC9068)
	for _, name := range c.Lacks(p.Required) {
		missing(name, !slices.Contains(absent, name))
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
		return p.subjectFromAudience(c, need)
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

// subjectFromAudience takes tokens whose one audience is the user (incident 2).
func (p *policy) subjectFromAudience(c *token.Claims, need Need) error {
	if need.Audience != "" {
		return token.Refuse(token.WrongAudience, "tokens of %s name a user, not an audience; this route asks for %q", p.URL, need.Audience)
	}
	if len(c.Audience) != 1 || c.Audience[0] == "" {
		return token.Refuse(token.WrongAudience, "aud is %s; it must be one user", quoted(c.Audience))
	}
	c.Subject = c.Audience[0]
	return nil
}

// checkNeed judges what the request asks for beyond a valid token.
func checkNeed(c *token.Claims, need Need) error {
	if len(need.Clients) > 0 && !slices.Contains(need.Clients, c.ClientID) {
		return token.Refuse(token.ClientNotAllowed, "client %q is not on this route's list", clip(c.ClientID))
	}
	if len(need.Scopes) == 0 {
		return nil
	}
	has := c.Scopes()
	for _, s := range need.Scopes {
		if !slices.Contains(has, s) {
			return token.Refuse(token.InsufficientScope, "scope %q is needed; the token has %q", strings.Join(need.Scopes, " "), clip(c.Scope))
		}
	}
	return nil
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

func listed(algs []token.Algorithm) string {
	names := make([]string, len(algs))
	for i, a := range algs {
		names[i] = string(a)
	}
	return strings.Join(names, ", ")
}

// quoted shows at most three names.
func quoted(list []string) string {
	const shown = 3
	names := make([]string, 0, shown)
	for _, s := range list[:min(len(list), shown)] {
		names = append(names, fmt.Sprintf("%q", clip(s)))
	}
	if len(list) > shown {
		names = append(names, fmt.Sprintf("%d more", len(list)-shown))
	}
	return "[" + strings.Join(names, ", ") + "]"
}

// clip bounds what a token can put into a sentence.
func clip(s string) string {
	const most = 128
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
