package azure

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/ask"
)

const public = "https://login.microsoftonline.com"

// WorkloadConfig is an application, or a user-assigned identity, that trusts a
// federated issuer. Tenant, ClientID and Scope are required.
type WorkloadConfig struct {
	Authority string // base URL; default https://login.microsoftonline.com
	Tenant    string
	ClientID  string
	Scope     string // one resource: "https://vault.azure.net/.default"
	HTTP      *http.Client
}

// tenant is a GUID or a domain.
var tenant = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]{0,252}$`)

// Check names every field that cannot work.
func (c WorkloadConfig) Check() error {
	var wrong []error
	add := func(bad bool, format string, args ...any) {
		if bad {
			wrong = append(wrong, fresh.Fail(fresh.Misconfigured, format, args...))
		}
	}
	if c.Authority != "" {
		wrong = append(wrong, ask.CheckURL(c.Authority))
	}
	add(!tenant.MatchString(c.Tenant), "tenant %.80q is neither a GUID nor a domain", c.Tenant)
	add(slices.Contains([]string{"common", "organizations", "consumers"}, c.Tenant), "tenant %q: a workload has one tenant of its own", c.Tenant)
	add(c.ClientID == "", "client id is required")
	add(!strings.HasSuffix(c.Scope, "/.default") || strings.ContainsAny(c.Scope, " \t\r\n"),
		"scope %.200q: one resource and /.default", c.Scope)
	return errors.Join(wrong...)
}

// WorkloadIdentity exchanges a federated JWT for a token (RFC 7523 section 2.2
// with the client_credentials grant). A refusal that concerns the JWT blames its
// lease.
func WorkloadIdentity(c WorkloadConfig) fresh.Fetch[fresh.Token, fresh.Token] {
	wrong := c.Check()
	if c.Authority == "" {
		c.Authority = public
	}
	at := strings.TrimRight(c.Authority, "/") + "/" + c.Tenant + "/oauth2/v2.0/token"
	const what = "Microsoft Entra"
	return func(ctx context.Context, jwt fresh.Lease[fresh.Token], _ time.Time) (fresh.Credential[fresh.Token], error) {
		if wrong != nil {
			return fresh.Credential[fresh.Token]{}, misconfigured(wrong)
		}
		a, err := post(ctx, or(c.HTTP, ask.Default), at, what, c.form(jwt.Value.Value))
		if err != nil {
			return fresh.Credential[fresh.Token]{}, err
		}
		r := readRefusal(a)
		if err := a.OK(what, r.said(), jwt.Value.Value); err != nil {
			if r.ofAssertion() {
				err = fresh.Blame(jwt, err)
			}
			return fresh.Credential[fresh.Token]{}, err
		}
		return credential(a, what, c.Scope)
	}
}

func (c WorkloadConfig) form(jwt string) url.Values {
	return url.Values{
		"grant_type": {"client_credentials"}, "client_id": {c.ClientID}, "scope": {c.Scope},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {jwt},
	}
}

func post(ctx context.Context, client *http.Client, at, what string, form url.Values) (ask.Answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at, strings.NewReader(form.Encode()))
	if err != nil {
		return ask.Answer{}, misconfigured(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	return ask.Do(client, req, what)
}

// assertionCodes are the AADSTS numbers that another JWT of the same origin may
// cure. Those of issuer, audience and subject (70021, 700211 to 700213, 700021,
// 700023) are not: the next JWT names the same ones. Read only.
var assertionCodes = []int{
	50012,  // it is not within its valid time range (older)
	50013,  // it is invalid: expired, not yet valid, malformed
	50027,  // it is an invalid JWT
	700024, // it is not within its valid time range
	700027, // its signature cannot be verified
}

var number = regexp.MustCompile(`^AADSTS([0-9]{4,9})\b`)

// ofAssertion reports whether the refusal concerns the JWT.
func (r refusal) ofAssertion() bool {
	for _, code := range assertionCodes {
		if slices.Contains(r.Codes, code) {
			return true
		}
	}
	m := number.FindStringSubmatch(r.Description)
	return m != nil && slices.ContainsFunc(assertionCodes, func(code int) bool { return m[1] == strconv.Itoa(code) })
}
