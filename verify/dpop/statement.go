package dpop

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/longcase/longcase/token"
)

// statement is what a proof says (RFC 9449 section 4.2).
type statement struct {
	id     string // "jti"
	method string // "htm"
	url    string // "htu"
	hash   string // "ath"
	nonce  string
	issued time.Time // "iat"
}

// readStatement reads the payload (check 3). What must be there is there and not
// empty; "nonce" may be absent.
func readStatement(j token.JWS) (s statement, err error) {
	c, err := j.Claims()
	if err != nil {
		return s, malformed(err)
	}
	s.id, s.issued = c.ID, c.IssuedAt
	for _, m := range []struct {
		name  string
		field *string
	}{{"htm", &s.method}, {"htu", &s.url}, {"ath", &s.hash}, {"nonce", &s.nonce}} {
		if raw, ok := c.Member(m.name); ok && json.Unmarshal(raw, m.field) != nil {
			return s, invalid("%s is not a string", m.name)
		}
	}
	if absent := s.absent(); len(absent) > 0 {
		return s, invalid("absent or empty in the proof: %s", strings.Join(absent, ", "))
	}
	if len(s.id) > MaxID {
		return s, invalid("jti has %d bytes, %d are the most", len(s.id), MaxID)
	}
	return s, nil
}

// absent names what the proof lacks.
func (s statement) absent() []string {
	var names []string
	need := func(name string, there bool) {
		if !there {
			names = append(names, name)
		}
	}
	need("jti", s.id != "")
	need("htm", s.method != "")
	need("htu", s.url != "")
	need("iat", !s.issued.IsZero())
	need("ath", s.hash != "")
	return names
}

// check compares the statement with the request (checks 8 to 12) and returns the
// URL that both mean.
func (s statement) check(want Want, now time.Time) (where string, err error) {
	if s.method != want.Method {
		return "", invalid("htm is %q; the request's method is %q", token.Clip(s.method), token.Clip(want.Method))
	}
	if where, err = s.checkURL(want.URL); err != nil {
		return "", err
	}
	given, err := s.checkNonce(want.Nonces, now)
	if err != nil {
		return "", err
	}
	if err := s.checkAge(given, now); err != nil {
		return "", err
	}
	if s.hash != digest(want.Token) {
		return "", invalid("ath is not the SHA-256 of the access token that came with the proof")
	}
	return where, nil
}

func (s statement) checkURL(called string) (string, error) {
	here, err := normalize(called)
	if err != nil {
		return "", invalid("the request's own URL %q cannot be compared: %v", token.Clip(called), err)
	}
	said, err := normalize(s.url)
	if err != nil {
		return "", invalid("htu %q: %v", token.Clip(s.url), err)
	}
	if said != here {
		return "", invalid("htu is %q; the request came for %q", token.Clip(said), token.Clip(here))
	}
	return here, nil
}

// checkNonce returns the first instant at which the nonce may have been given,
// the zero time where none is demanded.
func (s statement) checkNonce(nonces *Nonces, now time.Time) (time.Time, error) {
	if nonces == nil {
		return time.Time{}, nil
	}
	if s.nonce == "" {
		return time.Time{}, missing(ErrUseNonce, "the proof has no nonce; repeat the request with the one in DPoP-Nonce")
	}
	given, ok := nonces.given(s.nonce, now)
	if !ok {
		return time.Time{}, missing(ErrUseNonce, "the proof's nonce is none of the last %s; repeat the request with the one in DPoP-Nonce", 2*slot)
	}
	return given, nil
}

// checkAge judges "iat". A nonce that was given lately proves that a proof which
// seems old was made lately: then it is the client's clock that is wrong.
func (s statement) checkAge(given, now time.Time) error {
	age := now.Sub(s.issued)
	switch {
	case age > MaxAge && s.issued.Before(given):
		return invalid("iat is %s old (at most %s), but the proof's nonce was given after that: the client's clock is at least %s behind this host's",
			token.Seconds(age), token.Seconds(MaxAge), token.Seconds(given.Sub(s.issued)))
	case age > MaxAge:
		return invalid("iat is %s old (at most %s): make a proof for each request", token.Seconds(age), token.Seconds(MaxAge))
	case age < -MaxAhead:
		return invalid("iat is %s in the future (at most %s): the client's clock is at least that far ahead of this host's", token.Seconds(-age), token.Seconds(MaxAhead))
	}
	return nil
}
