// Package ask makes one request to a credential service: bounded in size and
// time, never across a redirect, with errors that name the service and hold
// neither secret nor query. It reads files under the same bounds.
package ask

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/token"
)

const (
	timeout   = 20 * time.Second // of one request; a renewal may need several
	maxBody   = 1 << 20
	maxHeader = 64 << 10
	maxWait   = 5 * time.Minute // of Retry-After
)

// Direct is for services of this machine and its link, such as metadata
// services: no proxy stands between.
var Direct = client(func(*http.Request) (*url.URL, error) { return nil, nil })

// Default is for every other service.
var Default = client(http.ProxyFromEnvironment)

func client(proxy func(*http.Request) (*url.URL, error)) *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy, t.MaxIdleConnsPerHost, t.MaxResponseHeaderBytes = proxy, 4, maxHeader
	return &http.Client{Transport: t, Timeout: timeout, CheckRedirect: noRedirect}
}

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Answer is what a service said.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	Date   time.Time // the service's clock; zero: it did not say, or a cache answered
}

// Do sends req and reads the answer, whatever its status; a redirect is one, also
// with a client that would follow it. what names the service in errors: "the
// metadata service". The error is ctx's or a *fresh.Error.
func Do(c *http.Client, req *http.Request, what string) (Answer, error) {
	unled := *c
	unled.CheckRedirect = noRedirect
	resp, err := unled.Do(req) //nolint:gosec // whoever made the request checked its URL
	if err != nil {
		return Answer{}, Unreachable(req.Context(), what, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case err != nil:
		return Answer{}, Unreachable(req.Context(), what, err)
	case len(body) > maxBody:
		return Answer{}, fresh.Fail(fresh.Malformed, "%s answered more than %d bytes", what, maxBody)
	}
	a := Answer{Status: resp.StatusCode, Header: resp.Header, Body: body}
	if resp.Header.Get("Age") == "" {
		a.Date, _ = http.ParseTime(resp.Header.Get("Date"))
	}
	return a, nil
}

// Unreachable is err, of an http.Client, as Do says it: without the URL, which may
// hold a query, and with little of what the service itself put into the rest.
func Unreachable(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ctx.Err()
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return &fresh.Error{Reason: fresh.Unavailable, Detail: what + " cannot be reached", Err: brief{err}}
}

// brief is an error in few words: net/http quotes an answer that is not HTTP.
type brief struct{ error }

func (b brief) Error() string { return printable(b.error.Error()) }
func (b brief) Unwrap() error { return b.error }

// OK is nil for status 200, else the refusal as an error. said is the service's
// own words, if any; they are shortened and stripped of what does not print, and
// of the secrets that were sent: some services repeat them.
func (a Answer) OK(what, said string, secrets ...string) error {
	if a.Status == http.StatusOK {
		return nil
	}
	detail := fmt.Sprintf("%s answered %d", what, a.Status)
	if said = printable(without(said, secrets)); said != "" {
		detail += ": " + said
	}
	reason := fresh.Refused
	if a.Status == http.StatusTooManyRequests || a.Status >= 500 || a.Status == http.StatusRequestTimeout {
		reason = fresh.Unavailable
	}
	return &fresh.Error{Reason: reason, Detail: detail, RetryAfter: a.retryAfter()}
}

// retryAfter reads Retry-After (RFC 9110 section 10.2.3), at most maxWait.
func (a Answer) retryAfter() time.Duration {
	v := a.Header.Get("Retry-After")
	if s, err := strconv.Atoi(v); err == nil && s > 0 {
		return time.Duration(min(s, int(maxWait/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil && !a.Date.IsZero() {
		return min(max(at.Sub(a.Date), 0), maxWait)
	}
	return 0
}

// JSON decodes the body into v; the error does not hold the body.
func (a Answer) JSON(what string, v any) error {
	if err := json.Unmarshal(a.Body, v); err != nil {
		return fresh.Fail(fresh.Malformed, "%s answered what is not the JSON it should be", what)
	}
	return nil
}

// without is s with each secret left out. One of a few bytes is a word that
// may be anything.
func without(s string, secrets []string) string {
	for _, secret := range secrets {
		if len(secret) >= 8 {
			s = strings.ReplaceAll(s, secret, "[secret]")
		}
	}
	return s
}

func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return -1
		}
		return r
	}, s)
	if len(s) > 300 {
		s = strings.ToValidUTF8(s[:300], "") + "…"
	}
	return s
}

// CheckURL wants https, or http where the URL itself names a loopback host.
func CheckURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "":
		return fresh.Fail(fresh.Misconfigured, "%.200q is not a URL", s)
	case u.Scheme == "https", u.Scheme == "http" && token.Loopback(u.Hostname()):
		return nil
	}
	return fresh.Fail(fresh.Misconfigured, "%.200q is not https", s)
}
