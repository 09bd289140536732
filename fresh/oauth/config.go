package oauth

import (
	"context"
	"crypto"
	"crypto/tls"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/ask"
)

// Config is a client of a token service and the token it wants. Required are
// Issuer or TokenEndpoint, and for most grants Client.
type Config struct {
	Issuer         string // finds the endpoints by its metadata; audience of assertions
	TokenEndpoint  string // used instead of the metadata's
	DeviceEndpoint string // device_authorization_endpoint, where TokenEndpoint is given

	// The client, and at most one way to prove it. The functions are called at
	// each renewal. Without any the client is a public one.
	Client       string
	Secret       func() (string, error)          // client_secret_basic, or _post where the service takes nothing else
	SecretInForm bool                            // client_secret_post, whatever the service says
	Key          func() (crypto.Signer, error)   // private_key_jwt: ECDSA P-256 or P-384, RSA, Ed25519
	KeyID        string                          // "kid" of assertions; empty: none
	Certificate  func() (tls.Certificate, error) // tls_client_auth (RFC 8705)

	Audience string
	Resource string // RFC 8707, for services that want it instead of Audience
	Scopes   []string

	// Token exchange alone: RFC 8693 section 3 identifiers, or their last words:
	// "jwt", "access_token", "id_token".
	SubjectTokenType   string // default jwt
	ActorTokenType     string // default jwt
	RequestedTokenType string // default: the service's choice

	HTTP *http.Client     // default ask.Default; redirects are never followed
	Now  func() time.Time // default time.Now
}

// Check names every field that cannot work. The error is nil or made of
// *fresh.Error with Misconfigured.
func (c Config) Check() error {
	wrong := c.checkPlace()
	add := func(is bool, text string) {
		if is {
			wrong = append(wrong, fresh.Fail(fresh.Misconfigured, "%s", text))
		}
	}
	add(c.ways() > 1, "secret, key and certificate exclude each other")
	add(c.ways() > 0 && c.Client == "", "client: required beside a secret, key or certificate")
	for _, s := range c.Scopes {
		add(s == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }), "scopes: one is empty or has a space in it")
	}
	for _, t := range []string{c.SubjectTokenType, c.ActorTokenType, c.RequestedTokenType} {
		add(tokenType(t) == "" && t != "", "token type: name jwt, access_token, id_token or a URN")
	}
	if _, err := transportOf(c.HTTP); err != nil && c.Certificate != nil {
		wrong = append(wrong, err)
	}
	return errors.Join(wrong...)
}

func (c Config) checkPlace() (wrong []error) {
	if c.Issuer == "" && c.TokenEndpoint == "" {
		wrong = append(wrong, fresh.Fail(fresh.Misconfigured, "issuer or token endpoint: one is required"))
	}
	for name, s := range map[string]string{"issuer": c.Issuer, "token endpoint": c.TokenEndpoint, "device endpoint": c.DeviceEndpoint} {
		u, _ := url.Parse(s)
		switch err := ask.CheckURL(s); {
		case s == "":
		case err != nil:
			wrong = append(wrong, fresh.Fail(fresh.Misconfigured, "%s: %s", name, err))
		case name == "issuer" && u.RawQuery != "":
			wrong = append(wrong, fresh.Fail(fresh.Misconfigured, "issuer: %.200q has a query", s))
		}
	}
	return wrong
}

// ways counts the proofs of the client.
func (c Config) ways() int {
	given := []bool{c.Secret != nil, c.Key != nil, c.Certificate != nil}
	return len(slices.DeleteFunc(given, func(is bool) bool { return !is }))
}

func (c Config) withDefaults() Config {
	if c.HTTP == nil {
		c.HTTP = ask.Default
	}
	h := *c.HTTP
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	h.Jar = nil
	c.HTTP = &h
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// form is what every grant asks for.
func (c Config) form(grant string) url.Values {
	form := url.Values{"grant_type": {grant}}
	set(form, "audience", c.Audience)
	set(form, "resource", c.Resource)
	set(form, "scope", strings.Join(c.Scopes, " "))
	return form
}

func set(form url.Values, name, value string) {
	if value != "" {
		form.Set(name, value)
	}
}

// ClientCredentials returns a provider of tokens for the client itself (RFC 6749
// section 4.4).
func ClientCredentials(cfg Config) fresh.Root[fresh.Token] {
	s := newService(cfg)
	if s.wrong == nil && cfg.ways() == 0 {
		s.wrong = fresh.Fail(fresh.Misconfigured, "client credentials need a client and one of secret, key and certificate")
	}
	return func(ctx context.Context, now time.Time) (fresh.Credential[fresh.Token], error) {
		got, err := s.token(ctx, cfg.form("client_credentials"), now)
		return got.Credential, err
	}
}
