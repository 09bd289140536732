package google

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/ask"
)

const (
	iamName     = "Google's IAM Credentials"
	iamEndpoint = "https://iamcredentials.googleapis.com"

	generateAccessToken = ":generateAccessToken"
	generateIDToken     = ":generateIdToken"
)

// ImpersonateConfig is one service account to become, at IAM Service Account
// Credentials v1. ServiceAccount is required.
type ImpersonateConfig struct {
	Endpoint       string        // base URL; default https://iamcredentials.googleapis.com
	ServiceAccount string        // email
	Scopes         []string      // of an access token; default cloud-platform
	Delegates      []string      // emails of the accounts between, the first one first
	Lifetime       time.Duration // of an access token; default 1 h; 1 s to 12 h (over 1 h only where the organization allows it)
	Audience       string        // an ID token for this audience instead of an access token
	HTTP           *http.Client  // default ask.Default

	url string // of generateAccessToken, where a file names it in full
}

// Check names every field that cannot work.
func (c ImpersonateConfig) Check() error {
	var wrong []error
	for _, email := range append([]string{c.ServiceAccount}, c.Delegates...) {
		if !account(email) {
			wrong = append(wrong, fresh.Fail(fresh.Misconfigured, "service account: %.100q is not an email", email))
		}
	}
	if c.Lifetime != 0 && (c.Lifetime < time.Second || c.Lifetime > 12*time.Hour) {
		wrong = append(wrong, fresh.Fail(fresh.Misconfigured, "lifetime: %s is not between 1 s and 12 h", c.Lifetime))
	}
	if c.Audience != "" && (len(c.Scopes) > 0 || c.Lifetime != 0) {
		wrong = append(wrong, fresh.Fail(fresh.Misconfigured, "audience: an ID token has neither scopes nor a chosen lifetime"))
	}
	if err := ask.CheckURL(c.target()); err != nil {
		wrong = append(wrong, err)
	}
	return errors.Join(wrong...)
}

// account reports whether s can be a service account's email, or its unique id,
// in a URL's path.
func account(s string) bool {
	return s != "" && s != "." && s != ".." && strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("@.-_", r)
	}) < 0
}

// Impersonate gets a token of a service account (generateAccessToken, or
// generateIdToken where an audience is set) with the token of one that may. A
// 401 blames the lease of that token.
func Impersonate(cfg ImpersonateConfig) fresh.Fetch[fresh.Token, fresh.Token] {
	wrong := cfg.Check()
	return func(ctx context.Context, from fresh.Lease[fresh.Token], _ time.Time) (fresh.Credential[fresh.Token], error) {
		if wrong != nil {
			return fresh.Credential[fresh.Token]{}, cannot(wrong)
		}
		a, err := cfg.post(ctx, from.Value)
		if err != nil {
			return fresh.Credential[fresh.Token]{}, err
		}
		if err := cfg.refusal(a, from.Value.Value); err != nil {
			if a.Status == http.StatusUnauthorized {
				err = fresh.Blame(from, err)
			}
			return fresh.Credential[fresh.Token]{}, err
		}
		return readImpersonated(a)
	}
}

func (c ImpersonateConfig) post(ctx context.Context, bearer fresh.Token) (ask.Answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.target(), bytes.NewReader(c.body()))
	if err != nil {
		return ask.Answer{}, cannot(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+bearer.Value)
	return ask.Do(clientOr(c.HTTP, ask.Default), req, iamName)
}

func (c ImpersonateConfig) target() string {
	method := generateAccessToken
	if c.Audience != "" {
		method = generateIDToken
	}
	if c.url != "" {
		return strings.TrimSuffix(c.url, generateAccessToken) + method
	}
	return endpoint(c.Endpoint, iamEndpoint, "/v1/projects/-/serviceAccounts/"+c.ServiceAccount+method)
}

func (c ImpersonateConfig) body() []byte {
	var request struct {
		Delegates []string `json:"delegates,omitempty"`
		Scope     []string `json:"scope,omitempty"`
		Lifetime  string   `json:"lifetime,omitempty"`
		Audience  string   `json:"audience,omitempty"`
		Email     bool     `json:"includeEmail,omitempty"`
	}
	for _, d := range c.Delegates {
		request.Delegates = append(request.Delegates, "projects/-/serviceAccounts/"+d)
	}
	if request.Audience, request.Email = c.Audience, c.Audience != ""; c.Audience == "" {
		request.Scope = orCloudPlatform(c.Scopes)
		request.Lifetime = fmt.Sprintf("%ds", c.lifetime()/time.Second)
	}
	body, _ := json.Marshal(request) // strings always marshal
	return body
}

func (c ImpersonateConfig) lifetime() time.Duration {
	if c.Lifetime == 0 {
		return time.Hour
	}
	return c.Lifetime
}

// refusal says what to do about the two refusals that people meet.
func (c ImpersonateConfig) refusal(a ask.Answer, bearer string) error {
	said := readWords(a.Body).String()
	switch a.Status {
	case http.StatusForbidden:
		said += " (grant " + c.role() + " on " + c.ServiceAccount + ")"
	case http.StatusNotFound:
		said += " (is " + c.ServiceAccount + " spelt right?)"
	}
	return a.OK(iamName, said, bearer)
}

// role is what lets a member do this; that of a pool's identities does for both.
func (c ImpersonateConfig) role() string {
	if c.Audience != "" {
		return "roles/iam.workloadIdentityUser or roles/iam.serviceAccountOpenIdTokenCreator"
	}
	return "roles/iam.workloadIdentityUser or roles/iam.serviceAccountTokenCreator"
}

func readImpersonated(a ask.Answer) (fresh.Credential[fresh.Token], error) {
	var t struct {
		AccessToken string    `json:"accessToken"`
		ExpireTime  time.Time `json:"expireTime"`
		IDToken     string    `json:"token"`
	}
	if err := a.JSON(iamName, &t); err != nil {
		return fresh.Credential[fresh.Token]{}, err
	}
	c, err := credential(iamName, fresh.Token{Value: t.AccessToken + t.IDToken, Type: "Bearer"}, 0, a.Date)
	if err == nil && !t.ExpireTime.IsZero() && (c.Expires.IsZero() || t.ExpireTime.Before(c.Expires)) {
		c.Expires, c.Life = t.ExpireTime, 0
	}
	return c, err
}
