package google

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/ask"
	"github.com/longcase/longcase/token"
)

const (
	tokenName     = "Google's token endpoint"
	tokenEndpoint = "https://oauth2.googleapis.com/token"

	assertionLife = time.Hour        // the most Google allows
	backdate      = 10 * time.Second // for a clock that is a little fast
)

// ServiceAccountConfig is a service account's key. One of File and JSON is
// required.
type ServiceAccountConfig struct {
	File       string       // the key file; read again at each fetch
	JSON       []byte       `json:"-"` // or what is in it
	Scopes     []string     // default cloud-platform; not with Audience
	Audience   string       // an ID token for this audience; with SelfSigned a JWT for it
	Subject    string       // a user to stand for, by domain-wide delegation
	SelfSigned bool         // the token is a JWT of the account's own, without any request
	Endpoint   string       // base URL, to which /token is added; default the file's token_uri
	HTTP       *http.Client // default ask.Default
}

// Format implements fmt.Formatter: the key does not print.
func (c ServiceAccountConfig) Format(f fmt.State, verb rune) {
	type bare ServiceAccountConfig
	c.JSON = nil
	_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), bare(c))
}

// Check names every field that cannot work. It reads no file.
func (c ServiceAccountConfig) Check() error {
	var wrong []error
	if (c.File == "") == (c.JSON == nil) {
		wrong = append(wrong, fresh.Fail(fresh.Misconfigured, "one of file and JSON is required"))
	}
	if c.Audience != "" && len(c.Scopes) > 0 {
		wrong = append(wrong, fresh.Fail(fresh.Misconfigured, "one of audience and scopes, not both"))
	}
	if c.SelfSigned && c.Subject != "" {
		wrong = append(wrong, fresh.Fail(fresh.Misconfigured, "subject: a self-signed token stands for no user"))
	}
	if c.Endpoint != "" {
		if err := ask.CheckURL(c.Endpoint); err != nil {
			wrong = append(wrong, err)
		}
	}
	return errors.Join(wrong...)
}

// ServiceAccount gets tokens by a service account's key: the key signs a JWT
// that the token endpoint exchanges (RFC 7523 section 2.1), or that is the token
// itself (AIP-4111).
func ServiceAccount(cfg ServiceAccountConfig) fresh.Root[fresh.Token] {
	wrong := cfg.Check()
	return func(ctx context.Context, now time.Time) (fresh.Credential[fresh.Token], error) {
		if wrong != nil {
			return fresh.Credential[fresh.Token]{}, cannot(wrong)
		}
		key, err := cfg.load()
		if err != nil {
			return fresh.Credential[fresh.Token]{}, err
		}
		jwt, err := key.sign(cfg.claims(key, now))
		switch {
		case err != nil:
			return fresh.Credential[fresh.Token]{}, err
		case cfg.SelfSigned:
			return fresh.Credential[fresh.Token]{Value: fresh.Token{Value: jwt, Type: "Bearer"}, Life: assertionLife - backdate}, nil
		}
		return cfg.grant(ctx, key, jwt, now)
	}
}

// claims are those of the assertion, or of the self-signed token.
func (c ServiceAccountConfig) claims(key *accountKey, now time.Time) map[string]any {
	issued := now.Add(-backdate)
	claims := map[string]any{"iss": key.Email, "iat": issued.Unix(), "exp": issued.Add(assertionLife).Unix()}
	scope := strings.Join(orCloudPlatform(c.Scopes), " ")
	switch {
	case c.SelfSigned && c.Audience != "":
		claims["sub"], claims["aud"] = key.Email, c.Audience
	case c.SelfSigned:
		claims["sub"], claims["scope"] = key.Email, scope
	case c.Audience != "":
		claims["aud"], claims["target_audience"] = c.tokenURL(key), c.Audience
	default:
		claims["aud"], claims["scope"] = c.tokenURL(key), scope
	}
	if c.Subject != "" {
		claims["sub"] = c.Subject
	}
	return claims
}

func (c ServiceAccountConfig) tokenURL(key *accountKey) string {
	if c.Endpoint != "" {
		return endpoint(c.Endpoint, "", "/token")
	}
	return key.TokenURI
}

// grant exchanges the assertion.
func (c ServiceAccountConfig) grant(ctx context.Context, key *accountKey, jwt string, now time.Time) (fresh.Credential[fresh.Token], error) {
	form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {jwt}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.tokenURL(key), strings.NewReader(form.Encode()))
	if err != nil {
		return fresh.Credential[fresh.Token]{}, cannot(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	a, err := ask.Do(clientOr(c.HTTP, ask.Default), req, tokenName)
	if err != nil {
		return fresh.Credential[fresh.Token]{}, err
	}
	if err := a.OK(tokenName, readWords(a.Body).String()+clockOff(a.Date, now), jwt); err != nil {
		return fresh.Credential[fresh.Token]{}, err
	}
	if c.Audience != "" {
		return readIDToken(tokenName, a)
	}
	return readToken(tokenName, a)
}

// clockOff names the commonest cause of a refused assertion.
func clockOff(theirs, ours time.Time) string {
	off := ours.Sub(theirs).Round(time.Second)
	if theirs.IsZero() || off.Abs() <= time.Minute {
		return ""
	}
	return " (this host's clock is " + off.String() + " ahead of theirs: check NTP here)"
}

// accountKey is a key file of type service_account.
type accountKey struct {
	Type       string `json:"type"`
	Email      string `json:"client_email"`
	KeyID      string `json:"private_key_id"`
	PrivateKey string `json:"private_key"`
	TokenURI   string `json:"token_uri"`

	signer token.Signer
}

func (c ServiceAccountConfig) load() (*accountKey, error) {
	data, name := c.JSON, "the key"
	if c.File != "" {
		var err error
		if data, err = ask.File(c.File); err != nil {
			return nil, err
		}
		name = c.File
	}
	return parseKey(name, data)
}

// parseKey reads a key file; name is its path.
func parseKey(name string, data []byte) (*accountKey, error) {
	key := &accountKey{TokenURI: tokenEndpoint}
	if err := json.Unmarshal(data, key); err != nil {
		return nil, fresh.Fail(fresh.Malformed, "%s is not the JSON of a key file%s", name, badMember(err))
	}
	switch {
	case key.Type != "service_account":
		return nil, fresh.Fail(fresh.Misconfigured, "%s: type is %.40q, not service_account: download a key of the service account", name, key.Type)
	case !account(key.Email):
		return nil, fresh.Fail(fresh.Malformed, "%s: client_email is missing or no email", name)
	}
	if err := ask.CheckURL(key.TokenURI); err != nil {
		return nil, &fresh.Error{Reason: fresh.Misconfigured, Detail: name + ": token_uri", Err: err}
	}
	private, err := parsePEM(key.PrivateKey)
	if err == nil {
		key.signer, err = token.NewSigner(key.KeyID, token.RS256, private)
	}
	key.PrivateKey = ""
	if err != nil {
		return nil, &fresh.Error{Reason: fresh.Malformed, Detail: name + ": private_key", Err: err}
	}
	return key, nil
}

// parsePEM reads a PKCS #8 or PKCS #1 private key.
func parsePEM(text string) (crypto.Signer, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("not a PEM private key")
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("neither PKCS #8 nor PKCS #1")
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("a key that signs nothing")
	}
	return signer, nil
}

func (k *accountKey) sign(claims map[string]any) (string, error) {
	body, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	jwt, err := k.signer.Sign("JWT", body)
	if err != nil {
		return "", &fresh.Error{Reason: fresh.Malformed, Detail: "the service account's key cannot sign", Err: err}
	}
	return jwt, nil
}
