package google

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/ask"
)

const (
	stsName       = "Google's token exchange"
	stsEndpoint   = "https://sts.googleapis.com"
	cloudPlatform = "https://www.googleapis.com/auth/cloud-platform"

	tokenTypes   = "urn:ietf:params:oauth:token-type:"
	awsTokenType = "urn:ietf:params:aws:token-type:aws4_request"
)

// STSConfig is one audience at Google's Security Token Service, method token
// (RFC 8693). Audience is required.
type STSConfig struct {
	Endpoint         string   // base URL; default https://sts.googleapis.com
	Audience         string   // "//iam.googleapis.com/projects/…/providers/…"
	SubjectTokenType string   // "jwt" (default), "id_token", "saml2", or a URN; ExchangeAWS has its own
	Scopes           []string // default cloud-platform

	Region          string // ExchangeAWS: of the regional AWS STS that is to be asked; default us-east-1
	VerificationURL string // ExchangeAWS: of GetCallerIdentity, "{region}" is replaced; default the regional AWS STS

	ClientID     string // workforce pools: HTTP Basic authentication of an OAuth client
	ClientSecret string `json:"-"`
	UserProject  string // workforce pools without a client: the project that is charged

	HTTP *http.Client // default ask.Default

	url string // of the token endpoint, where a file names it in full
}

// Format implements fmt.Formatter: the client secret does not print.
func (c STSConfig) Format(f fmt.State, verb rune) {
	type bare STSConfig
	c.ClientSecret = ""
	_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), bare(c))
}

// Check names every field that cannot work.
func (c STSConfig) Check() error {
	var wrong []error
	if c.Audience == "" {
		wrong = append(wrong, fresh.Fail(fresh.Misconfigured, "audience: required: the full resource name of the pool's provider"))
	}
	if err := ask.CheckURL(c.tokenURL()); err != nil {
		wrong = append(wrong, err)
	}
	if c.UserProject != "" && !strings.Contains(c.Audience, "/workforcePools/") {
		wrong = append(wrong, fresh.Fail(fresh.Misconfigured, "user project: only for an audience of a workforce pool"))
	}
	if c.ClientSecret != "" && c.ClientID == "" {
		wrong = append(wrong, fresh.Fail(fresh.Misconfigured, "client secret: it needs a client id"))
	}
	return errors.Join(wrong...)
}

// checkAWS is Check for ExchangeAWS, whose region may come from elsewhere.
func (c STSConfig) checkAWS(region string) error {
	err := c.Check()
	if !regionName(region) {
		err = errors.Join(err, fresh.Fail(fresh.Misconfigured, "region: %.40q is not an AWS region such as eu-west-1", region))
	}
	if e := ask.CheckURL(c.verificationURL(region)); e != nil {
		err = errors.Join(err, e)
	}
	return err
}

// ExchangeToken exchanges a token of an identity provider for a federated one.
// Where Google says that the subject token is over or invalid, its lease is
// blamed.
func ExchangeToken(cfg STSConfig) fresh.Fetch[fresh.Token, fresh.Token] {
	wrong := cfg.Check()
	return func(ctx context.Context, from fresh.Lease[fresh.Token], _ time.Time) (fresh.Credential[fresh.Token], error) {
		if wrong != nil {
			return fresh.Credential[fresh.Token]{}, cannot(wrong)
		}
		c, subject, err := cfg.exchange(ctx, from.Value.Value, cfg.subjectTokenType())
		if subject {
			err = fresh.Blame(from, err)
		}
		return c, err
	}
}

// ExchangeAWS exchanges AWS keys for a federated token: the subject token is a
// GetCallerIdentity request that they sign. keys takes them from a lease's
// value; the session token may be empty. Where AWS, asked by Google, says that
// the keys are over or invalid, their lease is blamed.
func ExchangeAWS[P comparable](cfg STSConfig, keys func(P) (id, secret, session string)) fresh.Fetch[P, fresh.Token] {
	return func(ctx context.Context, from fresh.Lease[P], now time.Time) (fresh.Credential[fresh.Token], error) {
		return exchangeAWS(ctx, cfg, keys, from, cmp.Or(cfg.Region, "us-east-1"), now)
	}
}

func exchangeAWS[P comparable](ctx context.Context, cfg STSConfig, keys func(P) (id, secret, session string),
	from fresh.Lease[P], region string, now time.Time) (fresh.Credential[fresh.Token], error) {
	if wrong := cfg.checkAWS(region); wrong != nil {
		return fresh.Credential[fresh.Token]{}, cannot(wrong)
	}
	id, secret, session := keys(from.Value)
	signed, err := callerIdentity{cfg.verificationURL(region), region, cfg.Audience}.sign(ctx, id, secret, session, now)
	if err != nil {
		return fresh.Credential[fresh.Token]{}, err
	}
	c, subject, err := cfg.exchange(ctx, signed, awsTokenType, secret, session)
	if subject {
		err = fresh.Blame(from, err)
	}
	return c, err
}

// exchange makes the one request; subject says that its error is about the
// subject token. secrets are what that is made of.
func (c STSConfig) exchange(ctx context.Context, subjectToken, kind string, secrets ...string) (_ fresh.Credential[fresh.Token], subject bool, _ error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.tokenURL(), strings.NewReader(c.form(subjectToken, kind).Encode()))
	if err != nil {
		return fresh.Credential[fresh.Token]{}, false, cannot(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if c.ClientID != "" {
		req.SetBasicAuth(c.ClientID, c.ClientSecret)
	}
	a, err := ask.Do(clientOr(c.HTTP, ask.Default), req, stsName)
	if err != nil {
		return fresh.Credential[fresh.Token]{}, false, err
	}
	said := readWords(a.Body)
	if err := a.OK(stsName, said.String(), append([]string{subjectToken, c.ClientSecret}, secrets...)...); err != nil {
		return fresh.Credential[fresh.Token]{}, aboutSubject(a.Status, said), err
	}
	token, err := readToken(stsName, a)
	return token, false, err
}

// form is the request of RFC 8693 section 2.1 as Google wants it.
func (c STSConfig) form(subjectToken, kind string) url.Values {
	form := url.Values{
		"grant_type":           {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"requested_token_type": {tokenTypes + "access_token"},
		"audience":             {c.Audience},
		"scope":                {strings.Join(orCloudPlatform(c.Scopes), " ")},
		"subject_token":        {subjectToken},
		"subject_token_type":   {kind},
	}
	if c.UserProject != "" && c.ClientID == "" {
		options, _ := json.Marshal(map[string]string{"userProject": c.UserProject}) // strings always marshal
		form.Set("options", string(options))
	}
	return form
}

// aboutSubject reports whether a refusal is about the subject token, so that
// another one may help. Google says invalid_grant of what no other token of the
// same origin would change, too: the texts it has for that are told apart.
func aboutSubject(status int, said words) bool {
	switch {
	case status == http.StatusUnauthorized:
		return said.code != "invalid_client"
	case status != http.StatusBadRequest || said.code != "invalid_grant" && said.code != "invalid_token":
		return false
	}
	text := strings.ToLower(said.text)
	if _, aws, ok := strings.Cut(text, "invalid aws response of type "); ok {
		// other keys help against no throttling, wrong clock or AccessDenied
		return strings.HasPrefix(aws, "expiredtoken") || strings.HasPrefix(aws, "invalidclienttokenid")
	}
	for _, settled := range []string{"the audience in", "expected audience", "the issuer in", "credential's issuer", "attribute condition"} {
		if strings.Contains(text, settled) {
			return false
		}
	}
	return true
}

func (c STSConfig) tokenURL() string {
	if c.url != "" {
		return c.url
	}
	return endpoint(c.Endpoint, stsEndpoint, "/v1/token")
}

func (c STSConfig) subjectTokenType() string {
	switch {
	case c.SubjectTokenType == "":
		return tokenTypes + "jwt"
	case !strings.Contains(c.SubjectTokenType, ":"):
		return tokenTypes + c.SubjectTokenType
	}
	return c.SubjectTokenType
}

func (c STSConfig) verificationURL(region string) string {
	u := c.VerificationURL
	if u == "" {
		u = "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15"
	}
	return strings.ReplaceAll(u, "{region}", region)
}

func orCloudPlatform(scopes []string) []string {
	if len(scopes) == 0 {
		return []string{cloudPlatform}
	}
	return scopes
}
