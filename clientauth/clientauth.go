// Package clientauth is how a client proves who it is to an authorization
// server: at its token endpoint, its introspection, its feed of early ends.
//
//	client := clientauth.Config{ClientID: "gate-b", Secret: secret}
//	err := client.Dress(req.Header, form, now)
//
// A client with a certificate (RFC 8705) proves itself in the handshake: it says
// no more than its name here, by the method None, and the certificate is the
// http.Client's matter.
//
// Sources: RFC 6749 section 2.3.1, RFC 7523 sections 2.2 and 3, OpenID Connect
// Core section 9.
package clientauth

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/longcase/longcase/token"
)

// Method is the name of a way to authenticate in the registry of RFC 8414.
type Method string

// The methods.
const (
	Basic         Method = "client_secret_basic"
	Post          Method = "client_secret_post"
	PrivateKeyJWT Method = "private_key_jwt"
	None          Method = "none"
)

// assertionLife is how long an assertion lives. It is used at once.
const assertionLife = time.Minute

// assertionType is of RFC 7523 section 2.2.
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// Config is a client and the one way it proves itself. It prints without its
// secret.
type Config struct {
	ClientID string
	Secret   string        `json:"-"` // of Basic and Post
	Key      *token.Signer `json:"-"` // of PrivateKeyJWT; its public half is registered with the server
	Method   Method        // default: Basic with a Secret, PrivateKeyJWT with a Key, else None
	Audience string        // "aud" of assertions: the issuer, or the endpoint that is asked
}

// Check names everything that keeps the client from proving itself. The error
// holds no secret.
func (c Config) Check() error {
	var wrong []error
	add := func(is bool, text string) {
		if is {
			wrong = append(wrong, errors.New("clientauth: "+text))
		}
	}
	method := c.method()
	add(c.Secret != "" && c.Key != nil, "secret or key: exactly one of the two")
	add(c.ClientID == "" && method != None, "client: required beside a secret or key")
	switch method {
	case Basic, Post:
		add(c.Secret == "", fmt.Sprintf("%s needs a secret", method))
	case PrivateKeyJWT:
		add(c.Key == nil, fmt.Sprintf("%s needs a key", method))
		add(c.Key != nil && (c.Key.Algorithm() == token.HS256 || c.Key.Algorithm() == ""), "key: want a private key")
		add(c.Audience == "", "audience: required beside a key")
	case None:
		add(c.Secret != "" || c.Key != nil, fmt.Sprintf("%s takes neither secret nor key", method))
	default:
		add(true, fmt.Sprintf("method %.40q is none of %s, %s, %s, %s", method, Basic, Post, PrivateKeyJWT, None))
	}
	return errors.Join(wrong...)
}

// method is Method, or what follows from the rest.
func (c Config) method() Method {
	switch {
	case c.Method != "":
		return c.Method
	case c.Key != nil:
		return PrivateKeyJWT
	case c.Secret != "":
		return Basic
	}
	return None
}

// InForm reports whether the proof is in the form. It is in the header else.
func (c Config) InForm() bool { return c.method() != Basic }

// Dress adds the proof to a request that is sent at now: to its header, or to the
// form that is its body. Each request needs one of its own, for an assertion is
// good once. The error is that of Check or of the key.
func (c Config) Dress(h http.Header, form url.Values, now time.Time) error {
	if err := c.Check(); err != nil {
		return err
	}
	if !c.InForm() {
		r := http.Request{Header: h}
		r.SetBasicAuth(url.QueryEscape(c.ClientID), url.QueryEscape(c.Secret))
		return nil
	}
	switch c.method() {
	case Post:
		form.Set("client_secret", c.Secret)
	case PrivateKeyJWT:
		assertion, err := c.assertion(now)
		if err != nil {
			return fmt.Errorf("clientauth: the client's key: %w", err)
		}
		form.Set("client_assertion_type", assertionType)
		form.Set("client_assertion", assertion)
	}
	if c.ClientID != "" {
		form.Set("client_id", c.ClientID)
	}
	return nil
}

// assertion is a client's JWT of RFC 7523 section 3, for one use.
func (c Config) assertion(now time.Time) (string, error) {
	claims, err := json.Marshal(map[string]any{
		"iss": c.ClientID, "sub": c.ClientID, "aud": c.Audience,
		"jti": rand.Text(), "iat": now.Unix(), "exp": now.Add(assertionLife).Unix(),
	})
	if err != nil {
		return "", err
	}
	return c.Key.Sign("JWT", claims)
}

// Format writes the client's name and method, whatever the verb: never the
// secret. It implements fmt.Formatter.
func (c Config) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, fmt.Sprintf("client %q by %s", c.ClientID, c.method()))
}
