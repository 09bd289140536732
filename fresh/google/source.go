package google

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/ask"
	"github.com/longcase/longcase/token"
)

const (
	sourceName = "the credential source"
	// recheck is how often a file with a subject token is read again.
	recheck = 5 * time.Second
)

// subject is a subject token with the end it states itself; without one it is
// fetched anew after life, or looked at again after again.
func subject(value string, life, again time.Duration) fresh.Credential[fresh.Token] {
	c := fresh.Credential[fresh.Token]{Value: fresh.Token{Value: value}, Expires: jwtEnd(value), Recheck: again}
	if c.Expires.IsZero() {
		c.Life = life
	}
	return c
}

// read takes the subject token out of data, which came from what.
func (f formatFile) read(what string, data []byte) (string, error) {
	text := strings.TrimSpace(string(data))
	if f.Type == "json" {
		var members map[string]json.RawMessage
		if err := json.Unmarshal(data, &members); err != nil {
			return "", fresh.Fail(fresh.Malformed, "%s is not a JSON object%s", what, badMember(err))
		}
		text = ""
		if json.Unmarshal(members[f.Field], &text) != nil {
			return "", fresh.Fail(fresh.Malformed, "%s has no string in member %.60q (subject_token_field_name)", what, f.Field)
		}
	}
	if text == "" {
		return "", fresh.Fail(fresh.Malformed, "%s holds no subject token", what)
	}
	return text, nil
}

// fileToken reads a subject token from a file, again and again.
func fileToken(path string, format formatFile) fresh.Root[fresh.Token] {
	return func(context.Context, time.Time) (fresh.Credential[fresh.Token], error) {
		data, err := ask.File(path)
		if err != nil {
			return fresh.Credential[fresh.Token]{}, err
		}
		value, err := format.read(path, data)
		if err != nil {
			return fresh.Credential[fresh.Token]{}, err
		}
		return subject(value, 0, recheck), nil
	}
}

// urlToken gets a subject token from a local or remote service.
func urlToken(source *sourceFile, client *http.Client) fresh.Root[fresh.Token] {
	return func(ctx context.Context, _ time.Time) (fresh.Credential[fresh.Token], error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, source.URL, nil)
		if err != nil {
			return fresh.Credential[fresh.Token]{}, cannot(err)
		}
		for name, value := range source.Headers {
			req.Header.Set(name, value)
		}
		a, err := ask.Do(clientOr(client, near(source.URL)), req, sourceName)
		if err != nil {
			return fresh.Credential[fresh.Token]{}, err
		}
		if err := a.OK(sourceName, readWords(a.Body).String(), slices.Collect(maps.Values(source.Headers))...); err != nil {
			return fresh.Credential[fresh.Token]{}, err
		}
		value, err := source.Format.read(sourceName+"'s answer", a.Body)
		if err != nil {
			return fresh.Credential[fresh.Token]{}, err
		}
		c := subject(value, unsaid, 0)
		c.Date = a.Date
		return c, nil
	}
}

// near is the client for a source: no proxy stands before this machine's own.
func near(s string) *http.Client {
	if u, err := url.Parse(s); err == nil && (u.Scheme == "http" || token.Loopback(u.Hostname())) {
		return ask.Direct
	}
	return ask.Default
}
