// Package oauth gets tokens from an OAuth 2.0 token service by
// client_credentials: it finds the service by its metadata, proves who the
// client is with a secret or a signed assertion, and returns the token with its
// end.
//
//	t, err := oauth.Fetch(ctx, oauth.Request{
//		Issuer: "https://tokens.example.com", Client: "service-a", Secret: secret,
//		Audience: "https://service-b.example.com",
//	})
//
// Secrets go over https only, or http to a loopback host, and never across a
// redirect. Nothing is kept and nothing is retried here.
//
// Sources: RFC 6749 section 4.4, RFC 7523 section 3, RFC 8414, OpenID Connect
// Discovery 1.0.
package oauth

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/longcase/longcase/token"
)

// Request is one token that is wanted. Issuer, Client, Audience and one of
// Secret and Key are required.
type Request struct {
	Issuer   string
	Client   string
	Secret   string        // client_secret_basic, or _post where the service takes nothing else
	Key      crypto.Signer // private_key_jwt; ECDSA P-256 or P-384, RSA, Ed25519
	Audience string
	Scopes   []string

	HTTP *http.Client     // default one with a timeout of 30 s; redirects are never followed
	Now  func() time.Time // default time.Now
}

// Token is what the service returned.
type Token struct {
	Value   string
	Type    string    // "Bearer"
	Scope   string    // what was granted; empty: what was asked for
	Expires time.Time // counted from before the request was sent; zero: the service did not say
}

// ErrUnreachable says that the service, or its metadata, could not be had.
var ErrUnreachable = errors.New("oauth: the token service cannot be reached")

// Error is the service's no (RFC 6749 section 5.2).
type Error struct {
	Status      int    // HTTP status code
	Code        string // "invalid_client"
	Description string // for people; may be empty
}

func (e *Error) Error() string {
	s := fmt.Sprintf("oauth: the token service answered %d", e.Status)
	if e.Code != "" {
		s += " " + e.Code
	}
	if e.Description != "" {
		s += ": " + e.Description
	}
	return s
}

// Fetch gets one token. The error is ErrUnreachable, an *Error, or says which
// field of r is wrong; it never holds a secret.
func Fetch(ctx context.Context, r Request) (Token, error) {
	if err := r.check(); err != nil {
		return Token{}, err
	}
	c := newClient(r)
	m, err := c.discover(ctx, r.Issuer)
	if err != nil {
		return Token{}, err
	}
	sent := c.now()
	body, err := c.post(ctx, m, r, sent)
	if err != nil {
		return Token{}, err
	}
	return readToken(body, sent)
}

func (r Request) check() error {
	var wrong []error
	add := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf("oauth: "+format, args...)) }
	if err := checkURL(r.Issuer); err != nil {
		add("issuer: %w", err)
	}
	if r.Client == "" {
		add("client: required")
	}
	if r.Audience == "" {
		add("audience: required")
	}
	if (r.Secret == "") == (r.Key == nil) {
		add("one of secret and key is required")
	}
	return errors.Join(wrong...)
}

// checkURL wants https, or http to a loopback host.
func checkURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Hostname() == "" || u.User != nil:
		return errors.New("not a URL")
	case u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("%q has a query or a fragment", s)
	case u.Scheme == "https", u.Scheme == "http" && token.Loopback(u.Hostname()):
		return nil
	}
	return fmt.Errorf("%q is not https", s)
}

// readToken reads a token answer (RFC 6749 section 5.1).
func readToken(body []byte, sent time.Time) (Token, error) {
	var answer struct {
		AccessToken string  `json:"access_token"`
		TokenType   string  `json:"token_type"`
		ExpiresIn   float64 `json:"expires_in"`
		Scope       string  `json:"scope"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return Token{}, fmt.Errorf("%w: its answer is not a token answer", ErrUnreachable)
	}
	if answer.AccessToken == "" || strings.ContainsAny(answer.AccessToken, " \r\n") {
		return Token{}, fmt.Errorf("%w: its answer holds no access_token", ErrUnreachable)
	}
	t := Token{Value: answer.AccessToken, Type: answer.TokenType, Scope: answer.Scope}
	const century = 100 * 365 * 24 * 3600
	if answer.ExpiresIn > 0 && answer.ExpiresIn < century {
		t.Expires = sent.Add(time.Duration(answer.ExpiresIn * float64(time.Second)))
	}
	return t, nil
}
