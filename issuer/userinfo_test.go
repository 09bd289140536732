package issuer_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/longcase/longcase/issuer"
)

// tokens is the answer of /token.
type tokens struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	IDToken      string `json:"id_token"`
	Scope        string `json:"scope"`
	Error        string `json:"error"`
}

// redeem exchanges a code of web-app.
func (b *browser) redeem(code string, pairs ...string) (tokens, page) {
	b.t.Helper()
	f := url.Values{
		"grant_type": {"authorization_code"}, "client_id": {"web-app"}, "redirect_uri": {callback},
		"code": {code}, "code_verifier": {verifier},
	}
	p := b.post("/token", fill(f, pairs...))
	var got tokens
	if err := json.Unmarshal([]byte(p.body), &got); err != nil {
		b.t.Fatalf("%v: %s", err, p.body)
	}
	return got, p
}

// payload reads a JWT without judging it.
func payload(t *testing.T, jwt string) map[string]any {
	t.Helper()
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		t.Fatalf("not a JWT: %q", jwt)
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(b, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func (b *browser) userinfo(header ...string) page {
	b.t.Helper()
	r, err := http.NewRequest(http.MethodGet, b.portal.URL+"/userinfo", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, h := range header {
		r.Header.Add("Authorization", h)
	}
	return b.do(r)
}

func TestFromTheLoginPageToTheUser(t *testing.T) {
	p := newPortal(t, nil)
	b := p.browser(t)
	b.signIn("alice", request())
	signedIn := p.clock.now().Unix()
	p.clock.advance(time.Hour)
	code := b.get("/authorize", request("max_age", "7200")).answer(t, callback).Get("code")
	got, answer := b.redeem(code)
	if got.AccessToken == "" || got.RefreshToken == "" || got.IDToken == "" {
		t.Fatalf("%s: %s", answer.Status, answer.body)
	}
	id := payload(t, got.IDToken)
	if id["sub"] != "alice" || id["nonce"] != "n-1" || id["aud"] != "web-app" || id["auth_time"] != float64(signedIn) {
		t.Errorf("ID token %v, want alice, the nonce, and auth_time %d", id, signedIn)
	}
	if access := payload(t, got.AccessToken); access["sub"] != "alice" || access["aud"] != orders {
		t.Errorf("access token %v", access)
	}
	info := b.userinfo("Bearer " + got.AccessToken)
	if info.StatusCode != http.StatusOK || info.body != `{"sub":"alice"}` || info.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("userinfo %s: %s", info.Status, info.body)
	}
	if again, _ := b.redeem(code); again.Error != "invalid_grant" {
		t.Errorf("code used twice: %v", again)
	}
	p.clock.advance(time.Second)
	if info := b.userinfo("Bearer " + got.AccessToken); info.StatusCode != http.StatusUnauthorized {
		t.Errorf("userinfo after the code's second use: %s", info.Status)
	}
	if log := p.log.String(); strings.Contains(log, code) || strings.Contains(log, got.AccessToken) || strings.Contains(log, got.RefreshToken) {
		t.Errorf("the log holds a token:\n%s", log)
	}
}

func TestACodeIsForItsVerifierRedirectURIAndTime(t *testing.T) {
	for name, pairs := range map[string][]string{
		"another verifier":     {"code_verifier", strings.Repeat("a", 43)},
		"no verifier":          {"code_verifier", ""},
		"challenge as it was":  {"code_verifier", request().Get("code_challenge")},
		"another redirect URI": {"redirect_uri", "http://127.0.0.1:8081/callback"},
		"no redirect URI":      {"redirect_uri", ""},
		"another client":       {"client_id", "many"},
	} {
		b := newPortal(t, nil).browser(t)
		if got, p := b.redeem(b.signIn("alice", request()).Get("code"), pairs...); got.Error != "invalid_grant" {
			t.Errorf("%s: %s %s, want invalid_grant", name, p.Status, p.body)
		}
	}
	p := newPortal(t, nil)
	b := p.browser(t)
	code := b.signIn("alice", request("redirect_uri", "-")).Get("code")
	if got, answer := b.redeem(code, "redirect_uri", ""); got.AccessToken == "" {
		t.Errorf("redirect URI left out twice: %s %s", answer.Status, answer.body)
	}
	code = b.get("/authorize", request()).answer(t, callback).Get("code")
	p.clock.advance(61 * time.Second)
	if got, _ := b.redeem(code); got.Error != "invalid_grant" {
		t.Errorf("61 s later: %v", got)
	}
}

func TestUserinfoRefuses(t *testing.T) {
	known := &leaving{Users: users(t, "alice")}
	p := newPortal(t, func(cfg *issuer.Config) { cfg.Users = known })
	b := p.browser(t)
	full, _ := b.redeem(b.signIn("alice", request()).Get("code"))
	plain, _ := b.redeem(b.get("/authorize", request("scope", "orders.read")).answer(t, callback).Get("code"))
	access := full.AccessToken
	tests := []struct {
		name   string
		header []string
		status int
		want   string // in WWW-Authenticate
	}{
		{"no token", nil, 401, `Bearer realm="userinfo"`},
		{"another scheme", []string{"Basic " + access}, 400, `error="invalid_request"`},
		{"no value", []string{"Bearer"}, 400, `error="invalid_request"`},
		{"two tokens", []string{"Bearer " + access, "Bearer " + access}, 400, `error="invalid_request"`},
		{"nonsense", []string{"Bearer x"}, 401, `error="invalid_token"`},
		{"a cut token", []string{"Bearer " + access[:len(access)-1]}, 401, `error="invalid_token"`},
		{"two spaces", []string{"Bearer  " + access}, 401, `error="invalid_token"`},
		{"the ID token", []string{"Bearer " + full.IDToken}, 401, `error="invalid_token"`},
		{"the refresh token", []string{"Bearer " + full.RefreshToken}, 401, `error="invalid_token"`},
		{"no openid", []string{"Bearer " + plain.AccessToken}, 403, `error="insufficient_scope"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := b.userinfo(tt.header...)
			challenge := got.Header.Get("WWW-Authenticate")
			if got.StatusCode != tt.status || !strings.Contains(challenge, tt.want) || tt.header == nil && strings.Contains(challenge, "error") {
				t.Errorf("%s, WWW-Authenticate %q, want %d and %s", got.Status, challenge, tt.status, tt.want)
			}
			if strings.Contains(got.body, "alice") {
				t.Errorf("tells who it is: %s", got.body)
			}
		})
	}
	r, err := http.NewRequest(http.MethodGet, p.URL+"/userinfo?access_token="+access, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := b.do(r); got.StatusCode != 401 {
		t.Errorf("token in the URL: %s, want 401", got.Status)
	}
	known.gone = true
	if got := b.userinfo("Bearer " + access); got.StatusCode != 401 {
		t.Errorf("the user is gone: %s, want 401", got.Status)
	}
	known.gone = false
	p.clock.advance(5 * time.Minute)
	if got := b.userinfo("Bearer " + access); got.StatusCode != 401 {
		t.Errorf("at its end: %s, want 401", got.Status)
	}
}

func TestSigningOut(t *testing.T) {
	p := newPortal(t, nil)
	b := p.browser(t)
	b.signIn("alice", request())
	cookie := b.cookieOf("lc_login")
	asked := b.get("/end_session", url.Values{"post_logout_redirect_uri": {"https://evil.test"}})
	checkPage(t, asked)
	form := asked.form(t)
	if got := p.browser(t).post("/end_session", form); got.StatusCode != http.StatusForbidden {
		t.Errorf("form of another browser: %s, want 403", got.Status)
	}
	if got := b.post("/end_session", form, "Sec-Fetch-Site", "cross-site"); got.StatusCode != http.StatusForbidden {
		t.Errorf("cross-site form: %s, want 403", got.Status)
	}
	if got := b.get("/authorize", request("prompt", "none")).answer(t, callback); got.Get("code") == "" {
		t.Errorf("asked, and signed out already: %v", got)
	}
	done := b.post("/end_session", form)
	if done.StatusCode != http.StatusOK || done.Header.Get("Location") != "" || b.cookieOf("lc_login") != "" {
		t.Errorf("%s, Location %q, cookie %q", done.Status, done.Header.Get("Location"), b.cookieOf("lc_login"))
	}
	b.setCookie("lc_login", cookie)
	if got := b.get("/authorize", request("prompt", "none")).answer(t, callback); got.Get("error") != "login_required" {
		t.Errorf("the old cookie after signing out: %v", got)
	}
	if got := b.get("/end_session", nil); got.StatusCode != http.StatusOK || strings.Contains(got.body, "<form") {
		t.Errorf("signing out twice: %s\n%s", got.Status, got.body)
	}
}
