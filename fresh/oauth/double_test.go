package oauth

import (
	"crypto"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/token"
)

var start = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

func TestMain(m *testing.M) {
	if mode := os.Getenv("LONGCASE_OAUTH_CHILD"); mode != "" {
		os.Exit(child(mode))
	}
	goleak.VerifyTestMain(m)
}

// long is n, or a twentieth of it where LONGCASE_LONG is not set.
func long(n int) int {
	if os.Getenv("LONGCASE_LONG") != "" {
		return n
	}
	return n / 20
}

// double is a token service that answers as a test says. It stands for any
// service; the tests in rig_test.go speak with a real one.
type double struct {
	*httptest.Server
	metadata map[string]any
	path     string // of the issuer

	mu     sync.Mutex
	answer http.HandlerFunc // of the token endpoint
	found  int              // readings of the metadata
	asked  []http.Request   // of the token endpoint, forms parsed
}

func newDouble(t *testing.T, answer http.HandlerFunc) *double {
	t.Helper()
	d := &double{metadata: map[string]any{}, answer: answer}
	d.Server = httptest.NewServer(http.HandlerFunc(d.serve))
	t.Cleanup(d.Close)
	return d
}

func (d *double) serve(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	d.mu.Lock()
	answer := d.answer
	switch r.URL.Path {
	case "/.well-known/oauth-authorization-server" + d.path:
		d.found++
		m := map[string]any{"issuer": d.URL + d.path, "token_endpoint": d.URL + "/token"}
		for k, v := range d.metadata {
			m[k] = v
		}
		answer = func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(m) }
	case "/token":
		d.asked = append(d.asked, *r)
	default:
		answer = http.NotFound
	}
	d.mu.Unlock()
	answer(w, r)
}

func (d *double) answers(answer http.HandlerFunc) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answer = answer
}

func (d *double) requests() []http.Request {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]http.Request(nil), d.asked...)
}

// config is a client of d with a secret.
func (d *double) config() Config {
	return Config{
		Issuer: d.URL + d.path, Client: "service a", Secret: text("a:b c"), Audience: "https://b.example.com",
		Scopes: []string{"orders.read", "orders.write"}, HTTP: d.Client(), Now: func() time.Time { return start },
	}
}

func text(s string) func() (string, error) { return func() (string, error) { return s, nil } }

func key(k crypto.Signer) func() (crypto.Signer, error) {
	return func() (crypto.Signer, error) { return k, nil }
}

// says answers with a status and a body.
func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func usual(w http.ResponseWriter, r *http.Request) {
	says(200, `{"access_token":"abc","token_type":"Bearer","expires_in":300,"scope":"orders.read"}`)(w, r)
}

// one is a layer on root whose clock stands at start.
func one(root fresh.Root[fresh.Token]) *fresh.Layer[fresh.Token] {
	return fresh.New(root, fresh.Policy{Name: "test", Now: func() token.Instant { return token.Instant{Wall: start} }})
}
