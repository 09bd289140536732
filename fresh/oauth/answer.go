package oauth

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/ask"
)

const (
	// unstated is the life of a token whose end nobody says.
	unstated = 5 * time.Minute
	// century keeps a life within a Duration; package fresh allows less.
	century = 100 * 365 * 24 * time.Hour
	// maxToken keeps a state file, where JSON may take six bytes for one, below its
	// bound. No header line has room for more.
	maxToken = 64 << 10
)

// Error is the service's no (RFC 6749 section 5.2). It is the cause of a
// *fresh.Error.
type Error struct {
	Status      int    // HTTP status code
	Code        string // "invalid_client"
	Description string // for people; may be empty
}

func (e *Error) Error() string {
	s := fmt.Sprintf("%s answered %d %s", theService, e.Status, e.Code)
	if e.Description != "" {
		s += ": " + e.Description
	}
	return s
}

// ends reports whether the service says that what it was asked with is no good
// any more.
func (e *Error) ends() bool {
	return e.Code == "invalid_grant" || e.Code == "bad_refresh_token" // the second is GitHub's
}

// granted is a token answer.
type granted struct {
	fresh.Credential[fresh.Token]
	refresh string // refresh_token; empty: none came
}

// readGranted reads a token answer (RFC 6749 section 5.1). Of expires_in and the
// "exp" of a token that is a JWT the first counts; where both are missing, the
// token lives 5 minutes.
func readGranted(a ask.Answer) (granted, error) {
	var body struct {
		AccessToken  string          `json:"access_token"`
		TokenType    string          `json:"token_type"`
		ExpiresIn    json.RawMessage `json:"expires_in"`
		Scope        string          `json:"scope"`
		RefreshToken string          `json:"refresh_token"`
	}
	if err := a.JSON(theService, &body); err != nil {
		return granted{}, err
	}
	switch {
	case !printableToken(body.AccessToken):
		return granted{}, fresh.Fail(fresh.Malformed, "%s answered no usable access_token", theService)
	case body.RefreshToken != "" && !printableToken(body.RefreshToken):
		return granted{}, fresh.Fail(fresh.Malformed, "%s answered no usable refresh_token", theService)
	}
	var got granted
	got.refresh = body.RefreshToken
	got.Value = fresh.Token{Value: body.AccessToken, Type: scheme(body.TokenType), Scope: printable(body.Scope, 4000)}
	got.Date = a.Date
	life, said, err := seconds(body.ExpiresIn)
	if err != nil {
		return granted{}, err
	}
	got.Expires = jwtEnd(body.AccessToken)
	switch {
	case said:
		got.Life = life
	case got.Expires.IsZero():
		got.Life = unstated
	}
	return got, nil
}

// printableToken reports whether s fits into a header line (RFC 6749 appendix A
// allows a space; RFC 6750 does not).
func printableToken(s string) bool {
	return s != "" && len(s) <= maxToken && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// scheme is the HTTP scheme of a token type: "" for N_A (RFC 8693 section 2.2.1).
func scheme(t string) string {
	switch {
	case strings.EqualFold(t, "N_A"):
		return ""
	case t == "" || strings.EqualFold(t, "Bearer"):
		return "Bearer"
	}
	return printable(t, 40)
}

// seconds reads expires_in: a number, or a numeric string as some services send.
// What is not above zero is an end in the past, which package fresh refuses.
func seconds(raw json.RawMessage) (life time.Duration, said bool, err error) {
	text := string(bytes.TrimSpace(raw))
	if text == "" || text == "null" || text == `""` {
		return 0, false, nil
	}
	if inner, err := strconv.Unquote(text); err == nil {
		text = strings.TrimSpace(inner)
	}
	f, err := strconv.ParseFloat(text, 64)
	if (err != nil && !math.IsInf(f, 0)) || math.IsNaN(f) || strings.ContainsAny(text, "xX_nNiI") {
		return 0, false, fresh.Fail(fresh.Malformed, "%s answered an expires_in that is not a number", theService)
	}
	f = max(min(f, century.Seconds()), -century.Seconds())
	if life = time.Duration(f * float64(time.Second)); life == 0 {
		life = -1
	}
	return life, true, nil
}

// jwtEnd is the "exp" of a JWT, unverified; zero: there is none that makes sense.
func jwtEnd(raw string) time.Time {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return time.Time{}
	}
	var claims struct {
		Expires *float64 `json:"exp"`
	}
	const last = 253402300799 // 9999-12-31
	if json.Unmarshal(payload, &claims) != nil || claims.Expires == nil || *claims.Expires <= 0 || *claims.Expires > last {
		return time.Time{}
	}
	whole, part := math.Modf(*claims.Expires)
	return time.Unix(int64(whole), int64(part*1e9)).UTC()
}

// refusal is nil for 200, else the service's no; some services say no with 200
// (GitHub). What is no token service's word is Malformed; a service that cannot
// answer now is Unavailable. said by us, so not to be repeated: secrets.
func refusal(a ask.Answer, secrets []string) error {
	var body struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
		Token       string `json:"access_token"`
	}
	_ = json.Unmarshal(a.Body, &body)
	e := &fresh.Error{Reason: fresh.Refused}
	switch err := a.OK(theService, ""); {
	case err == nil && (body.Error == "" || body.Token != ""):
		return nil
	case err != nil && (!errors.As(err, &e) || e.Reason == fresh.Unavailable):
		return err
	case body.Error == "":
		e.Reason = fresh.Malformed
		e.Detail += " and not as a token service does: check its address"
		return e
	}
	no := &Error{Status: a.Status, Code: shown(body.Error, secrets, 80), Description: shown(body.Description, secrets, 500)}
	if no.Code == "temporarily_unavailable" || no.Code == "server_error" {
		e.Reason = fresh.Unavailable
	}
	e.Detail, e.Err = "", no
	return e
}

// secretsOf are the values of form that must not come back in an error.
func secretsOf(form url.Values) (secrets []string) {
	for _, name := range []string{"client_secret", "client_assertion", "refresh_token", "subject_token", "actor_token", "device_code"} {
		secrets = append(secrets, form.Get(name))
	}
	return secrets
}

// shown is what an error may repeat of a service's words.
func shown(s string, secrets []string, most int) string {
	s = printable(s, len(s))
	for _, secret := range spellings(secrets) {
		s = strings.ReplaceAll(s, secret, "[secret]")
	}
	return s[:min(len(s), most)]
}

// spellings are the ways a service may repeat secrets in print: as they are, and
// as a form has them. The longest come first: one may hold another.
func spellings(secrets []string) []string {
	var all []string
	for _, s := range secrets {
		all = append(all, printable(s, len(s)), url.QueryEscape(s))
	}
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) })
	return slices.DeleteFunc(all, func(s string) bool { return s == "" })
}

// printable keeps what RFC 6749 section 5.2 allows in an error, bounded.
func printable(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
	return s[:min(len(s), most)]
}
