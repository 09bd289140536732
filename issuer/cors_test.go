package issuer_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

const ownOrigin, otherOrigin = "http://127.0.0.1:8080", "https://many.test"

func TestPreflightsAreAnsweredByTheClientsOrigins(t *testing.T) {
	p := newPortal(t, nil)
	tests := []struct {
		path, origin string
		want         string // Access-Control-Allow-Origin
	}{
		{"/token", ownOrigin, ownOrigin},
		{"/token", otherOrigin, otherOrigin},
		{"/revoke", ownOrigin, ownOrigin},
		{"/userinfo", ownOrigin, ownOrigin},
		{"/token", "https://evil.test", ""},
		{"/token", "null", ""},
		{"/token", "http://127.0.0.1:8081", ""},
		{"/token", "HTTP://127.0.0.1:8080", ""},
		{"/token", ownOrigin + "/", ""},
		{"/token", "https://many.test.evil.test", ""},
		{"/jwks", "https://evil.test", "*"},
		{"/.well-known/openid-configuration", "https://evil.test", "*"},
		{"/.well-known/oauth-authorization-server", "https://evil.test", "*"},
		{"/authorize", ownOrigin, ""},
		{"/end_session", ownOrigin, ""},
		{"/introspect", ownOrigin, ""},
		{"/revocations", ownOrigin, ""},
		{"/nowhere", ownOrigin, ""},
	}
	for _, tt := range tests {
		t.Run(tt.path+" "+tt.origin, func(t *testing.T) {
			r, err := http.NewRequest(http.MethodOptions, p.URL+tt.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Origin", tt.origin)
			r.Header.Set("Access-Control-Request-Method", "POST")
			got := p.browser(t).do(r)
			if allowed := got.Header.Get("Access-Control-Allow-Origin"); allowed != tt.want {
				t.Errorf("allows %q, want %q", allowed, tt.want)
			}
			if got.Header.Get("Access-Control-Allow-Credentials") != "" {
				t.Error("allows credentials")
			}
			if methods := got.Header.Get("Access-Control-Allow-Methods"); (methods != "") != (tt.want != "") {
				t.Errorf("allows methods %q", methods)
			}
		})
	}
}

func TestAnOriginReadsOnlyItsOwnClientsAnswers(t *testing.T) {
	p := newPortal(t, nil)
	b := p.browser(t)
	code := b.signIn("alice", request()).Get("code")
	form := url.Values{
		"grant_type": {"authorization_code"}, "client_id": {"web-app"}, "redirect_uri": {callback}, "code": {code}, "code_verifier": {verifier},
	}
	refused := b.post("/token", fill(url.Values{"client_id": {"web-app"}, "grant_type": {"authorization_code"}, "code": {"x"}}), "Origin", otherOrigin)
	if allowed := refused.Header.Get("Access-Control-Allow-Origin"); allowed != "" {
		t.Errorf("another client's origin may read: %q", allowed)
	}
	got := b.post("/token", form, "Origin", ownOrigin)
	if got.StatusCode != http.StatusOK || got.Header.Get("Access-Control-Allow-Origin") != ownOrigin || !strings.Contains(strings.Join(got.Header.Values("Vary"), ","), "Origin") {
		t.Errorf("%s, headers %v", got.Status, got.Header)
	}
	again := b.post("/token", form, "Origin", ownOrigin)
	if again.StatusCode != http.StatusBadRequest || again.Header.Get("Access-Control-Allow-Origin") != ownOrigin {
		t.Errorf("a refusal is not readable: %s, headers %v", again.Status, again.Header)
	}
	if plain := b.post("/token", form); plain.Header.Get("Access-Control-Allow-Origin") != "" || plain.Header.Get("Vary") != "Origin" {
		t.Errorf("without Origin: headers %v", plain.Header)
	}
}

func TestUserinfoAnswersTheTokensClientsOrigin(t *testing.T) {
	p := newPortal(t, nil)
	b := p.browser(t)
	got, _ := b.redeem(b.signIn("alice", request()).Get("code"))
	for origin, want := range map[string]string{ownOrigin: ownOrigin, otherOrigin: "", "https://evil.test": ""} {
		r, err := http.NewRequest(http.MethodGet, p.URL+"/userinfo", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Origin", origin)
		r.Header.Set("Authorization", "Bearer "+got.AccessToken)
		if info := b.do(r); info.Header.Get("Access-Control-Allow-Origin") != want {
			t.Errorf("%s: allows %q, want %q", origin, info.Header.Get("Access-Control-Allow-Origin"), want)
		}
	}
}
