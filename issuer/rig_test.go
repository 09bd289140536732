package issuer

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/longcase/longcase/issuer/keys"
	"github.com/longcase/longcase/issuer/password"
	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/store/memory"
	"github.com/longcase/longcase/token"
)

// The parties of these tests.
const (
	testURL      = "https://tokens.test/tenant"
	testAudience = "https://orders.test"
	testCallback = "https://web.test/callback"
	testVerifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636 appendix B
	testPKCE     = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	testSecret   = "lc_cs_canary-of-the-client-secret:with+all%kinds"
)

// long scales a large count: a twentieth of it unless LONGCASE_LONG is set.
func long(n int) int {
	if os.Getenv("LONGCASE_LONG") != "" {
		return n
	}
	return max(1, n/20)
}

// rig is an issuer whose time stands still until a test moves it.
type rig struct {
	is      *Issuer
	engine  *faulty
	ring    *keys.Keyring
	clients map[string]Client
	people  people
	signer  token.Signer // of the client "keyed"
	log     *bytes.Buffer

	mu     sync.Mutex
	at     time.Time
	events map[string][]Event
}

func (r *rig) now() time.Time { r.mu.Lock(); defer r.mu.Unlock(); return r.at }

func (r *rig) advance(d time.Duration) { r.mu.Lock(); defer r.mu.Unlock(); r.at = r.at.Add(d) }

func (r *rig) Write(b []byte) (int, error) { r.mu.Lock(); defer r.mu.Unlock(); return r.log.Write(b) }

func (r *rig) Client(_ context.Context, id string) (Client, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c, ok := r.clients[id]; ok {
		return c, nil
	}
	return Client{}, ErrNoClient
}

func (r *rig) Origin(context.Context, string) (bool, error) { return false, nil }

// change edits a client as configuration would.
func (r *rig) change(id string, edit func(*Client)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.clients[id]
	edit(&c)
	r.clients[id] = c
}

// people are those who may sign in.
type people map[string]bool

func (p people) Check(context.Context, string, string) (string, bool, error) { return "", false, nil }
func (p people) Has(_ context.Context, subject string) (bool, error)         { return p[subject], nil }

// oneKey is the key set of the client "keyed".
type oneKey struct{ key token.Key }

func (k oneKey) Keys(_ context.Context, kid string, alg token.Algorithm) ([]token.Key, error) {
	if alg != k.key.Algorithm() || kid != "" && kid != k.key.ID() {
		return nil, token.Refuse(token.UnknownKey, "no such key")
	}
	return []token.Key{k.key}, nil
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{at: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC), log: new(bytes.Buffer), events: map[string][]Event{}, people: people{"alice": true}}
	r.engine = &faulty{Engine: memory.New(memory.Config{Now: r.now})}
	var err error
	if r.ring, err = keys.New(keys.Config{
		Registry: r.engine.Registry(), KEK: make([]byte, 32), Overlap: time.Hour, SessionAbsolute: 12 * time.Hour, Now: r.now,
		Log: slog.New(slog.DiscardHandler),
	}); err != nil {
		t.Fatal(err)
	}
	if err := r.ring.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if r.signer, err = token.NewSigner("k1", token.ES256, private); err != nil {
		t.Fatal(err)
	}
	r.clients = testClients(oneKey{r.signer.Key()})
	r.is, err = New(Config{
		URL: testURL, Engine: r.engine, Keys: r.ring, Clients: r, Users: r.people, Now: r.now, Hooks: r.hooks(),
		Lifetimes: Lifetimes{SessionIdle: time.Hour, SessionAbsolute: 12 * time.Hour, Backdate: 10 * time.Second, Grace: time.Minute},
		Log:       slog.New(slog.NewJSONHandler(r, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func testClients(keyed oneKey) map[string]Client {
	hash := password.HashSecret(testSecret).String()
	user := []string{GrantAuthorizationCode, GrantRefreshToken}
	one, scopes := []string{testAudience}, []string{"orders.read", "orders.write"}
	all := []Client{
		{ID: "service", Authenticate: AuthSecret, SecretHash: hash, Grants: []string{GrantClientCredentials}, Audiences: one, Scopes: scopes},
		{ID: "keyed", Authenticate: AuthKey, Keys: keyed, Grants: []string{GrantClientCredentials}, Audiences: one},
		{ID: "many", Authenticate: AuthSecret, SecretHash: hash, Grants: []string{GrantClientCredentials}, Audiences: []string{testAudience, "https://bills.test"}},
		{ID: "web", Authenticate: AuthNone, Grants: user, Audiences: one, Scopes: scopes, RedirectURIs: []string{testCallback}},
		{ID: "rival", Authenticate: AuthNone, Grants: user, Audiences: one, Scopes: scopes, RedirectURIs: []string{testCallback}},
		{ID: "once", Authenticate: AuthNone, Grants: user[:1], Audiences: one, Scopes: scopes, RedirectURIs: []string{testCallback}},
		{ID: "gate", Authenticate: AuthSecret, SecretHash: hash, Revocations: true},
		{ID: "idle", Authenticate: AuthSecret, SecretHash: hash},
		{ID: "badhash", Authenticate: AuthSecret, SecretHash: "sha256$short", Grants: []string{GrantClientCredentials}, Audiences: one},
	}
	byID := map[string]Client{}
	for _, c := range all {
		byID[c.ID] = c
	}
	return byID
}

func (r *rig) hooks() Hooks {
	note := func(kind string) func(Event) {
		return func(e Event) { r.mu.Lock(); defer r.mu.Unlock(); r.events[kind] = append(r.events[kind], e) }
	}
	return Hooks{
		Issued: note("issued"), Repeated: note("repeated"), Refused: note("refused"), Reused: note("reused"),
		Ended: note("ended"), Revoked: note("revoked"), Introspected: note("introspected"), Followed: note("followed"),
	}
}

func (r *rig) count(kind string) int { r.mu.Lock(); defer r.mu.Unlock(); return len(r.events[kind]) }

// reply is what came back.
type reply struct {
	Status int
	Header http.Header
	Body   []byte
	JSON   map[string]any
}

func (p reply) text(name string) string { s, _ := p.JSON[name].(string); return s }

func (r *rig) do(req *http.Request) reply {
	w := httptest.NewRecorder()
	r.is.Handler().ServeHTTP(w, req)
	p := reply{Status: w.Code, Header: w.Result().Header, Body: w.Body.Bytes()}
	if strings.HasPrefix(p.Header.Get("Content-Type"), "application/json") {
		if err := json.Unmarshal(p.Body, &p.JSON); err != nil {
			panic("not JSON: " + err.Error())
		}
	}
	return p
}

func formRequest(path, body string) *http.Request {
	req := httptest.NewRequest(http.MethodPost, testURL+path, strings.NewReader(body))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return req
}

// post sends a form of pairs; a pair whose value is "-" is left out.
func (r *rig) post(path string, pairs ...string) reply {
	return r.do(formRequest(path, pairsOf(pairs).Encode()))
}

// basic sends a form of pairs, authenticated by HTTP Basic.
func (r *rig) basic(path, id, secret string, pairs ...string) reply {
	req := formRequest(path, pairsOf(pairs).Encode())
	req.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
	return r.do(req)
}

func pairsOf(pairs []string) url.Values {
	form := url.Values{}
	for p := range slices.Chunk(pairs, 2) {
		form.Set(p[0], p[1])
		if p[1] == "-" {
			form.Del(p[0])
		}
	}
	return form
}

// code is what the authorization endpoint would have handed out.
func (r *rig) code(t testing.TB, client string, scopes ...string) string {
	t.Helper()
	if len(scopes) == 0 {
		scopes = []string{"orders.read", "orders.write"}
	}
	text, err := r.is.putCode(t.Context(), codeData{
		Client: client, Subject: "alice", RedirectURI: testCallback, Challenge: testPKCE, Audience: testAudience, Scopes: scopes,
		Nonce: "n-1", AuthTime: r.now().Unix(),
	}, r.now())
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (r *rig) redeem(client, code string, pairs ...string) reply {
	return r.post("/token", append([]string{
		"grant_type", "authorization_code", "client_id", client, "code", code, "redirect_uri", testCallback, "code_verifier", testVerifier,
	}, pairs...)...)
}

func (r *rig) refresh(client, text string, pairs ...string) reply {
	return r.post("/token", append([]string{"grant_type", "refresh_token", "client_id", client, "refresh_token", text}, pairs...)...)
}

// session signs alice in at client and returns its first answer.
func (r *rig) session(t testing.TB, client string, scopes ...string) reply {
	t.Helper()
	got := r.redeem(client, r.code(t, client, scopes...))
	if got.Status != 200 || got.text("refresh_token") == "" {
		t.Fatalf("redeem: %d %s", got.Status, got.Body)
	}
	return got
}

// claims reads an access or ID token of this issuer.
func (r *rig) claims(t testing.TB, raw string) (token.JWS, token.Claims) {
	t.Helper()
	jws, err := token.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.is.keyOf(jws, r.now()); err != nil {
		t.Fatal(err)
	}
	c, err := jws.Claims()
	if err != nil {
		t.Fatal(err)
	}
	return jws, c
}

// active asks as the gate whether an access token is live.
func (r *rig) active(t testing.TB, access string) bool {
	t.Helper()
	got := r.basic("/introspect", "gate", testSecret, "token", access)
	if got.Status != 200 {
		t.Fatalf("introspect: %d %s", got.Status, got.Body)
	}
	return got.JSON["active"] == true
}

func wantError(t testing.TB, got reply, status int, code string) {
	t.Helper()
	if got.Status != status || got.text("error") != code || got.text("error_description") == "" {
		t.Errorf("got %d %s, want %d %s with a description", got.Status, got.Body, status, code)
	}
	if strings.ContainsFunc(got.text("error_description"), func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
		t.Errorf("RFC 6749 section 5.2 forbids a character of %q", got.text("error_description"))
	}
	wantNoStore(t, got)
}

// wantNoStore is row 69 of the checklist.
func wantNoStore(t testing.TB, got reply) {
	t.Helper()
	if got.Header.Get("Cache-Control") != "no-store" || got.Header.Get("Pragma") != "no-cache" {
		t.Errorf("Cache-Control %q, Pragma %q", got.Header.Get("Cache-Control"), got.Header.Get("Pragma"))
	}
}

// feed is every live early end.
func (r *rig) feed(t testing.TB) []store.Revocation {
	t.Helper()
	all, _, err := r.engine.Engine.Revocations().Since(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	return all
}
