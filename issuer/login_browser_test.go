package issuer_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/longcase/longcase/issuer"
	"github.com/longcase/longcase/issuer/keys"
	"github.com/longcase/longcase/issuer/password"
	"github.com/longcase/longcase/store/memory"
)

// The parties of these tests.
const (
	callback = "http://127.0.0.1:8080/callback"
	verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636 appendix B
	orders   = "https://orders.test"
	rightPW  = "correct horse"
)

// clock is a time that stands still until it is moved.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.at }

func (c *clock) advance(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.at = c.at.Add(d) }

// roster is a fixed list of clients.
type roster map[string]issuer.Client

func (r roster) Client(_ context.Context, id string) (issuer.Client, error) {
	if c, ok := r[id]; ok {
		return c, nil
	}
	return issuer.Client{}, issuer.ErrNoClient
}

func (r roster) Origin(_ context.Context, origin string) (bool, error) {
	for _, c := range r {
		if slices.Contains(c.Origins, origin) {
			return true, nil
		}
	}
	return false, nil
}

// portal is an issuer with a login page and what a test looks at.
type portal struct {
	*httptest.Server
	issuer *issuer.Issuer
	engine *memory.Engine
	clock  *clock
	log    *bytes.Buffer
	keys   *keys.Keyring
}

func users(t *testing.T, names ...string) issuer.Users {
	t.Helper()
	hash, err := password.Parse("$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$" + cheapKey)
	if err != nil {
		t.Fatal(err)
	}
	var list []password.User
	for _, name := range names {
		list = append(list, password.User{Name: name, Hash: hash})
	}
	known, err := password.NewUsers(list, 2)
	if err != nil {
		t.Fatal(err)
	}
	return known
}

// cheapKey is argon2id of rightPW with salt "somesalt", 8 KiB and one pass.
const cheapKey = "x59UGLuAwBDnzRfVUBQJ7zA6GJrOY5gZkOVPda70TuA"

func newPortal(t *testing.T, change func(*issuer.Config)) *portal {
	t.Helper()
	p := &portal{clock: &clock{at: time.Now().Truncate(time.Second)}, log: new(bytes.Buffer)}
	p.engine = memory.New(memory.Config{Now: p.clock.now})
	var err error
	if p.keys, err = keys.New(keys.Config{
		Registry: p.engine.Registry(), KEK: make([]byte, 32), Overlap: time.Hour, SessionAbsolute: 12 * time.Hour, Now: p.clock.now,
	}); err != nil {
		t.Fatal(err)
	}
	if err := p.keys.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.Server = httptest.NewUnstartedServer(nil)
	cfg := issuer.Config{
		URL: "http://" + p.Listener.Addr().String(), Engine: p.engine, Keys: p.keys, Clients: clients(), Users: users(t, "alice", "bob"),
		Lifetimes: issuer.Lifetimes{SessionIdle: time.Hour, SessionAbsolute: 12 * time.Hour},
		Now:       p.clock.now, Log: slog.New(slog.NewTextHandler(&locked{w: p.log}, nil)),
	}
	if change != nil {
		change(&cfg)
	}
	if p.issuer, err = issuer.New(cfg); err != nil {
		t.Fatal(err)
	}
	p.Config.Handler = p.issuer.Handler()
	p.Start()
	t.Cleanup(p.Close)
	return p
}

type locked struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *locked) Write(b []byte) (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.w.Write(b) }

func clients() roster {
	return roster{
		"web-app": {
			ID: "web-app", Authenticate: issuer.AuthNone, Grants: []string{issuer.GrantAuthorizationCode, issuer.GrantRefreshToken},
			RedirectURIs: []string{callback}, Origins: []string{"http://127.0.0.1:8080"}, Audiences: []string{orders}, Scopes: []string{"orders.read"},
		},
		"many": {
			ID: "many", Authenticate: issuer.AuthNone, Grants: []string{issuer.GrantAuthorizationCode},
			RedirectURIs: []string{"https://many.test/cb?tenant=1", "https://many.test/other"}, Origins: []string{"https://many.test"},
			Audiences: []string{orders, "https://bills.test"}, Scopes: []string{"orders.read"},
		},
		"machine": {
			ID: "machine", Authenticate: issuer.AuthNone, Grants: []string{issuer.GrantRefreshToken},
			RedirectURIs: []string{callback}, Audiences: []string{orders},
		},
	}
}

// request is a good authorization request of web-app, changed by pairs of name
// and value; the value "-" leaves a parameter out.
func request(pairs ...string) url.Values {
	sum := sha256.Sum256([]byte(verifier))
	q := url.Values{
		"client_id": {"web-app"}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {"openid orders.read"},
		"state": {"s+1&2"}, "nonce": {"n-1"}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	for pair := range slices.Chunk(pairs, 2) {
		q.Del(pair[0])
		if pair[1] != "-" {
			q.Set(pair[0], pair[1])
		}
	}
	return q
}

// browser keeps cookies and follows no redirect.
type browser struct {
	t      *testing.T
	portal *portal
	client *http.Client
}

func (p *portal) browser(t *testing.T) *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t, p, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// page is an answer, read whole.
type page struct {
	*http.Response
	body string
}

func (b *browser) do(r *http.Request) page {
	b.t.Helper()
	resp, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return page{resp, string(body)}
}

func (b *browser) get(path string, q url.Values) page {
	b.t.Helper()
	r, err := http.NewRequest(http.MethodGet, b.portal.URL+path+"?"+q.Encode(), nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(r)
}

func (b *browser) post(path string, form url.Values, header ...string) page {
	b.t.Helper()
	r, err := http.NewRequest(http.MethodPost, b.portal.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for pair := range slices.Chunk(header, 2) {
		r.Header.Set(pair[0], pair[1])
	}
	return b.do(r)
}

var (
	inputTag = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)
	formTag  = regexp.MustCompile(`<form method="post" action="([^"]*)">`)
)

// form returns the hidden fields of the page's form.
func (p page) form(t *testing.T) url.Values {
	t.Helper()
	if !formTag.MatchString(p.body) {
		t.Fatalf("no form on the page (%s):\n%s", p.Status, p.body)
	}
	fields := url.Values{}
	for _, m := range inputTag.FindAllStringSubmatch(p.body, -1) {
		fields.Add(html.UnescapeString(m[1]), html.UnescapeString(m[2]))
	}
	return fields
}

// fill adds pairs to a form.
func fill(form url.Values, pairs ...string) url.Values {
	for pair := range slices.Chunk(pairs, 2) {
		form.Set(pair[0], pair[1])
	}
	return form
}

// answer reads the parameters with which a page leads back to the client.
func (p page) answer(t *testing.T, to string) url.Values {
	t.Helper()
	rest, ok := strings.CutPrefix(p.Header.Get("Location"), to)
	if p.StatusCode != http.StatusSeeOther || !ok {
		t.Fatalf("%s to %q, want 303 to %s\n%s", p.Status, p.Header.Get("Location"), to, p.body)
	}
	q, err := url.ParseQuery(strings.TrimLeft(rest, "?&"))
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// signIn walks through the login page and returns the answer to the client.
func (b *browser) signIn(name string, q url.Values) url.Values {
	b.t.Helper()
	p := b.get("/authorize", q)
	if p.StatusCode != http.StatusOK {
		b.t.Fatalf("login page: %s\n%s", p.Status, p.body)
	}
	return b.post("/authorize", fill(p.form(b.t), "username", name, "password", rightPW)).answer(b.t, callback)
}
