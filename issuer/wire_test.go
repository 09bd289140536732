package issuer

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/longcase/longcase/token"
)

func TestATokenOfTheClientItself(t *testing.T) {
	r := newRig(t)
	for name, got := range map[string]reply{
		"client_secret_basic": r.basic("/token", "service", testSecret, "grant_type", "client_credentials"),
		"client_secret_post":  r.post("/token", "grant_type", "client_credentials", "client_id", "service", "client_secret", testSecret),
		"basic and client_id": r.basic("/token", "service", testSecret, "grant_type", "client_credentials", "client_id", "service"),
		"private_key_jwt": r.post("/token", "grant_type", "client_credentials", "client_assertion_type", assertionType,
			"client_assertion", r.assertion(t, nil)),
	} {
		t.Run(name, func(t *testing.T) {
			wantNoStore(t, got)
			if got.Status != 200 || got.text("token_type") != "Bearer" || got.JSON["expires_in"] != 300.0 {
				t.Fatalf("%d %s", got.Status, got.Body)
			}
			if _, there := got.JSON["refresh_token"]; there { // TestChecklist07
				t.Error("client_credentials gave a refresh token")
			}
			jws, c := r.claims(t, got.text("access_token"))
			if jws.Type() != "at+jwt" || c.Issuer != testURL || c.Subject != c.ClientID || c.Audience[0] != testAudience || c.Session != "" {
				t.Errorf("typ %q, claims %s", jws.Type(), c.Raw)
			}
			if c.IssuedAt != r.now().Local() && !c.IssuedAt.Equal(r.now()) || c.Expires.Sub(c.IssuedAt) != 5*time.Minute || c.IssuedAt.Sub(c.NotBefore) != 10*time.Second {
				t.Errorf("times of %s", c.Raw)
			}
			if len(c.ID) != 22 {
				t.Errorf("jti %q does not have 128 bits", c.ID)
			}
		})
	}
}

// TestChecklist37 drops nothing: every claim of RFC 9068 section 2.2 is there,
// and aud is one string.
func TestChecklist37AccessTokensHaveEveryClaim(t *testing.T) {
	r := newRig(t)
	_, c := r.claims(t, r.session(t, "web").text("access_token"))
	var all map[string]any
	if err := json.Unmarshal(c.Raw, &all); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"iss", "sub", "client_id", "jti", "scope", "sid", "aud"} {
		if s, ok := all[name].(string); !ok || s == "" {
			t.Errorf("%s is %v, want a string", name, all[name])
		}
	}
	for _, name := range []string{"iat", "nbf", "exp", "auth_time"} {
		if n, ok := all[name].(float64); !ok || n != float64(int64(n)) {
			t.Errorf("%s is %v, want whole seconds", name, all[name])
		}
	}
}

func TestRefusedTokenRequests(t *testing.T) {
	r := newRig(t)
	const good = "grant_type=client_credentials"
	service := "&client_id=service&client_secret=" + url.QueryEscape(testSecret)
	many := "&client_id=many&client_secret=" + url.QueryEscape(testSecret)
	tests := []struct {
		name, body string
		edit       func(*http.Request)
		status     int
		code       string
	}{
		{"no credentials", good, nil, 401, "invalid_client"},
		{"empty body", "", nil, 401, "invalid_client"},
		{"unknown client", good + "&client_id=nobody&client_secret=x", nil, 401, "invalid_client"},
		{"wrong secret", good + "&client_id=service&client_secret=x", nil, 401, "invalid_client"},
		{"no secret", good + "&client_id=service", nil, 401, "invalid_client"},
		{"empty secret", good + "&client_id=service&client_secret=", nil, 401, "invalid_client"},
		{"the hash as secret", good + "&client_id=service&client_secret=" + url.QueryEscape(r.clients["service"].SecretHash), nil, 401, "invalid_client"},
		{"a hash nobody matches", good + "&client_id=badhash&client_secret=short", nil, 401, "invalid_client"},
		{"secret of a key client", good + "&client_id=keyed&client_secret=x", nil, 401, "invalid_client"},
		{"secret of a public client", good + "&client_id=web&client_secret=x", nil, 401, "invalid_client"},
		{"overlong client", good + "&client_secret=x&client_id=" + strings.Repeat("s", 300), nil, 401, "invalid_client"},
		{"secret and assertion", good + service + "&client_assertion=x&client_assertion_type=" + url.QueryEscape(assertionType), nil, 400, "invalid_request"},
		{"secret and assertion type", good + service + "&client_assertion_type=x", nil, 400, "invalid_request"},
		{"basic and post", good + service, basicAs("service", testSecret), 400, "invalid_request"},
		{"basic and assertion", good + "&client_assertion=x&client_assertion_type=" + url.QueryEscape(assertionType), basicAs("service", testSecret), 400, "invalid_request"},
		{"basic and another client_id", good + "&client_id=many", basicAs("service", testSecret), 400, "invalid_request"},
		{"two Authorization headers", good, func(q *http.Request) {
			q.Header["Authorization"] = []string{"Basic eDp5", "Basic eDp5"}
		}, 400, "invalid_request"},
		{"assertion of another type", good + "&client_assertion=x&client_assertion_type=saml", nil, 401, "invalid_client"},
		{"assertion without type", good + "&client_assertion=x", nil, 401, "invalid_client"},
		{"type without assertion", good + "&client_id=keyed&client_assertion_type=" + url.QueryEscape(assertionType), nil, 401, "invalid_client"},
		{"grant left out", service[1:], nil, 400, "invalid_request"},
		{"grant empty", "grant_type=" + service, nil, 400, "invalid_request"},
		{"unknown grant", "grant_type=magic" + service, nil, 400, "unsupported_grant_type"},
		{"grant of a later day", "grant_type=urn:ietf:params:oauth:grant-type:token-exchange" + service, nil, 400, "unauthorized_client"},
		{"password", "grant_type=password&username=alice&password=x" + service, nil, 400, "unauthorized_client"},
		{"another client's grant before anything else", "grant_type=refresh_token&scope=a&scope=a" + service, nil, 400, "unauthorized_client"},
		{"grant in capitals", "grant_type=CLIENT_CREDENTIALS" + service, nil, 400, "unsupported_grant_type"},
		{"grant the client does not name, before its other faults", "grant_type=refresh_token&scope=x&resource=a&resource=b" + service, nil, 400, "unauthorized_client"},
		{"code of a client without", "grant_type=authorization_code" + service, nil, 400, "unauthorized_client"},
		{"unknown scope", good + "&scope=admin" + service, nil, 400, "invalid_scope"},
		{"one scope of two unknown", good + "&scope=orders.read+admin" + service, nil, 400, "invalid_scope"},
		{"two spaces", good + "&scope=orders.read++orders.write" + service, nil, 400, "invalid_scope"},
		{"openid without a user", good + "&scope=openid" + service, nil, 400, "invalid_scope"},
		{"wildcard audience", good + "&audience=*" + service, nil, 400, "invalid_target"},
		{"wildcard host", good + "&resource=https://*.test" + service, nil, 400, "invalid_target"},
		{"unknown audience", good + "&resource=https://bills.test" + service, nil, 400, "invalid_target"},
		{"audience with a slash more", good + "&resource=" + testAudience + "/" + service, nil, 400, "invalid_target"},
		{"two resources", good + "&resource=" + testAudience + "&resource=https://bills.test" + many, nil, 400, "invalid_target"},
		{"resource and audience", good + "&resource=" + testAudience + "&audience=" + testAudience + many, nil, 400, "invalid_target"},
		{"no audience where there are two", good + many, nil, 400, "invalid_target"},
		{"parameter twice", good + "&scope=orders.read&scope=orders.read" + service, nil, 400, "invalid_request"},
		{"parameter twice, once empty", good + "&scope=&scope=orders.read" + service, nil, 400, "invalid_request"},
		{"unknown parameter twice", good + "&x=1&x=2" + service, nil, 400, "invalid_request"},
		{"client_id twice", good + "&client_id=service" + service, nil, 400, "invalid_request"},
		{"bad escape", good + "&x=%zz" + service, nil, 400, "invalid_request"},
		{"semicolon", good + "&x=1;y=2" + service, nil, 400, "invalid_request"},
		{"parameters in the URL", good + service, func(q *http.Request) { q.URL.RawQuery = "scope=orders.read" }, 400, "invalid_request"},
		{"JSON", `{"grant_type":"client_credentials"}`, contentType("application/json"), 400, "invalid_request"},
		{"multipart", good + service, contentType("multipart/form-data; boundary=x"), 400, "invalid_request"},
		{"no content type", good + service, func(q *http.Request) { q.Header.Del("Content-Type") }, 400, "invalid_request"},
		{"two content types", good + service, func(q *http.Request) {
			q.Header["Content-Type"] = []string{"application/x-www-form-urlencoded", "application/json"}
		}, 400, "invalid_request"},
		{"huge body", good + service + "&x=" + strings.Repeat("x", maxBody), nil, 400, "invalid_request"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := formRequest("/token", tt.body)
			if tt.edit != nil {
				tt.edit(req)
			}
			before := r.count("refused")
			wantError(t, r.do(req), tt.status, tt.code)
			if got := r.count("refused") - before; got != 1 {
				t.Errorf("the hook was called %d times", got)
			}
		})
	}
	if r.count("issued") != 0 {
		t.Error("a refused request issued a token")
	}
}

func basicAs(id, secret string) func(*http.Request) {
	return func(q *http.Request) { q.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret)) }
}

func contentType(s string) func(*http.Request) {
	return func(q *http.Request) { q.Header.Set("Content-Type", s) }
}

func TestHTTPBasicIsAnsweredInKind(t *testing.T) {
	r := newRig(t)
	for name, header := range map[string]string{
		"wrong secret":   "Basic c2VydmljZTp4",
		"unknown client": "Basic bm9ib2R5Ong=",
		"not base64":     "Basic ???",
		"no colon":       "Basic c2VydmljZQ==",
		"bad escape":     "Basic JXp6Ong=",
		"another scheme": "Bearer c2VydmljZTp4",
		"no scheme":      "c2VydmljZTp4",
		"public client":  "Basic d2ViOg==",
	} {
		t.Run(name, func(t *testing.T) {
			req := formRequest("/token", "grant_type=client_credentials")
			req.Header.Set("Authorization", header)
			got := r.do(req)
			wantError(t, got, 401, "invalid_client")
			if !strings.HasPrefix(got.Header.Get("WWW-Authenticate"), "Basic ") {
				t.Errorf("WWW-Authenticate %q", got.Header.Get("WWW-Authenticate"))
			}
		})
	}
	if got := r.post("/token", "client_id", "service", "client_secret", "x"); got.Header.Get("WWW-Authenticate") != "" {
		t.Error("a form is answered with HTTP Basic")
	}
}

// TestAMethodIsTheClientsOwn gives clients what other methods need.
func TestAMethodIsTheClientsOwn(t *testing.T) {
	r := newRig(t)
	hash := r.clients["service"].SecretHash
	for _, id := range []string{"keyed", "web"} {
		r.change(id, func(c *Client) { c.SecretHash, c.Grants = hash, []string{GrantClientCredentials} })
		wantError(t, r.post("/token", "grant_type", "client_credentials", "client_id", id, "client_secret", testSecret), 401, "invalid_client")
	}
	r.change("keyed", func(c *Client) { c.Authenticate = AuthSecret })
	wantError(t, r.assert(r.assertion(t, nil)), 401, "invalid_client")
	wantError(t, r.post("/token", "grant_type", "client_credentials", "client_id", "web"), 400, "unauthorized_client") // proves nothing
}

func TestAnUnknownClientAndAWrongSecretLookTheSame(t *testing.T) {
	r := newRig(t)
	a := r.post("/token", "grant_type", "client_credentials", "client_id", "nobody", "client_secret", "x")
	b := r.post("/token", "grant_type", "client_credentials", "client_id", "service", "client_secret", "x")
	if string(a.Body) != string(b.Body) || a.Status != b.Status {
		t.Errorf("%s\n%s", a.Body, b.Body)
	}
}

// assertion signs the claims of a good assertion, edited.
func (r *rig) assertion(t testing.TB, edit func(map[string]any)) string {
	t.Helper()
	claims := map[string]any{
		"iss": "keyed", "sub": "keyed", "aud": testURL, "jti": newJTI(), "iat": r.now().Unix(), "exp": r.now().Add(time.Minute).Unix(),
	}
	if edit != nil {
		edit(claims)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := r.signer.Sign("JWT", payload)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestChecklist43 moves each claim of an assertion (RFC 7523 section 3).
func TestChecklist43Assertions(t *testing.T) {
	r := newRig(t)
	in := func(d time.Duration) int64 { return r.now().Add(d).Unix() }
	set := func(name string, v any) func(map[string]any) {
		return func(c map[string]any) {
			c[name] = v
			if v == nil {
				delete(c, name)
			}
		}
	}
	tests := []struct {
		name string
		edit func(map[string]any)
		ok   bool
	}{
		{"aud is the issuer", nil, true},
		{"aud is the token endpoint", set("aud", testURL+"/token"), true},
		{"aud is an array of one", set("aud", []string{testURL}), true},
		{"aud is both of ours", set("aud", []string{testURL, testURL + "/token"}), true},
		{"exp just passed, inside leeway", set("exp", in(-29*time.Second)), true},
		{"exp an hour ahead", set("exp", in(time.Hour)), true},
		{"iat ahead inside leeway", set("iat", in(30*time.Second)), true},
		{"nbf ahead inside leeway", set("nbf", in(30*time.Second)), true},
		{"no iat", set("iat", nil), true},
		{"no exp", set("exp", nil), false},
		{"exp passed", set("exp", in(-31*time.Second)), false},
		{"exp two hours ahead", set("exp", in(2*time.Hour)), false},
		{"exp ten years ahead", set("exp", in(87600*time.Hour)), false},
		{"iat ahead", set("iat", in(32*time.Second)), false},
		{"nbf ahead", set("nbf", in(32*time.Second)), false},
		{"no aud", set("aud", nil), false},
		{"aud is another", set("aud", "https://other.test"), false},
		{"aud is ours and another", set("aud", []string{testURL, "https://other.test"}), false},
		{"aud has a slash more", set("aud", testURL+"/"), false},
		{"aud is the introspection endpoint", set("aud", testURL+"/introspect"), false},
		{"no jti", set("jti", nil), false},
		{"overlong jti", set("jti", strings.Repeat("j", maxJTI+1)), false},
		{"sub is another client", set("sub", "service"), false},
		{"no sub", set("sub", nil), false},
		{"iss is a client with a secret", func(c map[string]any) { c["iss"], c["sub"] = "service", "service" }, false},
		{"iss is nobody", func(c map[string]any) { c["iss"], c["sub"] = "nobody", "nobody" }, false},
		{"no iss", set("iss", nil), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := r.assert(r.assertion(t, tt.edit))
			if tt.ok && got.Status != 200 {
				t.Errorf("%d %s", got.Status, got.Body)
			}
			if !tt.ok {
				wantError(t, got, 401, "invalid_client")
			}
		})
	}
}

func (r *rig) assert(assertion string, pairs ...string) reply {
	return r.post("/token", append([]string{"grant_type", "client_credentials", "client_assertion_type", assertionType, "client_assertion", assertion}, pairs...)...)
}

// TestChecklist44 replays an assertion: here, on another node of the same store,
// and spelled otherwise.
func TestChecklist44AnAssertionWorksOnce(t *testing.T) {
	r := newRig(t)
	a := r.assertion(t, nil)
	if got := r.assert(a, "client_id", "service"); got.Status != 401 {
		t.Errorf("with another client_id: %d", got.Status)
	}
	if got := r.assert(a, "client_id", "keyed"); got.Status != 200 {
		t.Fatalf("first use: %d %s", got.Status, got.Body)
	}
	wantError(t, r.assert(a), 401, "invalid_client")
	other, err := New(r.is.cfg)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	other.Handler().ServeHTTP(w, formRequest("/token", pairsOf([]string{
		"grant_type", "client_credentials", "client_assertion_type", assertionType, "client_assertion", a}).Encode()))
	if w.Code != 401 {
		t.Errorf("another node took it again: %d", w.Code)
	}
	for name, again := range map[string]string{"line feed": a + "\n", "padding": a + "=", "first part again": a + "." + a[:5], "cut": a[:len(a)-1], "empty": "."} {
		if got := r.assert(again); got.Status != 401 {
			t.Errorf("%s: %d", name, got.Status)
		}
	}
}

func TestAnAssertionIsSignedByTheClientsKeyAndIsNoOtherToken(t *testing.T) {
	r := newRig(t)
	sign := func(signer token.Signer, typ string) string {
		raw, err := signer.Sign(typ, []byte(`{"iss":"keyed","sub":"keyed","aud":"`+testURL+`","jti":"`+newJTI()+`","exp":`+jsonTime(r.now().Add(time.Minute))+`}`))
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	ours, err := r.ring.Signer(r.now())
	if err != nil {
		t.Fatal(err)
	}
	secret, err := token.NewSecretSigner("k1", []byte(strings.Repeat("s", 32)))
	if err != nil {
		t.Fatal(err)
	}
	confused := r.clients["keyed"]
	confused.ID, confused.Keys = "confused", oneKey{secret.Key()}
	r.clients["confused"] = confused
	raw, err := secret.Sign("JWT", []byte(`{"iss":"confused","sub":"confused","aud":"`+testURL+`","jti":"j","exp":`+jsonTime(r.now().Add(time.Minute))+`}`))
	if err != nil {
		t.Fatal(err)
	}
	wantErrorNamed(t, "HS256 with a key of the client's", r.assert(raw), "invalid_client")
	for name, raw := range map[string]string{
		"another key": sign(ours, "JWT"), "HS256": sign(secret, "JWT"), "typ at+jwt": sign(r.signer, "at+jwt"), "typ dpop+jwt": sign(r.signer, "dpop+jwt"),
	} {
		wantErrorNamed(t, name, r.assert(raw), "invalid_client")
	}
	for _, typ := range []string{"", "jwt", "client-authentication+jwt"} {
		if got := r.assert(sign(r.signer, typ)); got.Status != 200 {
			t.Errorf("typ %q: %d %s", typ, got.Status, got.Body)
		}
	}
}

func wantErrorNamed(t *testing.T, name string, got reply, code string) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		t.Helper()
		wantError(t, got, status(code), code)
	})
}

func jsonTime(t time.Time) string {
	b, _ := json.Marshal(t.Unix())
	return string(b)
}

func TestPathsAndMethods(t *testing.T) {
	r := newRig(t)
	tests := []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/token", 405, "POST, OPTIONS"},
		{"PUT", "/token", 405, "POST, OPTIONS"},
		{"HEAD", "/introspect", 405, "POST, OPTIONS"},
		{"POST", "/jwks", 405, "GET, HEAD, OPTIONS"},
		{"DELETE", "/revocations", 405, "GET, POST, HEAD, OPTIONS"},
		{"HEAD", "/jwks", 200, ""},
		{"GET", "/token/", 404, ""},
		{"GET", "/", 404, ""},
		{"POST", "/TOKEN", 404, ""},
		{"POST", "/%74oken", 404, ""},
		{"POST", "/../token", 404, ""},
		{"GET", "/status/1", 404, ""},
	}
	for _, tt := range tests {
		req := httptest.NewRequest(tt.method, testURL+"/x", nil)
		u, err := url.Parse(testURL + tt.path)
		if err != nil {
			t.Fatal(err)
		}
		req.URL.Path, req.URL.RawPath = u.Path, u.RawPath
		got := r.do(req)
		if got.Status != tt.status || got.Header.Get("Allow") != tt.allow {
			t.Errorf("%s %s: %d, Allow %q; want %d, %q", tt.method, tt.path, got.Status, got.Header.Get("Allow"), tt.status, tt.allow)
		}
	}
}

// TestChecklist23 draws many token ids: 128 bits each, none twice.
func TestChecklist23TokenIDsDoNotCollide(t *testing.T) {
	seen := map[string]bool{}
	for range long(1_000_000) {
		id := newJTI()
		if len(id) != 22 || seen[id] {
			t.Fatalf("%q came twice or is short", id)
		}
		seen[id] = true
	}
}

// slowBody is a body that arrives whole only when it was read.
type slowBody struct {
	io.Reader
	arrived *atomic.Bool
}

func (s slowBody) Read(b []byte) (int, error) {
	n, err := s.Reader.Read(b)
	if err == io.EOF {
		s.arrived.Store(true)
	}
	return n, err
}

// TestNowIsWhenTheRequestIsThere: who sends a body slowly moves no instant.
func TestNowIsWhenTheRequestIsThere(t *testing.T) {
	for _, path := range []string{"/token", "/introspect", "/revoke", "/revocations", "/authorize", "/end_session"} {
		r := newRig(t)
		var arrived atomic.Bool
		r.is.cfg.Now = func() time.Time {
			if !arrived.Load() {
				t.Errorf("%s: the clock was read before the request was", path)
			}
			return r.now()
		}
		body := slowBody{strings.NewReader("grant_type=client_credentials&client_id=service&client_secret=wrong&token=x"), &arrived}
		req := httptest.NewRequest(http.MethodPost, testURL+path, body)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.do(req)
		if !arrived.Load() {
			t.Errorf("%s: the body was not read", path)
		}
	}
}
