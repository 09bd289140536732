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
// the audience, the window, the lifetime, client, scopes, binding, early ends,
// and the single use. The first failure is the verdict. It waits at most for one
// fetch of keys, or for the answers of those whom it asks about the token, as
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

// reading is what a token says. Once its signature held it does not change.
type reading struct {
	claims token.Claims
	lacks  []string // what is absent or empty of all that its issuer's policies require
	*header
}

// header is what a token's header says, and the key that verified the token: much
// the same for all tokens of an issuer.
type header struct {
	alg token.Algorithm
	kid string
	typ string
	key token.Key // zero before the signature held
}

// newReading returns a reading with its header in one piece of memory.
func newReading(h header) *reading {
	both := &struct {
		reading
		own header
	}{own: h}
	both.header = &both.own
	return &both.reading
}

func (v *Verifier) judge(ctx context.Context, raw string, need Need, now time.Time, out *Verdict) error {
	if r := v.cache.find(raw, now); r != nil {
		p, err := v.chooseKnown(r, need, now)
		if err != nil {
			return err
		}
		if p.holds(r) {
			return v.checkClaims(ctx, p, r, need, now, out)
		}
	}
	if v.opaque(raw) {
		return v.judgeOpaque(ctx, raw, need, now, out)
	}
	j, err := token.Parse(raw)
	if err != nil {
		return err
	}
	r := newReading(header{alg: j.Algorithm(), kid: j.KeyID(), typ: j.Type()})
	if r.claims, err = j.Claims(); err != nil {
		return err
	}
	p, err := v.choose(&r.claims, need)
	if err != nil {
		return err
	}
	if p.Introspect != nil {
		return v.judgeAsked(ctx, p, raw, need, now, out)
	}
	if err := v.authenticate(ctx, p, j, r, now); err != nil {
		return err
	}
	v.skew.Token(&r.claims, now)
	v.cache.add(raw, r, p, now)
	return v.checkClaims(ctx, p, r, need, now, out)
}

// chooseKnown does for a token whose signature held before what comes before the
// key's own turn.
func (v *Verifier) chooseKnown(r *reading, need Need, now time.Time) (*policy, error) {
	p, err := v.choose(&r.claims, need)
	if err != nil {
		return nil, err
	}
	return p, v.checkAlgorithm(p, r.alg, r.kid, &r.claims, now)
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
		return nil, token.Refuse(token.WrongIssuer, "iss %q is not an issuer accepted here", token.Clip(c.Issuer))
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

func (p *policy) serves(need Need) bool {
	if need.Users && p.SubjectFrom == "" {
		return false
	}
	return need.Audience == "" || need.Audience == p.Audience
}

// authenticate finds the key that signed the token. Keys come from the issuer's
// own policy and from nowhere else (RFC 8725 section 3.8).
func (v *Verifier) authenticate(ctx context.Context, p *policy, j token.JWS, r *reading, now time.Time) error {
	if err := v.checkAlgorithm(p, r.alg, r.kid, &r.claims, now); err != nil {
		return err
	}
	keys, err := p.Keys.Keys(ctx, r.kid, r.alg)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if j.Verify(k) == nil {
			r.key, r.lacks = k, v.lacks(&r.claims)
			return nil
		}
	}
	return badSignature(r.alg, keys)
}

// lacks returns what c lacks of all that its issuer's policies require.
func (v *Verifier) lacks(c *token.Claims) []string {
	if required := v.required[c.Issuer]; len(required) > 0 {
		return c.Lacks(required)
	}
	return nil
}

// checkAlgorithm judges what is known of the key before anybody looks for it. One
// that was withdrawn is refused here: the search for a key that is in no set any
// more would use up the one fetch that its successor may need.
func (v *Verifier) checkAlgorithm(p *policy, alg token.Algorithm, kid string, c *token.Claims, now time.Time) error {
	if !slices.Contains(p.Algorithms, alg) {
		return token.Refuse(token.BadAlgorithm, "alg %s is not accepted from %s; accepted: %s", alg, p.URL, listed(p.Algorithms))
	}
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
		prints = append(prints, fmt.Sprintf("%s (kid %q)", token.Fingerprint(k), token.Clip(k.ID())))
	}
	more := ""
	if n := len(keys) - shown; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return token.Refuse(token.BadSignature, "%s signature does not match key %s%s: compare the fingerprint with the issuer's", alg, strings.Join(prints, ", "), more)
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
		names = append(names, fmt.Sprintf("%q", token.Clip(s)))
	}
	if len(list) > shown {
		names = append(names, fmt.Sprintf("%d more", len(list)-shown))
	}
	return "[" + strings.Join(names, ", ") + "]"
}
