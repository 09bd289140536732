package token

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Claims reads the payload. It refuses, as Malformed, a claim of the wrong type
// and a member that differs from a registered claim only by case; it judges
// nothing else. The claims are to be believed only if Verify returned nil. The
// error is an *Error with Malformed or TooLarge.
func (j JWS) Claims() (Claims, error) {
	c, err := readClaims(j.payload)
	if err != nil {
		return Claims{}, err
	}
	c.Raw = j.body
	return c, nil
}

// ReadClaims reads claims that came without a signature of their own, such as
// the answer of an introspection (RFC 7662 section 2.2), by the rules of
// JWS.Claims. data is one JSON object, and kept as Raw.
func ReadClaims(data []byte) (Claims, error) {
	c, err := readClaims(string(data))
	if err != nil {
		return Claims{}, err
	}
	c.Raw = slices.Clone(data)
	return c, nil
}

// Lacks returns those of required that are not top-level members of Raw, or are
// empty: null, "", [] or {}. False and 0 are values like any other.
func (c Claims) Lacks(required []string) []string {
	lacking := slices.Clone(required)
	s, err := scan("payload", string(c.Raw))
	if err != nil || s.open('{') != nil {
		return lacking
	}
	var seen names
	for {
		name, ok, err := s.member(&seen)
		if !ok || err != nil {
			return lacking
		}
		filled, err := s.filled()
		if err != nil {
			return lacking
		}
		if filled {
			lacking = slices.DeleteFunc(lacking, func(n string) bool { return n == name })
		}
	}
}

// filled reads a value and reports whether it is more than null, "", [] or {}.
func (s *scanner) filled() (bool, error) {
	first, begin := s.peek(), s.at
	if err := s.skip(); err != nil {
		return false, err
	}
	switch first {
	case 'n':
		return false, nil
	case '"', '[', '{':
		return strings.Trim(s.src[begin+1:s.at-1], " \t\r\n") != "" || first == '"' && s.at-begin > 2, nil
	}
	return true, nil
}

// Member returns the value of a top-level member of Raw as it was signed.
func (c Claims) Member(name string) (json.RawMessage, bool) {
	s, err := scan("payload", string(c.Raw))
	if err != nil || s.open('{') != nil {
		return nil, false
	}
	var seen names
	for {
		found, ok, err := s.member(&seen)
		if !ok || err != nil {
			return nil, false
		}
		s.peek()
		begin := s.at
		if s.skip() != nil {
			return nil, false
		}
		if found == name {
			return slices.Clone(c.Raw[begin:s.at]), true
		}
	}
}

// claimNames are the claims of RFC 7519, 8693, 9068, 7800 and OpenID Connect
// that anyone might judge, and "scp". Read only.
var claimNames = []string{
	"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "client_id", "sid", "scope", "scp", "auth_time", "cnf",
	"act", "may_act", "azp", "nonce", "acr", "amr", "roles", "groups", "entitlements", "events",
	"htm", "htu", "ath",
}

func readClaims(payload string) (c Claims, err error) {
	s, err := scan("payload", payload)
	if err != nil {
		return c, err
	}
	if err := s.open('{'); err != nil {
		return c, err
	}
	var seen names
	var allowed scopes
	for {
		name, ok, err := s.member(&seen)
		if err != nil {
			return c, err
		}
		if !ok {
			c.Scope = allowed.list()
			return c, s.end()
		}
		if name == "scope" || name == "scp" {
			err = allowed.read(&s, name)
		} else {
			err = c.read(&s, name)
		}
		if err != nil {
			return c, err
		}
	}
}

// read reads the value of one member.
func (c *Claims) read(s *scanner, name string) (err error) {
	if field := c.text(name); field != nil {
		*field, err = s.stringOf(name)
		return err
	}
	if field := c.time(name); field != nil {
		*field, err = s.timeOf(name)
		return err
	}
	switch {
	case name == "aud":
		c.Audience, err = s.audience()
		return err
	case name == "cnf":
		return s.confirmation(&c.Confirm)
	case shadows(name, claimNames):
		return Refuse(Malformed, "payload: member %.40q differs from a registered claim only by case", name)
	}
	return s.skip()
}

// text is where the string claim called name goes, nil if there is none.
func (c *Claims) text(name string) *string {
	switch name {
	case "iss":
		return &c.Issuer
	case "sub":
		return &c.Subject
	case "client_id":
		return &c.ClientID
	case "jti":
		return &c.ID
	case "sid":
		return &c.Session
	}
	return nil
}

// time is where the time claim called name goes, nil if there is none.
func (c *Claims) time(name string) *time.Time {
	switch name {
	case "exp":
		return &c.Expires
	case "iat":
		return &c.IssuedAt
	case "nbf":
		return &c.NotBefore
	case "auth_time":
		return &c.AuthTime
	}
	return nil
}

// audience reads "aud": a string, or an array of one or more distinct strings.
func (s *scanner) audience() ([]string, error) {
	if s.peek() != '[' {
		one, err := s.stringOf("aud")
		return []string{one}, err
	}
	if err := s.open('['); err != nil {
		return nil, err
	}
	list := make([]string, 0, 2)
	var seen names
	for {
		ok, err := s.more(']', seen.n == 0)
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		one, err := s.stringOf("aud")
		if err != nil {
			return nil, err
		}
		if !seen.add(one) {
			return nil, Refuse(Malformed, "payload: aud names %.80q twice", one)
		}
		list = append(list, one)
	}
	if len(list) == 0 {
		return nil, Refuse(Malformed, "payload: aud is an empty array")
	}
	return list, nil
}

// confirmation reads "cnf" (RFC 7800). A method other than jkt and x5t#S256 is
// told, so that nobody takes the token for one that is bound to nothing.
func (s *scanner) confirmation(c *Confirmation) error {
	if err := s.open('{'); err != nil {
		return err
	}
	var seen names
	for {
		name, ok, err := s.member(&seen)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if err := s.method(c, name); err != nil {
			return err
		}
	}
	if *c == (Confirmation{}) {
		return Refuse(Malformed, "payload: cnf names no key")
	}
	return nil
}

// method reads one member of "cnf".
func (s *scanner) method(c *Confirmation, name string) (err error) {
	field := &c.JKT
	switch {
	case name == "jkt":
	case name == "x5t#S256":
		field = &c.X5T
	case strings.EqualFold(name, "jkt") || strings.EqualFold(name, "x5t#S256"):
		return Refuse(Malformed, "payload: cnf member %.40q differs from a registered one only by case", name)
	case name == "":
		return Refuse(Malformed, "payload: cnf has a member without a name")
	default:
		c.Other = name
		return s.skip()
	}
	*field, err = s.stringOf(name)
	if err == nil && *field == "" {
		err = Refuse(Malformed, "payload: cnf member %q is empty", name)
	}
	return err
}

// lastSecond is the last second of the year 9999, beyond which RFC 3339 cannot
// write a time down.
const lastSecond = 253402300799

// timeOf reads a NumericDate (RFC 7519 section 2): seconds since 1970, with or
// without fraction and exponent, kept to the microsecond.
func (s *scanner) timeOf(name string) (time.Time, error) {
	literal, err := s.number()
	if err != nil {
		return time.Time{}, Refuse(Malformed, "payload: %s is not a number", name)
	}
	if n, err := strconv.ParseUint(literal, 10, 64); err == nil && n <= lastSecond {
		return time.Unix(int64(n), 0).UTC(), nil
	}
	f, err := strconv.ParseFloat(literal, 64)
	switch {
	case literal[0] == '-':
		return time.Time{}, Refuse(Malformed, "payload: %s is negative", name)
	case err != nil || f > lastSecond:
		return time.Time{}, Refuse(Malformed, "payload: %s is after the year 9999: NumericDate counts seconds, not milliseconds", name)
	}
	whole, fraction := math.Modf(f)
	micros := min(int64(math.Round(fraction*1e6)), 999999) // never into the next second
	return time.Unix(int64(whole), 1000*micros).UTC(), nil
}
