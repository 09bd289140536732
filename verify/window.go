package verify

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/longcase/longcase/token"
)

// checkWindow judges exp, nbf and iat. nbf and iat up to 10 s ahead always
// pass, however small the leeway is (FAPI 2.0 section 5.3.2.1).
func (p *policy) checkWindow(c *token.Claims, now time.Time, out *Verdict) error {
	if err := (token.Window{Expires: c.Expires}).Check(now, p.Leeway); err != nil {
		return err
	}
	ahead := max(p.Leeway, aheadAlways)
	if err := c.Window().Check(now, ahead); errors.Is(err, token.NotYetValid) {
		return early(token.NotYetValid, "nbf", c.NotBefore, c, now, ahead, out)
	}
	issued := token.Window{NotBefore: c.IssuedAt, Expires: c.Expires}
	if err := issued.Check(now, ahead); errors.Is(err, token.NotYetValid) {
		return early(token.IssuedInFuture, "iat", c.IssuedAt, c, now, ahead, out)
	}
	return nil
}

// early names the clock that is wrong. No issuer dates iat into its own future,
// so iat - now is the least that its clock is ahead of ours; nbf says the same
// only where iat is absent.
func early(r token.Reason, claim string, at time.Time, c *token.Claims, now time.Time, leeway time.Duration, out *Verdict) error {
	what := fmt.Sprintf("%s is %s in the future (leeway %s)", claim, seconds(at.Sub(now)), seconds(leeway))
	witness, stamp := "iat", c.IssuedAt
	if stamp.IsZero() {
		witness, stamp = claim, at
	}
	skew := stamp.Sub(now)
	if skew <= 0 {
		return token.Refuse(r, "%s; iat is not, so the issuer lets this token begin later", what)
	}
	out.Skew = &skew
	return token.Refuse(r, "%s; this token alone says that the issuer's clock is at least %s ahead of this host: check NTP there (%s %s, this host %s)",
		what, seconds(skew), witness, instant(stamp), instant(now))
}

// checkLifetime bounds exp - iat, or exp - nbf where iat is absent, or what is
// left of the life where both are.
func (p *policy) checkLifetime(c *token.Claims, now time.Time) error {
	life, from := c.Expires.Sub(c.IssuedAt), "exp - iat"
	switch {
	case !c.IssuedAt.IsZero():
	case !c.NotBefore.IsZero():
		life, from = c.Window().Life(), "exp - nbf"
	default:
		life, from = c.Expires.Sub(now)-p.Leeway, "exp - now"
	}
	if life <= p.MaxLifetime {
		return nil
	}
	return token.Refuse(token.LifetimeTooLong, "%s is %s; at most %s is accepted from %s", from, seconds(life), seconds(p.MaxLifetime), p.URL)
}

// seconds writes d as "21 s" or "0.4 s".
func seconds(d time.Duration) string {
	s := d.Round(100 * time.Millisecond).Seconds()
	return strconv.FormatFloat(s, 'f', -1, 64) + " s"
}

func instant(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.999Z") }
