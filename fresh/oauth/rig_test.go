package oauth

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/issuer"
	"github.com/longcase/longcase/issuer/keys"
	"github.com/longcase/longcase/issuer/password"
	"github.com/longcase/longcase/store/memory"
	"github.com/longcase/longcase/token"
)

const (
	orders   = "https://orders.test"
	callback = "http://127.0.0.1:8080/callback"
	verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636 appendix B
	pkce     = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
)

// rig is our own issuer, strict about refresh tokens that come back.
type rig struct {
	*httptest.Server
	issued, repeated, reused, asked atomic.Int64

	mu    sync.Mutex
	now   func() time.Time
	after between // stands between the issuer and its client; nil: nobody
}

// between is what happens to an answer on its way.
type between func(w http.ResponseWriter, r *http.Request, answer *httptest.ResponseRecorder)

// roster are the clients.
type roster map[string]issuer.Client

func (r roster) Client(_ context.Context, id string) (issuer.Client, error) {
	if c, ok := r[id]; ok {
		return c, nil
	}
	return issuer.Client{}, issuer.ErrNoClient
}

func (roster) Origin(context.Context, string) (bool, error) { return false, nil }

// anyone signs in everyone.
type anyone struct{}

func (anyone) Check(_ context.Context, name, _ string) (string, bool, error) { return name, true, nil }
func (anyone) Has(context.Context, string) (bool, error)                     { return true, nil }

type oneKey struct{ key token.Key }

func (k oneKey) Keys(context.Context, string, token.Algorithm) ([]token.Key, error) {
	return []token.Key{k.key}, nil
}

func newRig(t *testing.T, grace time.Duration, keyed token.Key) *rig {
	t.Helper()
	r := &rig{now: time.Now}
	engine := memory.New(memory.Config{Now: r.clock})
	ring, err := keys.New(keys.Config{
		Registry: engine.Registry(), KEK: make([]byte, 32), Overlap: time.Hour, SessionAbsolute: 12 * time.Hour, Now: r.clock, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := ring.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	one := []string{orders}
	count := func(n *atomic.Int64) func(issuer.Event) {
		return func(e issuer.Event) {
			if e.Grant == issuer.GrantRefreshToken || e.Grant == "" {
				n.Add(1)
			}
		}
	}
	r.Server = httptest.NewUnstartedServer(nil)
	is, err := issuer.New(issuer.Config{
		URL: "http://" + r.Listener.Addr().String(), Engine: engine, Keys: ring, Users: anyone{}, Now: r.clock, Log: slog.New(slog.DiscardHandler),
		Clients: roster{
			"service": {ID: "service", Authenticate: issuer.AuthSecret, SecretHash: password.HashSecret("lc_cs_s").String(), Grants: []string{issuer.GrantClientCredentials}, Audiences: one},
			"keyed":   {ID: "keyed", Authenticate: issuer.AuthKey, Keys: oneKey{keyed}, Grants: []string{issuer.GrantClientCredentials}, Audiences: one},
			"app": {ID: "app", Authenticate: issuer.AuthNone, Grants: []string{issuer.GrantAuthorizationCode, issuer.GrantRefreshToken}, Audiences: one,
				Scopes: []string{"orders.read"}, RedirectURIs: []string{callback}},
		},
		Lifetimes: issuer.Lifetimes{SessionIdle: time.Hour, SessionAbsolute: 12 * time.Hour, Grace: grace},
		Hooks:     issuer.Hooks{Issued: count(&r.issued), Repeated: count(&r.repeated), Reused: count(&r.reused)},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Config.Handler = r.through(is.Handler())
	r.Start()
	t.Cleanup(r.Close)
	return r
}

// through lets a test lose answers.
func (r *rig) through(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		after := r.after
		r.mu.Unlock()
		if req.URL.Path != "/token" || after == nil {
			next.ServeHTTP(w, req)
			return
		}
		r.asked.Add(1)
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, req)
		after(w, req, answer)
	})
}

func (r *rig) set(change func()) { r.mu.Lock(); defer r.mu.Unlock(); change() }

func (r *rig) clock() time.Time { r.mu.Lock(); defer r.mu.Unlock(); return r.now() }

// pass hands the answer on; lose breaks the connection instead.
func pass(w http.ResponseWriter, _ *http.Request, answer *httptest.ResponseRecorder) {
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

func lose(http.ResponseWriter, *http.Request, *httptest.ResponseRecorder) {
	panic(http.ErrAbortHandler)
}

var hidden = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)

// signIn is a person who signs in with a browser; it returns a refresh token.
func (r *rig) signIn(t *testing.T) string {
	t.Helper()
	jar, _ := cookiejar.New(nil)
	browser := &http.Client{Jar: jar, Transport: r.Client().Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	q := url.Values{
		"client_id": {"app"}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {"orders.read offline_access"}, "state": {"s"},
		"code_challenge": {pkce}, "code_challenge_method": {"S256"},
	}
	_, body := read(t)(browser.Get(r.URL + "/authorize?" + q.Encode()))
	form := url.Values{"username": {"alice"}, "password": {"x"}}
	for _, m := range hidden.FindAllStringSubmatch(string(body), -1) {
		form.Add(html.UnescapeString(m[1]), html.UnescapeString(m[2]))
	}
	resp, body := read(t)(browser.PostForm(r.URL+"/authorize", form))
	to, err := resp.Location()
	if err != nil {
		t.Fatalf("%s\n%s", resp.Status, body)
	}
	_, body = read(t)(browser.PostForm(r.URL+"/token", url.Values{
		"grant_type": {"authorization_code"}, "client_id": {"app"}, "code": {to.Query().Get("code")}, "redirect_uri": {callback}, "code_verifier": {verifier},
	}))
	var answer struct {
		Refresh string `json:"refresh_token"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || !strings.HasPrefix(answer.Refresh, "lc_rt_") {
		t.Fatalf("no refresh token: %s", body)
	}
	return answer.Refresh
}

func read(t *testing.T) func(*http.Response, error) (*http.Response, []byte) {
	return func(resp *http.Response, err error) (*http.Response, []byte) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		var b bytes.Buffer
		if _, err := io.Copy(&b, resp.Body); err != nil {
			t.Fatal(err)
		}
		return resp, b.Bytes()
	}
}

// app is the client "app", and the file its refresh token is in.
func (r *rig) app(t *testing.T, seed string) (Config, State) {
	return Config{Issuer: r.URL, Client: "app", HTTP: r.Client(), Now: r.clock}, State{File: filepath.Join(t.TempDir(), "app.state"), Seed: text(seed)}
}

func TestARealIssuerGivesAClientItsToken(t *testing.T) {
	k, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	signer, err := token.NewSigner("", token.ES256, k)
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, time.Minute, signer.Key())
	base := Config{Issuer: r.URL, Audience: orders, HTTP: r.Client()}
	secret, keyed, wrong := base, base, base
	secret.Client, secret.Secret = "service", text("lc_cs_s")
	keyed.Client, keyed.Key = "keyed", key(k)
	wrong.Client, wrong.Secret = "service", text("lc_cs_no")
	for name, cfg := range map[string]Config{"by secret": secret, "by key": keyed} {
		lease, err := fresh.New(ClientCredentials(cfg), fresh.Policy{}).Get(t.Context())
		if left := time.Until(lease.Expires); err != nil || left > 5*time.Minute || left < 4*time.Minute || !strings.HasPrefix(lease.Value.Value, "ey") {
			t.Errorf("%s: %+v, %v", name, lease, err)
		}
	}
	if _, err := fresh.New(ClientCredentials(wrong), fresh.Policy{}).Get(t.Context()); !isReason(err, fresh.Refused) {
		t.Errorf("with a wrong secret: %v", err)
	}
}
