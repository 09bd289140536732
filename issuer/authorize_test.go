package issuer_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestWithoutAKnownRedirectURIARefusalIsAPage(t *testing.T) {
	p := newPortal(t, nil)
	good := request().Encode()
	tests := map[string]string{
		"no parameters":              "",
		"no client":                  request("client_id", "-").Encode(),
		"unknown client":             request("client_id", "nobody").Encode(),
		"client in capitals":         request("client_id", "WEB-APP").Encode(),
		"client twice":               good + "&client_id=web-app",
		"redirect URI twice":         good + "&redirect_uri=" + url.QueryEscape(callback),
		"state twice":                good + "&state=x",
		"state twice, once empty":    good + "&state=",
		"unknown parameter twice":    good + "&a=1&a=2",
		"bad escape":                 good + "&a=%zz",
		"semicolon":                  good + "&a=1;b=2",
		"redirect URI of another":    request("redirect_uri", "https://many.test/other").Encode(),
		"none of two redirect URIs":  request("client_id", "many", "redirect_uri", "-", "resource", orders).Encode(),
		"overlong state":             request("state", strings.Repeat("s", 4097)).Encode(),
		"overlong unknown parameter": request("unknown", strings.Repeat("s", 4097)).Encode(),
		"overlong request":           good + strings.Repeat("&a"+strings.Repeat("b", 1000)+"=1", 17),
	}
	for name, query := range tests {
		t.Run(name, func(t *testing.T) {
			b := p.browser(t)
			r, err := http.NewRequest(http.MethodGet, p.URL+"/authorize?"+query, nil)
			if err != nil {
				t.Fatal(err)
			}
			got := b.do(r)
			if got.StatusCode != http.StatusBadRequest || got.Header.Get("Location") != "" || len(got.Cookies()) > 0 {
				t.Errorf("%s, Location %q, cookies %v; want a page with 400", got.Status, got.Header.Get("Location"), got.Cookies())
			}
			checkPage(t, got)
		})
	}
}

func TestARefusedRequestGoesBackToTheClient(t *testing.T) {
	p := newPortal(t, nil)
	tests := []struct {
		name  string
		pairs []string
		want  string
	}{
		{"no response_type", []string{"response_type", "-"}, "invalid_request"},
		{"empty response_type", []string{"response_type", ""}, "invalid_request"},
		{"implicit", []string{"response_type", "token"}, "unsupported_response_type"},
		{"hybrid", []string{"response_type", "code id_token"}, "unsupported_response_type"},
		{"fragment", []string{"response_mode", "fragment"}, "invalid_request"},
		{"request object", []string{"request", "eyJhbGciOiJub25lIn0.e30."}, "request_not_supported"},
		{"request_uri", []string{"request_uri", "https://attacker.test/r"}, "request_uri_not_supported"},
		{"no PKCE", []string{"code_challenge", "-", "code_challenge_method", "-"}, "invalid_request"},
		{"PKCE method left out", []string{"code_challenge_method", "-"}, "invalid_request"},
		{"plain PKCE", []string{"code_challenge_method", "plain"}, "invalid_request"},
		{"method in small letters", []string{"code_challenge_method", "s256"}, "invalid_request"},
		{"short challenge", []string{"code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw"}, "invalid_request"},
		{"padded challenge", []string{"code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM="}, "invalid_request"},
		{"challenge with loose bits", []string{"code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cN"}, "invalid_request"},
		{"challenge with a line feed", []string{"code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM\n"}, "invalid_request"},
		{"unknown scope", []string{"scope", "openid admin"}, "invalid_scope"},
		{"scope in capitals", []string{"scope", "OPENID"}, "invalid_scope"},
		{"unknown audience", []string{"resource", "https://bills.test"}, "invalid_target"},
		{"wildcard audience", []string{"audience", "*"}, "invalid_target"},
		{"two audiences", []string{"audience", orders, "resource", orders}, "invalid_target"},
		{"unknown prompt", []string{"prompt", "maybe"}, "invalid_request"},
		{"prompt none and login", []string{"prompt", "none login"}, "invalid_request"},
		{"prompt none, nobody signed in", []string{"prompt", "none"}, "login_required"},
		{"negative max_age", []string{"max_age", "-1"}, "invalid_request"},
		{"max_age with a fraction", []string{"max_age", "1.5"}, "invalid_request"},
		{"max_age beyond all time", []string{"max_age", "99999999999999999999"}, "invalid_request"},
		{"overlong nonce", []string{"nonce", strings.Repeat("n", 513)}, "invalid_request"},
		{"overlong login_hint", []string{"login_hint", strings.Repeat("n", 256)}, "invalid_request"},
		{"client without the grant", []string{"client_id", "machine"}, "unauthorized_client"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := p.browser(t).get("/authorize", request(tt.pairs...)).answer(t, callback)
			if got.Get("error") != tt.want || got.Get("code") != "" {
				t.Errorf("answer %v, want error %s", got, tt.want)
			}
			if got.Get("state") != "s+1&2" || got.Get("iss") != p.URL || got.Get("error_description") == "" {
				t.Errorf("answer %v: wants state, iss and a description", got)
			}
		})
	}
}

// mutations are what https://many.test/other and the loopback callback must not
// be taken for.
var mutations = []string{
	"", " https://many.test/other", "https://many.test/other ", "https://many.test/other/", "https://many.test/othe", "https://many.test/other2",
	"https://many.test/Other", "https://MANY.test/other", "HTTPS://many.test/other", "http://many.test/other", "https://many.test:443/other",
	"https://many.test:8443/other", "https://many.test./other", "https://many.test//other", "https://many.test/./other", "https://many.test/x/../other",
	"https://many.test/%6fther", "https://many.test/other?", "https://many.test/other?a=1", "https://many.test/other#", "https://many.test/other#f",
	"https://many.test/other%00", "https://many.test/other\x00", "https://many.test/other\n", "https://many.test\\other", "https://user@many.test/other",
	"https://many.test@evil.test/other", "https://evil.test/other", "https://evil.test/?https://many.test/other", "https://many.test.evil.test/other",
	"https://sub.many.test/other", "//many.test/other", "/other", "many.test/other", "javascript:alert(1)", "data:text/html,x", "https://many.test/cb",
	"https://many.test/cb?tenant=2", "https://many.test/cb?tenant=1&a=b", "https://many.test/cb?Tenant=1", "https:many.test/other", "https://mаny.test/other",
}

var loopbackMutations = []string{
	"http://127.0.0.1:8080/callback/", "http://127.0.0.1:8080/Callback", "https://127.0.0.1:8080/callback", "http://localhost:8080/callback",
	"http://127.0.0.2:8080/callback", "http://127.0.0.1:0/callback", "http://127.0.0.1:65536/callback", "http://127.0.0.1:080/callback",
	"http://127.0.0.1:/callback", "http://127.0.0.1:80a/callback", "http://127.0.0.1:-1/callback", "http://127.0.0.1:8080@evil.test/callback",
	"http://127.0.0.1@evil.test:8080/callback", "http://127.0.0.1.evil.test:8080/callback", "http://127.1:8080/callback", "http://[::1]:8080/callback",
	"http://127.0.0.1:8080:9090/callback", "http://evil.test:8080/callback", "http://127.0.0.1:8080/callback?x=1", "http://127.0.0.1:8080/callback#x",
	"http://0:8080/callback", "http://[::ffff:127.0.0.1]:8080/callback", "http://2130706433:8080/callback", "http://127.0.0.1:99999999999999999999/callback",
}

func TestMutatedRedirectURIsAreRefused(t *testing.T) {
	p := newPortal(t, nil)
	refused := func(client, uri string) {
		t.Helper()
		got := p.browser(t).get("/authorize", request("client_id", client, "redirect_uri", uri, "resource", orders))
		if got.StatusCode != http.StatusBadRequest || got.Header.Get("Location") != "" {
			t.Errorf("%q: %s, Location %q", uri, got.Status, got.Header.Get("Location"))
		}
	}
	for _, uri := range mutations {
		refused("many", uri)
	}
	for _, uri := range loopbackMutations {
		refused("web-app", uri)
	}
}

func TestTheRedirectURIMayBe(t *testing.T) {
	p := newPortal(t, nil)
	tests := []struct{ name, client, uri, wantPrefix string }{
		{"as registered", "web-app", callback, callback + "?"},
		{"another port of the loopback host", "web-app", "http://127.0.0.1:51234/callback", "http://127.0.0.1:51234/callback?"},
		{"no port of the loopback host", "web-app", "http://127.0.0.1/callback", "http://127.0.0.1/callback?"},
		{"left out, if there is one", "web-app", "-", callback + "?"},
		{"one with a query, which stays", "many", "https://many.test/cb?tenant=1", "https://many.test/cb?tenant=1&"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := p.browser(t).get("/authorize", request("client_id", tt.client, "redirect_uri", tt.uri, "resource", orders, "prompt", "none"))
			if to := got.Header.Get("Location"); got.StatusCode != http.StatusSeeOther || !strings.HasPrefix(to, tt.wantPrefix) {
				t.Errorf("%s, Location %q, want %s", got.Status, to, tt.wantPrefix)
			}
		})
	}
}

func TestAnAuthorizationRequestMayBePosted(t *testing.T) {
	p := newPortal(t, nil)
	got := p.browser(t).post("/authorize", request("login_hint", "alice"), "Origin", "https://client.test", "Sec-Fetch-Site", "cross-site")
	if got.StatusCode != http.StatusOK || !strings.Contains(got.body, `name="username" value="alice"`) {
		t.Errorf("%s\n%s", got.Status, got.body)
	}
	r, err := http.NewRequest(http.MethodPost, p.URL+"/authorize?"+request().Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.browser(t).do(r); got.StatusCode != http.StatusBadRequest {
		t.Errorf("posted with the parameters in the URL: %s, want 400", got.Status)
	}
	for _, method := range []string{http.MethodPut, http.MethodDelete, http.MethodPatch} {
		r, err := http.NewRequest(method, p.URL+"/authorize?"+request().Encode(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.browser(t).do(r); got.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s: %s, want 405", method, got.Status)
		}
	}
}

// checkPage holds every page to the headers of one.
func checkPage(t *testing.T, p page) {
	t.Helper()
	for name, want := range map[string]string{
		"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
		"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
	} {
		if got := p.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	csp := p.Header.Get("Content-Security-Policy")
	if !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") {
		t.Errorf("Content-Security-Policy: %q", csp)
	}
}
