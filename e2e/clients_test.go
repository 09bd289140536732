package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// How the programs are run. Node.js 18 has its Web Crypto behind the flag; newer
// ones take it and do nothing.
var (
	node   = []string{"node", "--experimental-global-webcrypto"}
	python = []string{"../.cache/python/bin/python"}
)

// scripts are the clients of other languages and the steps that must hold.
var scripts = []struct {
	program []string
	file    string
	steps   []string
}{
	{node, "clients/node/openid-client.mjs", []string{
		"client credentials by secret in the header", "client credentials by secret in the form",
		"client credentials by private key", "another client's secret is refused", "code with PKCE",
		"refresh with rotation", "introspection", "revocation",
	}},
	{node, "clients/node/oauth4webapi.mjs", []string{
		"discovery", "client credentials by secret in the header", "client credentials by secret in the form",
		"client credentials by private key", "code with PKCE", "refresh with rotation", "a lost response may be repeated",
		"reuse ends the session", "a code is used once", "introspection", "revocation of what is not there succeeds",
	}},
	{node, "clients/node/jose.mjs", []string{"an access token is verified", "a forged one is not"}},
	{python, "clients/python/authlib_client.py", []string{
		"discovery", "client credentials by secret in the header", "client credentials by secret in the form",
		"client credentials by private key", "code with PKCE", "refresh with rotation", "introspection", "revocation",
	}},
	{python, "clients/python/pyjwt_verifier.py", []string{"an access token is verified", "not for another audience"}},
}

func TestClientsOfOtherLanguages(t *testing.T) {
	w := newWorld(t, plan{})
	for _, s := range scripts {
		t.Run(filepath.Base(s.file), func(t *testing.T) {
			steps := runScript(t, w, s.program, s.file)
			if !slices.Equal(steps, s.steps) {
				t.Errorf("steps %q, want %q", steps, s.steps)
			}
		})
	}
}

// runScript runs a client against the world and returns the steps that held.
func runScript(t *testing.T, w *world, program []string, file string) []string {
	t.Helper()
	r := command(t, encode(t, w.task(t)), exec.Command(program[0], append(slices.Clone(program[1:]), file)...))
	if r.code != 0 {
		t.Errorf("%s exits %d:\n%s", file, r.code, r.stderr)
	}
	var steps []string
	lines := json.NewDecoder(bytes.NewReader([]byte(r.stdout)))
	for lines.More() {
		var line struct {
			Step   string
			Tokens []string
		}
		if err := lines.Decode(&line); err != nil {
			t.Fatalf("%s said %q: %v", file, r.stdout, err)
		}
		steps = append(steps, line.Step)
		w.hide(line.Tokens...)
	}
	return steps
}

// task is what a script is told on stdin.
func (w *world) task(t *testing.T) map[string]any {
	t.Helper()
	named := func(id string) map[string]any { return map[string]any{"id": id, "secret": w.Secret[id].Secret} }
	return map[string]any{
		"issuer": w.Issuer, "audience": audience, "scope": "orders.read", "redirect_uri": callback,
		"username": "alice", "password": password,
		"service": named("service"), "web": named("web"), "public": named("public"),
		"keyed": map[string]any{
			"id":  "keyed",
			"jwk": jose.JSONWebKey{Key: w.key, KeyID: keyedKid, Algorithm: "ES256", Use: "sig"},
			"rsa": pemOf(t, w.rsa), "rsa_kid": rsaKid,
		},
		"access_token": w.token("service", "orders.read"),
	}
}

func TestOAuth2AndGoOIDC(t *testing.T) {
	w := newWorld(t, plan{})
	ctx := context.Background()
	provider, err := oidc.NewProvider(ctx, w.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("client credentials", func(t *testing.T) {
		for _, style := range []oauth2.AuthStyle{oauth2.AuthStyleInHeader, oauth2.AuthStyleInParams} {
			verifyAccess(t, provider, clientCredentials(t, w, provider, style), "service")
		}
	})
	t.Run("code with PKCE, refresh and a call through the gate", func(t *testing.T) {
		config := oauth2.Config{
			ClientID: "web", ClientSecret: w.Secret["web"].Secret, Endpoint: provider.Endpoint(),
			RedirectURL: callback, Scopes: []string{oidc.ScopeOpenID, "orders.read"},
		}
		token := codeFlow(t, w, config, provider)
		token.Expiry = token.Expiry.Add(-2 * oauth2Life)
		source := config.TokenSource(ctx, token)
		renewed, err := source.Token()
		if err != nil {
			t.Fatal(err)
		}
		w.hide(renewed.AccessToken, renewed.RefreshToken)
		if renewed.RefreshToken == token.RefreshToken {
			t.Error("the refresh token was not rotated")
		}
		resp, err := oauth2.NewClient(ctx, source).Get(w.Gate + "/orders/1")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("the gate says %s", resp.Status)
		}
	})
}

// oauth2Life is beyond any access token here: x/oauth2 renews what it thinks is over.
const oauth2Life = 3600e9

func clientCredentials(t *testing.T, w *world, provider *oidc.Provider, style oauth2.AuthStyle) string {
	t.Helper()
	config := clientcredentials.Config{
		ClientID: "service", ClientSecret: w.Secret["service"].Secret, TokenURL: provider.Endpoint().TokenURL,
		Scopes: []string{"orders.read"}, EndpointParams: map[string][]string{"resource": {audience}}, AuthStyle: style,
	}
	token, err := config.Token(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	w.hide(token.AccessToken)
	if token.RefreshToken != "" || token.Expiry.IsZero() {
		t.Errorf("refresh token %q, expiry %v", token.RefreshToken, token.Expiry)
	}
	return token.AccessToken
}

func verifyAccess(t *testing.T, provider *oidc.Provider, raw, subject string) {
	t.Helper()
	verified, err := provider.Verifier(&oidc.Config{ClientID: audience}).Verify(context.Background(), raw)
	if err != nil {
		t.Fatal(err)
	}
	if verified.Subject != subject {
		t.Errorf("sub is %q, want %q", verified.Subject, subject)
	}
}

func codeFlow(t *testing.T, w *world, config oauth2.Config, provider *oidc.Provider) *oauth2.Token {
	t.Helper()
	ctx, verifier, nonce := context.Background(), oauth2.GenerateVerifier(), "nonce-1"
	start := config.AuthCodeURL("state-1", oauth2.S256ChallengeOption(verifier), oidc.Nonce(nonce),
		oauth2.SetAuthURLParam("resource", audience))
	query := newBrowser(t).signIn(start)
	token, err := config.Exchange(ctx, query.Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := token.Extra("id_token").(string)
	w.hide(query.Get("code"), verifier, token.AccessToken, token.RefreshToken, raw)
	id, err := provider.Verifier(&oidc.Config{ClientID: config.ClientID}).Verify(ctx, raw)
	if err != nil {
		t.Fatal(err)
	}
	if id.Nonce != nonce || id.Subject != "alice" {
		t.Errorf("ID token for %q with nonce %q", id.Subject, id.Nonce)
	}
	if id.AccessTokenHash != "" {
		if err := id.VerifyAccessToken(token.AccessToken); err != nil {
			t.Error(err)
		}
	}
	verifyAccess(t, provider, token.AccessToken, "alice")
	if strings.Count(raw, ".") != 2 {
		t.Errorf("no ID token")
	}
	return token
}
