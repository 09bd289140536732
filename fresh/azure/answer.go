package azure

import (
	"cmp"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/ask"
	"github.com/longcase/longcase/token"
)

// lifetime is of a token whose end nobody states.
const lifetime = 5 * time.Minute

// seconds is a number, or a string that is one, as Azure writes both.
type seconds struct {
	value float64
	given bool
}

var decimal = regexp.MustCompile(`^-?[0-9]{1,18}(\.[0-9]{1,18})?$`)

var errNumber = errors.New("azure: not a number of seconds")

// UnmarshalJSON implements json.Unmarshaler.
func (s *seconds) UnmarshalJSON(data []byte) error {
	text := string(data)
	if text == "null" || text == `""` {
		return nil
	}
	if strings.HasPrefix(text, `"`) {
		if err := json.Unmarshal(data, &text); err != nil {
			return err
		}
	}
	if !decimal.MatchString(text) {
		return errNumber
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return errNumber
	}
	*s = seconds{f, true}
	return nil
}

// life is the length of time, never zero: zero would mean that none was given.
func (s seconds) life() time.Duration {
	const century = 100 * 365 * 24 * 3600
	return cmp.Or(time.Duration(min(max(s.value, -century), century)*float64(time.Second)), -1)
}

// date is the instant that many seconds after 1970, up to the year 9999.
func (s seconds) date() time.Time {
	whole, fraction := math.Modf(min(max(s.value, 0), 253402300799))
	return time.Unix(int64(whole), int64(fraction*1e9)).UTC()
}

// grant is what all three services answer.
type grant struct {
	AccessToken string  `json:"access_token"`
	TokenType   string  `json:"token_type"`
	ExpiresIn   seconds `json:"expires_in"`
	ExpiresOn   seconds `json:"expires_on"`
}

// refusal is what they answer otherwise; App Service and Entra differ from IMDS
// only in what they leave out.
type refusal struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
	Codes       []int  `json:"error_codes"` // Entra's AADSTS numbers
}

func (r refusal) said() string {
	first, _, _ := strings.Cut(r.Description, "Trace ID:") // and other numbers of this request
	return strings.TrimSpace(strings.TrimPrefix(r.Error+": "+first, ": "))
}

// readRefusal reads what it can: a proxy may have answered.
func readRefusal(a ask.Answer) (r refusal) {
	_ = json.Unmarshal(a.Body, &r)
	return r
}

// credential reads a grant. scope is what was asked for.
func credential(a ask.Answer, what, scope string) (fresh.Credential[fresh.Token], error) {
	var g grant
	if err := a.JSON(what, &g); err != nil {
		return fresh.Credential[fresh.Token]{}, err
	}
	if g.AccessToken == "" || strings.ContainsFunc(g.AccessToken, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return fresh.Credential[fresh.Token]{}, fresh.Fail(fresh.Malformed, "%s answered without a token that can be used", what)
	}
	if !strings.EqualFold(g.TokenType, "Bearer") {
		return fresh.Credential[fresh.Token]{}, fresh.Fail(fresh.Malformed, "%s answered a token of type %.40q, not Bearer", what, g.TokenType)
	}
	got := fresh.Credential[fresh.Token]{Value: fresh.Token{Value: g.AccessToken, Type: "Bearer", Scope: scope}, Date: a.Date}
	if g.ExpiresOn.given {
		got.Expires = g.ExpiresOn.date()
	}
	if g.ExpiresIn.given {
		got.Life = g.ExpiresIn.life()
	}
	return withEnd(got), nil
}

// withEnd takes the end from the token itself where that is the first, or the
// service states none.
func withEnd(c fresh.Credential[fresh.Token]) fresh.Credential[fresh.Token] {
	if end := jwtEnd(c.Value.Value); !end.IsZero() && (c.Expires.IsZero() || end.Before(c.Expires)) {
		c.Expires = end
	}
	if c.Expires.IsZero() && c.Life == 0 {
		c.Life = lifetime
	}
	return c
}

// jwtEnd is the "exp" of a JWT, unverified; zero: there is none that makes sense.
func jwtEnd(raw string) time.Time {
	j, err := token.Parse(raw)
	if err != nil {
		return time.Time{}
	}
	c, err := j.Claims()
	if err != nil || c.Expires.Unix() < 1 {
		return time.Time{}
	}
	return c.Expires
}

func or(c, standard *http.Client) *http.Client {
	if c != nil {
		return c
	}
	return standard
}

func misconfigured(err error) error { return &fresh.Error{Reason: fresh.Misconfigured, Err: err} }
