package token

import "time"

// Window is the half-open interval [NotBefore, Expires) in which a token may
// be used. Both ends are UTC; a JWT NumericDate (RFC 7519, section 2) may have a
// fraction. The zero Window is never live.
type Window struct {
	NotBefore time.Time // "nbf", or the zero time where nbf is absent: no beginning
	Expires   time.Time // "exp"; the first instant of refusal
}

// Check reports whether the token may be used at now, allowing clocks to
// disagree by leeway. The error is nil or an *Error with Reason NotYetValid or
// Expired. It is the one place where an expiry is decided.
func (w Window) Check(now time.Time, leeway time.Duration) error {
	if !now.Before(w.Expires.Add(leeway)) {
		return Refuse(Expired, "exp was %s ago (leeway %s)", Seconds(now.Sub(w.Expires)), Seconds(leeway))
	}
	if now.Before(w.NotBefore.Add(-leeway)) {
		return Refuse(NotYetValid, "nbf is %s in the future (leeway %s)", Seconds(w.NotBefore.Sub(now)), Seconds(leeway))
	}
	return nil
}

// Life is the length of the window, zero if it has no beginning.
func (w Window) Life() time.Duration {
	if w.NotBefore.IsZero() {
		return 0
	}
	return w.Expires.Sub(w.NotBefore)
}
