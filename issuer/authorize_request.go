package issuer

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds of an authorization request, in bytes.
const (
	maxQuery     = 16 << 10
	maxParameter = 4 << 10
	maxNonce     = 512
	maxName      = 255
)

// The values of prompt, OpenID Connect Core section 3.1.2.1. There is one
// account in a browser, so choosing one is signing in; consent is the
// configuration's, so asking for it changes nothing.
const (
	promptNone    = "none"
	promptLogin   = "login"
	promptConsent = "consent"
	promptAccount = "select_account"
)

// authorization is a request for authorization, checked (RFC 6749 section
// 4.1.1, RFC 7636 section 4.3, OpenID Connect Core section 3.1.2.1). Client,
// redirect and state are set before anything else is looked at.
type authorization struct {
	client   Client
	redirect string // where the answer goes
	given    string // "redirect_uri" as it came; empty: left out
	state    string

	challenge string // S256
	nonce     string
	audience  string
	scopes    []string
	prompt    []string
	maxAge    time.Duration // less than 0: any
	hint      string        // "login_hint"
	form      form          // as it came
}

// recipient reads who asks and where the answer goes. Until both are known to
// belong together nothing is sent to a redirect URI: a refusal is for the
// person at the browser.
func (is *Issuer) recipient(ctx context.Context, f form) (authorization, *refusal) {
	for _, values := range f {
		for _, v := range values {
			if len(v) > maxParameter {
				return authorization{}, refuse(invalidRequest, "a parameter is longer than %d bytes", maxParameter)
			}
		}
	}
	client, err := is.cfg.Clients.Client(ctx, f.get("client_id"))
	if errors.Is(err, ErrNoClient) {
		return authorization{}, refuse(invalidClient, "the application is not known here (client_id)")
	}
	if err != nil {
		return authorization{}, unavailable("finding the client", err)
	}
	given := f.get("redirect_uri")
	redirect, ok := client.chooseRedirect(given)
	if !ok {
		return authorization{client: client}, refuse(invalidRequest, "the address to return to is not one of the application's (redirect_uri)")
	}
	return authorization{client: client, redirect: redirect, given: given, state: f.get("state"), maxAge: -1, form: f}, nil
}

// check reads the rest of the request.
func (a *authorization) check() *refusal {
	f := a.form
	for _, step := range []func(form) *refusal{a.checkKind, a.checkChallenge, a.checkPrompt, a.checkMaxAge} {
		if r := step(f); r != nil {
			return r
		}
	}
	a.nonce, a.hint = f.get("nonce"), f.get("login_hint")
	if len(a.nonce) > maxNonce || len(a.hint) > maxName {
		return refuse(invalidRequest, "nonce is at most %d bytes long, login_hint %d", maxNonce, maxName)
	}
	var r *refusal
	if a.scopes, r = a.client.chooseScopes(f.get("scope")); r != nil {
		return r
	}
	a.audience, r = a.client.chooseAudience(f.targets())
	return r
}

// checkKind refuses what is not the code flow in plain parameters.
func (a *authorization) checkKind(f form) *refusal {
	switch {
	case f.get("request") != "":
		return refuse(requestNotSupported, "send plain parameters, no request object")
	case f.get("request_uri") != "":
		return refuse(requestURINotSupported, "send plain parameters, no request_uri")
	case f.get("response_type") == "":
		return refuse(invalidRequest, "response_type is missing: send code")
	case f.get("response_type") != "code":
		return refuse(unsupportedResponseType, "response_type is code, and nothing else")
	case f.get("response_mode") != "" && f.get("response_mode") != "query":
		return refuse(invalidRequest, "response_mode is query, and nothing else")
	case !a.client.may(GrantAuthorizationCode):
		return refuse(unauthorizedClient, "the client may not use the authorization_code grant: name it among its grants")
	}
	return nil
}

// checkChallenge asks every client for PKCE with S256 (RFC 9700 section 2.1.1).
func (a *authorization) checkChallenge(f form) *refusal {
	challenge, method := f.get("code_challenge"), f.get("code_challenge_method")
	if challenge == "" {
		return refuse(invalidRequest, "code_challenge is missing: PKCE (RFC 7636) is required")
	}
	if method != "S256" {
		return refuse(invalidRequest, "code_challenge_method is S256, and nothing else; left out it means plain")
	}
	digest, err := base64.RawURLEncoding.Strict().DecodeString(challenge)
	if err != nil || len(digest) != 32 || len(challenge) != 43 {
		return refuse(invalidRequest, "code_challenge is not the unpadded base64url of a SHA-256")
	}
	a.challenge = challenge
	return nil
}

func (a *authorization) checkPrompt(f form) *refusal {
	known := []string{promptNone, promptLogin, promptConsent, promptAccount}
	a.prompt = strings.Fields(f.get("prompt"))
	for _, p := range a.prompt {
		if !slices.Contains(known, p) {
			return refuse(invalidRequest, "prompt is none, login, consent or select_account")
		}
	}
	if a.prompts(promptNone) && len(a.prompt) > 1 {
		return refuse(invalidRequest, "prompt=none stands alone")
	}
	return nil
}

func (a *authorization) checkMaxAge(f form) *refusal {
	text := f.get("max_age")
	if text == "" {
		return nil
	}
	seconds, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return refuse(invalidRequest, "max_age is a number of seconds")
	}
	a.maxAge = time.Duration(seconds) * time.Second
	return nil
}

func (a *authorization) prompts(value string) bool { return slices.Contains(a.prompt, value) }

// satisfied reports whether a login answers the request without a page.
func (a *authorization) satisfied(l login, now time.Time) bool {
	if !l.live() || a.prompts(promptLogin) || a.prompts(promptAccount) {
		return false
	}
	return a.maxAge < 0 || a.maxAge > 0 && now.Sub(l.at) <= a.maxAge // 0 always asks
}

// answerURI is where an answer leads: with the state that came, and who answers
// (RFC 9207).
func (is *Issuer) answerURI(a authorization, answer url.Values) string {
	if a.state != "" {
		answer.Set("state", a.state)
	}
	answer.Set("iss", is.cfg.URL)
	return withAnswer(a.redirect, answer)
}

// answer redirects to the client. 303 makes a browser follow with GET whatever
// came before, so that a password is never posted on (RFC 9700 section 4.12).
func (is *Issuer) answer(w http.ResponseWriter, a authorization, answer url.Values) {
	pageHeaders(w.Header(), "")
	w.Header().Set("Location", is.answerURI(a, answer))
	w.WriteHeader(http.StatusSeeOther)
}
