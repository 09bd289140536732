package google

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/ask"
)

// unsaid is how long a token is taken to live where neither the service nor the
// token itself says it: as long as Google's shortest ones.
const unsaid = 5 * time.Minute

// seconds is a duration on the wire: a number, or a numeric string; a fraction
// is allowed. What is not positive is kept as -1 ns: over already.
type seconds time.Duration

func (s *seconds) UnmarshalJSON(data []byte) error {
	text := strings.Trim(string(data), `"`)
	if text == "null" {
		return nil
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
		return errors.New("not a number of seconds")
	}
	const century = 100 * 365 * 24 * 3600
	if *s = seconds(math.Min(n, century) * float64(time.Second)); *s <= 0 {
		*s = -1
	}
	return nil
}

// tokenAnswer is a good answer of a token endpoint (RFC 6749 section 5.1, RFC
// 8693 section 2.2.1) and of the metadata server.
type tokenAnswer struct {
	AccessToken string  `json:"access_token"`
	IDToken     string  `json:"id_token"`
	Type        string  `json:"token_type"`
	Scope       string  `json:"scope"`
	ExpiresIn   seconds `json:"expires_in"`
}

// readToken makes a credential of the access token in a token endpoint's answer.
func readToken(what string, a ask.Answer) (fresh.Credential[fresh.Token], error) {
	var t tokenAnswer
	if err := a.JSON(what, &t); err != nil {
		return fresh.Credential[fresh.Token]{}, err
	}
	return credential(what, fresh.Token{Value: t.AccessToken, Type: t.Type, Scope: t.Scope}, time.Duration(t.ExpiresIn), a.Date)
}

// readIDToken makes one of the ID token there. expires_in is of an access token
// that may stand beside it.
func readIDToken(what string, a ask.Answer) (fresh.Credential[fresh.Token], error) {
	var t tokenAnswer
	if err := a.JSON(what, &t); err != nil {
		return fresh.Credential[fresh.Token]{}, err
	}
	return credential(what, fresh.Token{Value: t.IDToken, Type: t.Type}, 0, a.Date)
}

// credential is t with its ends, life and the exp of a JWT, or else unsaid.
func credential(what string, t fresh.Token, life time.Duration, date time.Time) (fresh.Credential[fresh.Token], error) {
	c := fresh.Credential[fresh.Token]{Value: t, Life: life, Date: date, Expires: jwtEnd(t.Value)}
	if !sendable(t.Value) {
		return c, fresh.Fail(fresh.Malformed, "%s answered without a token, or with one that no header can hold", what)
	}
	if c.Life == 0 && c.Expires.IsZero() {
		c.Life = unsaid
	}
	return c, nil
}

// sendable reports whether a header can hold s.
func sendable(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

// jwtEnd is the exp of raw, unverified, if raw is a JWT with one that makes
// sense; else zero. The services read more algorithms and spellings than package
// token, so it is read leniently: it only says when to fetch the next one.
func jwtEnd(raw string) time.Time {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	var claims struct {
		Expires *float64 `json:"exp"`
	}
	if err != nil || json.Unmarshal(payload, &claims) != nil || claims.Expires == nil {
		return time.Time{}
	}
	const year9999 = 253402300799
	if *claims.Expires < 1 || *claims.Expires > year9999 {
		return time.Time{}
	}
	return time.Unix(int64(*claims.Expires), 0).UTC()
}

// words are what a service says about its refusal: OAuth's error (RFC 6749
// section 5.2) or that of Google's APIs (AIP-193).
type words struct {
	code string // "invalid_grant", "PERMISSION_DENIED"
	text string
}

func readWords(body []byte) words {
	var oauth struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(body, &oauth) == nil {
		return words{oauth.Error, oauth.Description}
	}
	var api struct {
		Error struct {
			Status  string `json:"status"`
			Message string `json:"message"`
		} `json:"error"`
	}
	_ = json.Unmarshal(body, &api)
	return words{api.Error.Status, api.Error.Message}
}

func (w words) String() string {
	if w.code == "" || w.text == "" {
		return w.code + w.text
	}
	return w.code + ": " + w.text
}

// endpoint is base, or the real one, with path added.
func endpoint(base, real, path string) string {
	if base == "" {
		base = real
	}
	return strings.TrimSuffix(base, "/") + path
}

// clientOr is c, or fallback, and follows no redirect: what is sent is for the
// service that was named.
func clientOr(c, fallback *http.Client) *http.Client {
	if c == nil {
		return fallback
	}
	unled := *c
	unled.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &unled
}

// checkMetadataURL wants what ask.CheckURL wants, or http to one of the
// link-local addresses of the clouds' metadata services, or to also.
func checkMetadataURL(s string, also ...string) error {
	u, err := url.Parse(s)
	if err == nil && u.Scheme == "http" && u.User == nil && u.Fragment == "" &&
		slices.Contains(append(also, "169.254.169.254", "fd00:ec2::254"), u.Hostname()) {
		return nil
	}
	return ask.CheckURL(s)
}

// cannot is a setting that cannot work, as a fetch says it.
func cannot(err error) error { return &fresh.Error{Reason: fresh.Misconfigured, Err: err} }
