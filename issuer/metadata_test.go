package issuer

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestChecklist18 asks for every document and holds it against what is served.
func TestChecklist18MetadataIsWhatIsServed(t *testing.T) {
	r := newRig(t)
	get := func(path string) reply {
		return r.do(httptest.NewRequest(http.MethodGet, "https://tokens.test"+path, nil))
	}
	first := get("/.well-known/oauth-authorization-server/tenant")
	for _, path := range []string{"/.well-known/openid-configuration/tenant", "/tenant/.well-known/openid-configuration"} {
		if got := get(path); got.Status != 200 || string(got.Body) != string(first.Body) || got.Header.Get("ETag") != first.Header.Get("ETag") {
			t.Errorf("%s: %d %s", path, got.Status, got.Body)
		}
	}
	if got := get("/.well-known/oauth-authorization-server"); got.Status != 404 {
		t.Errorf("the metadata of another issuer: %d", got.Status)
	}
	if first.text("issuer") != testURL {
		t.Errorf("issuer %q", first.text("issuer"))
	}
	endpoints := 0
	for name, v := range first.JSON {
		if !strings.HasSuffix(name, "_endpoint") && name != "jwks_uri" {
			continue
		}
		endpoints++
		u, err := url.Parse(v.(string))
		if err != nil || !strings.HasPrefix(v.(string), testURL+"/") {
			t.Errorf("%s is %v", name, v)
		}
		if got := r.do(httptest.NewRequest(http.MethodOptions, u.String(), nil)); got.Status != 204 {
			t.Errorf("%s is not served: %d", name, got.Status)
		}
	}
	if endpoints < 5 {
		t.Errorf("%d endpoints in %s", endpoints, first.Body)
	}
	for _, absent := range []string{"password", "implicit", "plain", `"token"`} { // row 68
		if strings.Contains(string(first.Body), absent) {
			t.Errorf("the metadata names %s: %s", absent, first.Body)
		}
	}
}

func TestTheKeySetIsCachedAsLongAsItSays(t *testing.T) {
	r := newRig(t)
	get := func(match string) reply {
		req := httptest.NewRequest(http.MethodGet, testURL+"/jwks", nil)
		req.Header.Set("If-None-Match", match)
		return r.do(req)
	}
	got := get("")
	body, age := r.ring.Set(r.now())
	if got.Status != 200 || string(got.Body) != string(body) || age <= 0 {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	seconds, _ := json.Marshal(int(age / time.Second))
	if cc := got.Header.Get("Cache-Control"); cc != "public, max-age="+string(seconds)+", must-revalidate" {
		t.Errorf("Cache-Control %q, want max-age %s", cc, seconds)
	}
	tag := got.Header.Get("ETag")
	for _, match := range []string{tag, "W/" + tag, `"x", ` + tag, "*"} {
		if again := get(match); again.Status != 304 || len(again.Body) != 0 || again.Header.Get("ETag") != tag {
			t.Errorf("If-None-Match %s: %d", match, again.Status)
		}
	}
	if again := get(`"x"`); again.Status != 200 {
		t.Errorf("another tag: %d", again.Status)
	}
}

func TestNewNamesEveryWrongField(t *testing.T) {
	_, err := New(Config{URL: "https://u:p@tokens.test/?q", Lifetimes: Lifetimes{Access: 2 * time.Hour, MaxAccess: time.Hour, Backdate: time.Hour, SessionIdle: time.Hour}})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, name := range []string{"URL", "Engine", "Keys", "Clients", "Access", "Backdate", "SessionAbsolute"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named in: %v", name, err)
		}
	}
	if strings.Contains(err.Error(), "u:p") {
		t.Errorf("a password is named in: %v", err)
	}
	r := newRig(t)
	for _, bad := range []string{"", "tokens.test", "ftp://tokens.test", "https://", "https://tokens.test#f", "https://tokens.test?", "https://tokens.test/%zz"} {
		cfg := r.is.cfg
		cfg.URL = bad
		if _, err := New(cfg); err == nil {
			t.Errorf("%q is taken as an issuer's URL", bad)
		}
	}
}

func TestLifetimesAreBounded(t *testing.T) {
	r := newRig(t)
	tests := []struct {
		name string
		l    Lifetimes
		ok   bool
	}{
		{"the most", Lifetimes{Backdate: 5 * time.Minute, Grace: 10 * time.Minute, Code: 10 * time.Minute, SessionIdle: maxSession, SessionAbsolute: maxSession}, true},
		{"dated back further", Lifetimes{Backdate: 5*time.Minute + 1}, false},
		{"a longer grace", Lifetimes{Grace: 10*time.Minute + 1}, false},
		{"a longer code", Lifetimes{Code: 10*time.Minute + 1}, false},
		{"a negative grace", Lifetimes{Grace: -1}, false},
		{"an idle end without an absolute one", Lifetimes{SessionIdle: time.Hour}, false},
	}
	for _, tt := range tests {
		cfg := r.is.cfg
		cfg.Lifetimes = tt.l
		if _, err := New(cfg); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	cfg := r.is.cfg
	cfg.Lifetimes = Lifetimes{}
	is, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if want := (Lifetimes{Access: 5 * time.Minute, MaxAccess: time.Hour, Code: time.Minute}); is.cfg.Lifetimes != want {
		t.Errorf("left out: %+v, want %+v", is.cfg.Lifetimes, want)
	}
}

// TestChecklist66 walks every path with canaries and looks for them in the log
// and the events.
func TestChecklist66NoSecretReachesTheLog(t *testing.T) {
	r := newRig(t)
	r.is.cfg.Log = slog.New(slog.NewJSONHandler(r, &slog.HandlerOptions{Level: slog.LevelDebug}))
	code := r.code(t, "web", "openid")
	first := r.redeem("web", code)
	second := r.refresh("web", first.text("refresh_token"))
	assertion := r.assertion(t, nil)
	canaries := []string{testSecret, code, assertion, testVerifier, "canary"}
	for _, one := range []reply{first, second} {
		canaries = append(canaries, one.text("access_token"), one.text("refresh_token"), one.text("id_token"))
	}
	r.basic("/token", "service", testSecret, "grant_type", "client_credentials")
	r.assert(assertion)
	r.assert(assertion)
	for _, secret := range canaries { // in every place where it does not belong
		r.basic("/token", secret, secret, "grant_type", secret)
		r.post("/token", "grant_type", "client_credentials", "client_id", "service", "client_secret", secret+"x")
		for _, place := range []string{"scope", "resource", "audience", "code", "refresh_token", "redirect_uri", "code_verifier", "client_assertion", "x"} {
			for _, grant := range []string{"client_credentials", "authorization_code", "refresh_token"} {
				r.post("/token", "grant_type", grant, "client_id", "web", place, secret)
				r.basic("/token", "service", testSecret, "grant_type", grant, place, secret)
			}
		}
		r.basic("/introspect", "gate", testSecret, "token", secret)
		r.post("/revoke", "client_id", "rival", "token", secret)
		r.post("/revoke", "client_id", "web", "token", secret)
		r.assert(secret)
	}
	for n := 1; n < 4; n++ {
		text := r.session(t, "rival").text("refresh_token")
		r.engine.arm(n, errDisk, false)
		r.refresh("rival", text)
		r.engine.heal()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	said, err := json.Marshal(r.events)
	if err != nil || len(r.events["refused"]) < 100 {
		t.Fatalf("%d refusals, %v", len(r.events["refused"]), err)
	}
	for _, secret := range canaries {
		for _, part := range append(strings.Split(secret, "."), secret) {
			if len(part) > 5 && (strings.Contains(r.log.String(), part) || strings.Contains(string(said), part)) {
				t.Errorf("a log line holds %.12s…", part)
			}
		}
	}
}

// brokenBody is a body whose sender went away, or was too slow for the server.
type brokenBody struct{}

func (brokenBody) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestABodyThatBreaksOffIsRefused(t *testing.T) {
	r := newRig(t)
	req := httptest.NewRequest(http.MethodPost, testURL+"/token", brokenBody{})
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	wantError(t, r.do(req), 400, "invalid_request")
}

func FuzzTokenRequest(f *testing.F) {
	r := newRig(f)
	text, code := r.session(f, "web").text("refresh_token"), r.code(f, "web")
	for _, seed := range []string{
		"grant_type=client_credentials&client_id=service&client_secret=" + url.QueryEscape(testSecret),
		"grant_type=authorization_code&client_id=web&code=" + code + "&redirect_uri=" + url.QueryEscape(testCallback) + "&code_verifier=x",
		"grant_type=refresh_token&client_id=web&refresh_token=" + text + "&scope=orders.read&resource=x",
		"client_assertion_type=" + url.QueryEscape(assertionType) + "&client_assertion=" + r.assertion(f, nil),
		"a=1&a=2", "%zz", ";", "", "=&=", "scope=%00", strings.Repeat("a=&", 3000),
	} {
		f.Add(seed, "application/x-www-form-urlencoded", "")
		f.Add(seed, "application/x-www-form-urlencoded; charset=utf-8", "Basic c2VydmljZTp4")
	}
	f.Fuzz(func(t *testing.T, body, kind, authorization string) {
		req := formRequest("/token", body)
		req.Header.Set("Content-Type", kind)
		if authorization != "" {
			req.Header.Set("Authorization", authorization)
		}
		got := r.do(req)
		wantNoStore(t, got)
		switch {
		case got.Status == 200 && got.text("access_token") != "":
		case (got.Status == 400 || got.Status == 401) && got.text("error") != "":
		default:
			t.Errorf("%d %s", got.Status, got.Body)
		}
	})
}
