package verify

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/longcase/longcase/token"
)

// maxAsked is how many issuers one opaque token is shown to.
const maxAsked = 4

// opaque reports whether raw is for an issuer to read, and not a compact JWS.
func (v *Verifier) opaque(raw string) bool {
	return len(v.asked) > 0 && !compact(raw)
}

// compact reports whether raw means to be a compact JWS: three parts, of which
// the first begins a JSON object. What is wrong with it is the codec's to say.
func compact(raw string) bool {
	if strings.Count(raw, ".") != 2 || len(raw) < 4 {
		return false
	}
	begin, err := base64.RawURLEncoding.DecodeString(raw[:4])
	return err == nil && len(begin) > 0 && begin[0] == '{'
}

// judgeOpaque asks the issuers that serve need about a token, in their order:
// the first that knows it answers for it.
func (v *Verifier) judgeOpaque(ctx context.Context, raw string, need Need, now time.Time, out *Verdict) error {
	if err := checkBearer(raw); err != nil {
		return err
	}
	err := error(token.Refuse(token.Malformed, "the token is no compact JWS, and no issuer for this audience is asked about others"))
	for _, url := range v.asked {
		p := v.serving(url, need)
		if p == nil {
			continue
		}
		r, asked := v.ask(ctx, p, raw, need, now)
		if asked == nil {
			return v.checkClaims(ctx, r.policy, r.reading, need, now, out)
		}
		if !errors.Is(asked, token.Revoked) || !errors.Is(err, token.KeysUnavailable) {
			err = asked // that one could not be asked outweighs that others do not know it
		}
		if !errors.Is(asked, token.Revoked) && !errors.Is(asked, token.KeysUnavailable) {
			return asked
		}
	}
	return err
}

// serving returns an issuer's first policy for what need asks, nil if there is
// none.
func (v *Verifier) serving(url string, need Need) *policy {
	for i := range v.issuers[url] {
		if p := &v.issuers[url][i]; p.serves(need) {
			return p
		}
	}
	return nil
}

// judgeAsked judges a token of an issuer that is asked instead of believed.
func (v *Verifier) judgeAsked(ctx context.Context, p *policy, raw string, need Need, now time.Time, out *Verdict) error {
	a, err := v.ask(ctx, p, raw, need, now)
	if err != nil {
		return err
	}
	return v.checkClaims(ctx, a.policy, a.reading, need, now, out)
}

// answer is what an issuer said of a token, and the policy for it.
type answer struct {
	policy  *policy
	reading *reading
}

// ask asks p's issuer. An answer that names no issuer is its own (RFC 7662
// section 2.2: iss is optional); one that names another is not taken.
func (v *Verifier) ask(ctx context.Context, p *policy, raw string, need Need, now time.Time) (answer, error) {
	c, err := p.Introspect.Introspect(ctx, raw, now)
	if err != nil {
		return answer{}, asRefusal(err, token.KeysUnavailable)
	}
	if c.Issuer == "" {
		c.Issuer = p.URL
	}
	if c.Issuer != p.URL {
		return answer{}, token.Refuse(token.WrongIssuer, "iss %q is what %s says of this token", token.Clip(c.Issuer), p.URL)
	}
	p, err = v.choose(&c, need)
	if err != nil {
		return answer{}, err
	}
	r := newReading(header{})
	r.claims, r.lacks = c, v.lacks(&c)
	return answer{p, r}, nil
}

// checkBearer judges the form of a token that nobody here can read: b64token of
// RFC 6750 section 2.1.
func checkBearer(raw string) error {
	if len(raw) > token.MaxSize {
		return token.Refuse(token.TooLarge, "token has %d bytes, %d are the most", len(raw), token.MaxSize)
	}
	text := strings.TrimRight(raw, "=")
	if text == "" || strings.ContainsFunc(text, notBearer) {
		return token.Refuse(token.Malformed, "a token is letters, digits and -._~+/, then = (RFC 6750 section 2.1)")
	}
	return nil
}

func notBearer(r rune) bool {
	return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune("-._~+/", r)
}
