package gate

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	issuerA = "https://a.test"
	orders  = "https://orders.test"
	mail    = "https://mail.test"
)

// start is the instant at which the fixture's tokens are issued.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func fixed() time.Time { return start }

func at(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

type claims map[string]any

func (c claims) with(more claims) claims {
	c = maps.Clone(c)
	maps.Copy(c, more)
	return c
}

func good() claims { return goodAt(start) }

func goodAt(now time.Time) claims {
	return claims{
		"iss": issuerA, "sub": "alice", "aud": orders, "client_id": "web", "jti": "t1", "sid": "s1",
		"scope": "orders.read", "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
	}
}

func newSigner(t testing.TB, id string) token.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := token.NewSigner(id, token.ES256, key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func sign(t testing.TB, s token.Signer, c claims) string {
	t.Helper()
	return signAs(t, s, "at+jwt", c)
}

func signAs(t testing.TB, s token.Signer, typ string, c claims) string {
	t.Helper()
	body, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := s.Sign(typ, body)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// config accepts tokens of key for orders at start.
func config(key token.Signer) Config {
	return Config{
		Issuers: []verify.Issuer{{URL: issuerA, Audience: orders, Keys: verify.Fixed{key.Key()}}},
		Now:     fixed,
		Log:     slog.New(slog.DiscardHandler),
	}
}

func mustNew(t testing.TB, cfg Config) *Gate {
	t.Helper()
	g, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// run runs g until the test is over.
func run(t testing.TB, g *Gate) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := g.Run(ctx); err != nil {
			t.Errorf("Run = %v", err)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
}

// serve is a server of h until the test is over.
func serve(t testing.TB, h http.Handler) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func get(path, raw string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.RemoteAddr = "127.0.0.1:40000"
	if raw != "" {
		r.Header.Set("Authorization", "Bearer "+raw)
	}
	return r
}

func do(h http.Handler, r *http.Request) *http.Response {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

// problem is the body of a refusal.
type problem struct {
	Type   string   `json:"type"`
	Title  string   `json:"title"`
	Status int      `json:"status"`
	Detail string   `json:"detail"`
	Reason string   `json:"reason"`
	Skew   *float64 `json:"skew_seconds"`
}

func readProblem(t testing.TB, resp *http.Response) problem {
	t.Helper()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var p problem
	if resp.StatusCode >= 400 {
		if err := json.Unmarshal(body, &p); err != nil {
			t.Fatalf("body %q: %v", body, err)
		}
	}
	return p
}

// eventually waits until ok, and fails with what it waited for.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for range 500 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("waited in vain until %s", what)
}

// still is a feed that is live and says nothing but events.
func still(events ...Event) Feed {
	return func(ctx context.Context, apply func(Event), live func()) error {
		for _, e := range events {
			apply(e)
		}
		live()
		<-ctx.Done()
		return ctx.Err()
	}
}

func contains(t *testing.T, what, s string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(s, p) {
			t.Errorf("%s = %q lacks %q", what, s, p)
		}
	}
}
