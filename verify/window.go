package verify

import (
	"fmt"
	"time"

	"github.com/longcase/longcase/token"
)

// margins are how far clocks may disagree: ahead for nbf and iat, behind for exp.
type margins struct{ ahead, behind time.Duration }

// margins of the policy alone: nbf and iat up to 10 s ahead always pass, however
// small the leeway is (FAPI 2.0 section 5.3.2.1).
func (p *policy) margins() margins {
	return margins{ahead: max(p.Leeway, aheadAlways), behind: p.Leeway}
}

// measured are the policy's margins, widened in the direction in which a clock of
// the issuer was measured: to its bound and 1 s more, and never beyond MaxLeeway.
// What a single token says of a clock widens nothing, or each token would be the
// reason for its own acceptance; and tokens alone do not say that a clock is
// behind, for late ones look the same.
func (v *Verifier) measured(p *policy, now time.Time) margins {
	m := p.margins()
	e, _ := v.skew.Of(p.URL, now)
	for _, c := range e.Clocks {
		if c.Dates > 0 || c.Tokens > 1 {
			m.ahead = max(m.ahead, min(c.High+time.Second, MaxLeeway))
		}
		if c.Dates > 0 {
			m.behind = max(m.behind, min(time.Second-c.Low, MaxLeeway))
		}
	}
	return m
}

// checkWindow judges exp, nbf and iat.
func (v *Verifier) checkWindow(p *policy, c *token.Claims, now time.Time, out *Verdict) error {
	m := p.margins()
	r := m.check(c, now)
	if r != "" && p.FollowSkew {
		m = v.measured(p, now)
		r = m.check(c, now)
	}
	switch r {
	case "":
		return nil
	case token.Expired:
		return v.over(p, c, now, m, out)
	case token.NotYetValid:
		return v.early(p, r, "nbf", c.NotBefore, c, now, m, out)
	default:
		return v.early(p, r, "iat", c.IssuedAt, c, now, m, out)
	}
}

// check returns why a token may not be used at now, empty if it may.
func (m margins) check(c *token.Claims, now time.Time) token.Reason {
	if (token.Window{Expires: c.Expires}).Check(now, m.behind) != nil {
		return token.Expired
	}
	switch {
	case now.Before(c.NotBefore.Add(-m.ahead)):
		return token.NotYetValid
	case now.Before(c.IssuedAt.Add(-m.ahead)):
		return token.IssuedInFuture
	}
	return ""
}

// over says that a token is over, and what is known of the clock that said when.
func (v *Verifier) over(p *policy, c *token.Claims, now time.Time, m margins, out *Verdict) error {
	what := fmt.Sprintf("exp was %s ago (leeway %s)", token.Seconds(now.Sub(c.Expires)), token.Seconds(m.behind))
	return token.Refuse(token.Expired, "%s%s", what, v.known(p, now, out))
}

// known is what is known of the issuer's clock and of this host's, as the end of
// a sentence, and writes how far they are apart into the verdict. Empty: nothing.
func (v *Verifier) known(p *policy, now time.Time, out *Verdict) string {
	if e, ok := v.skew.Of(p.URL, now); ok {
		skew := e.Skew()
		out.Skew = &skew
	}
	if s := v.skew.Sentence(p.URL, now); s != "" {
		return "; " + s
	}
	return ""
}

// alone reports whether nothing is known of the clocks but what one token said.
func (v *Verifier) alone(p *policy, now time.Time) bool {
	e, _ := v.skew.Of(p.URL, now)
	_, host := v.skew.Host(now)
	return !host && e.Tokens+e.Dates < 2
}

// early names the clock that is wrong. No issuer dates iat into its own future,
// so iat - now is the least that its clock is ahead of ours; nbf says the same
// only where iat is absent. That is all there is to say as long as nothing but
// this token spoke of that clock.
func (v *Verifier) early(p *policy, r token.Reason, claim string, at time.Time, c *token.Claims, now time.Time, m margins, out *Verdict) error {
	what := fmt.Sprintf("%s is %s in the future (leeway %s)", claim, token.Seconds(at.Sub(now)), token.Seconds(m.ahead))
	witness, stamp := "iat", c.IssuedAt
	if stamp.IsZero() {
		witness, stamp = claim, at
	}
	skew := stamp.Sub(now)
	if skew <= 0 {
		return token.Refuse(r, "%s; iat is not, so the issuer lets this token begin later%s", what, v.known(p, now, out))
	}
	out.Skew = &skew
	if !v.alone(p, now) {
		if s := v.known(p, now, out); s != "" {
			return token.Refuse(r, "%s%s", what, s)
		}
	}
	return token.Refuse(r, "%s; this token alone says that the issuer's clock is at least %s ahead of this host: check NTP there (%s %s, this host %s)",
		what, token.Seconds(skew), witness, instant(stamp), instant(now))
}

// checkLifetime bounds exp - iat, or exp - nbf where iat is absent, or what is
// left of the life where both are.
func (v *Verifier) checkLifetime(p *policy, c *token.Claims, now time.Time, out *Verdict) error {
	life, from := c.Expires.Sub(c.IssuedAt), "exp - iat"
	switch {
	case !c.IssuedAt.IsZero():
	case !c.NotBefore.IsZero():
		life, from = c.Window().Life(), "exp - nbf"
	default:
		return v.checkRest(p, c, now, out)
	}
	if life <= p.MaxLifetime {
		return nil
	}
	return tooLong(p, from, life, "")
}

// checkRest bounds what is left of a life whose beginning is not told. A clock
// that is ahead makes it seem longer.
func (v *Verifier) checkRest(p *policy, c *token.Claims, now time.Time, out *Verdict) error {
	rest := c.Expires.Sub(now)
	life := rest - p.margins().ahead
	if life > p.MaxLifetime && p.FollowSkew {
		life = rest - v.measured(p, now).ahead
	}
	if life <= p.MaxLifetime {
		return nil
	}
	return tooLong(p, "exp - now", life, v.known(p, now, out))
}

func tooLong(p *policy, from string, life time.Duration, known string) error {
	return token.Refuse(token.LifetimeTooLong, "%s is %s; at most %s is accepted from %s%s", from, token.Seconds(life), token.Seconds(p.MaxLifetime), p.URL, known)
}

func instant(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.999Z") }
