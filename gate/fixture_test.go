package gate

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/longcase/longcase/internal/gatetest"
	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	issuerA = gatetest.Issuer
	orders  = gatetest.Orders
	mail    = "https://mail.test"
)

// start is the instant at which the fixture's tokens are issued.
var start = gatetest.Start()

func fixed() time.Time { return start }

func at(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

type claims = gatetest.Claims

func good() claims { return gatetest.Good(start) }

func newSigner(t testing.TB, id string) token.Signer {
	t.Helper()
	return gatetest.NewSigner(t, id)
}

func sign(t testing.TB, s token.Signer, c claims) string {
	t.Helper()
	return gatetest.Sign(t, s, c)
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
