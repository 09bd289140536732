package introspect

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/longcase/longcase/clientauth"
	"github.com/longcase/longcase/internal/gatetest"
	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ verify.Introspector = (*Source)(nil)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const opaque = "canary-token.abc~1"

// endpoint is an introspection endpoint whose answer the test chooses.
type endpoint struct {
	*httptest.Server
	asked  atomic.Int32
	answer atomic.Pointer[http.HandlerFunc]
}

func newEndpoint(t *testing.T, h http.HandlerFunc) *endpoint {
	t.Helper()
	e := &endpoint{}
	e.answer.Store(&h)
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.asked.Add(1)
		(*e.answer.Load())(w, r)
	}))
	t.Cleanup(e.Close)
	return e
}

func says(body string) http.HandlerFunc {
	return answers(http.StatusOK, "application/json; charset=utf-8", body)
}

func answers(status int, kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

func (e *endpoint) config() Config {
	return Config{URL: e.URL + "/introspect", Client: clientauth.Config{ClientID: "gate b", Secret: "canary-secret"}}
}

func (e *endpoint) source(t *testing.T, edit func(*Config)) *Source {
	t.Helper()
	cfg := e.config()
	if edit != nil {
		edit(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.CloseIdleConnections)
	return s
}

func (s *Source) at(t *testing.T, raw string, now time.Time) (token.Claims, error) {
	t.Helper()
	c, err := s.Introspect(t.Context(), raw, now)
	if err != nil && (strings.Contains(err.Error(), raw) && raw != "" || strings.Contains(err.Error(), "canary")) {
		t.Errorf("the error holds a secret: %v", err)
	}
	return c, err
}

func active(more string) string {
	return fmt.Sprintf(`{"active":true,"iss":"https://a.test","sub":"u","aud":"https://b.test","exp":%d%s}`, start.Unix()+300, more)
}

func TestTheAnswerOfAnActiveTokenIsItsClaims(t *testing.T) {
	var seen *http.Request
	e := newEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		seen = r
		says(active(`,"scope":"r w","client_id":"c","username":"n","iat":1772366400,"nbf":1772366399.5,"jti":"j","aud2":1,"cnf":{"jkt":"k"}`))(w, r)
	})
	c, err := e.source(t, nil).at(t, opaque, start)
	if err != nil || c.Issuer != "https://a.test" || c.Subject != "u" || c.ClientID != "c" || c.Scope != "r w" || c.ID != "j" || c.Confirm.JKT != "k" ||
		len(c.Audience) != 1 || !c.IssuedAt.Equal(start) || !c.NotBefore.Equal(start.Add(-500*time.Millisecond)) || !c.Expires.Equal(start.Add(5*time.Minute)) {
		t.Errorf("Introspect = %+v, %v", c, err)
	}
	if name, ok := c.Member("username"); !ok || string(name) != `"n"` {
		t.Errorf("username is %s", name)
	}
	id, secret, _ := seen.BasicAuth()
	if seen.Method != "POST" || seen.URL.Path != "/introspect" || seen.URL.RawQuery != "" || id != "gate+b" || secret != "canary-secret" || seen.Header.Get("Accept") != "application/json" {
		t.Errorf("asked by %s %s as %q %q", seen.Method, seen.URL, id, secret)
	}
	if got := seen.PostForm.Encode(); got != "token=canary-token.abc~1&token_type_hint=access_token" {
		t.Errorf("asked with %s", got)
	}
	if _, sent := seen.Header["Idempotency-Key"]; sent {
		t.Error("an Idempotency-Key went out")
	}
}

// What the endpoint answers, and what becomes of it. Nothing but the issuer's
// own word is kept.
func TestAnswers(t *testing.T) {
	tests := []struct {
		name   string
		answer http.HandlerFunc
		want   error
		says   string
		kept   bool
	}{
		{"active", says(active("")), nil, "", true},
		{"active, with an array for aud", says(`{"active":true,"aud":["a","b"]}`), nil, "", true},
		{"not active", says(`{"active":false}`), token.Revoked, "not active", true},
		{"not active, with claims", says(`{"active":false,"sub":"u"}`), token.Revoked, "not active", true},
		{"no active", says(`{"sub":"u"}`), token.KeysUnavailable, "not clear", false},
		{"active in capitals", says(`{"ACTIVE":true}`), token.KeysUnavailable, "not clear", false},
		{"active as a string", says(`{"active":"true"}`), token.KeysUnavailable, "not clear", false},
		{"active as a number", says(`{"active":1}`), token.KeysUnavailable, "not clear", false},
		{"active twice", says(`{"active":false,"active":true}`), token.KeysUnavailable, "not clear", false},
		{"a claim twice", says(`{"active":true,"sub":"a","sub":"b"}`), token.KeysUnavailable, "not clear", false},
		{"a claim of the wrong type", says(`{"active":true,"exp":"1"}`), token.KeysUnavailable, "not clear", false},
		{"cut off", says(`{"active":true`), token.KeysUnavailable, "not clear", false},
		{"an array", says(`[true]`), token.KeysUnavailable, "not clear", false},
		{"nothing", says(``), token.KeysUnavailable, "not clear", false},
		{"too deep", says(`{"active":true,"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`), token.KeysUnavailable, "not clear", false},
		{"too much", says(active(`,"x":"` + strings.Repeat("x", maxBody) + `"`)), token.KeysUnavailable, "cannot be read", false},
		{"a page", answers(200, "text/html", active("")), token.KeysUnavailable, "other than application/json", false},
		{"a signed answer, which was not asked for", answers(200, "application/token-introspection+jwt", active("")), token.KeysUnavailable, "other than application/json", false},
		{"no type", answers(200, "", active("")), token.KeysUnavailable, "other than application/json", false},
		{"the gate is refused", answers(401, "application/json", active("")), token.KeysUnavailable, "own client (401)", false},
		{"the gate is forbidden", answers(403, "application/json", active("")), token.KeysUnavailable, "own client (403)", false},
		{"a failure", answers(500, "application/json", active("")), token.KeysUnavailable, "answered 500", false},
		{"busy", answers(503, "application/json", active("")), token.KeysUnavailable, "answered 503", false},
		{"created", answers(201, "application/json", active("")), token.KeysUnavailable, "answered 201", false},
		{"gone", answers(404, "application/json", active("")), token.KeysUnavailable, "answered 404", false},
		{"cut off on the way", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, active(""))
		}, token.KeysUnavailable, "cannot be read", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := newEndpoint(t, tt.answer)
			s := e.source(t, nil)
			var first error
			for i := range 2 {
				c, err := s.at(t, opaque, start)
				var refusal *token.Error
				if !errors.Is(err, tt.want) || err != nil && (!errors.As(err, &refusal) || !strings.Contains(refusal.Detail, tt.says) || c.Raw != nil) {
					t.Fatalf("Introspect = %s, %v; want %v, %q", c.Raw, err, tt.want, tt.says)
				}
				if i > 0 && fmt.Sprint(err) != fmt.Sprint(first) {
					t.Errorf("the second time: %v, the first: %v", err, first)
				}
				first = err
			}
			if got, want := e.asked.Load() == 1, tt.kept; got != want {
				t.Errorf("kept: %v, want %v", got, want)
			}
		})
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	elsewhere := newEndpoint(t, says(active("")))
	e := newEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	})
	if _, err := e.source(t, nil).at(t, opaque, start); !errors.Is(err, token.KeysUnavailable) || elsewhere.asked.Load() != 0 {
		t.Errorf("%v; the other host was asked %d times", err, elsewhere.asked.Load())
	}
}

func TestAnEndpointThatIsNotThere(t *testing.T) {
	e := newEndpoint(t, says(""))
	s := e.source(t, nil)
	e.Close()
	if _, err := s.at(t, opaque, start); !errors.Is(err, token.KeysUnavailable) || !strings.Contains(err.Error(), "introspection endpoint cannot be asked: it cannot be reached") {
		t.Error(err)
	}
}

func TestAKeyProvesTheGateAnewEachTime(t *testing.T) {
	key, err := token.NewSecretSigner("", []byte(strings.Repeat("x", 32)))
	if err != nil {
		t.Fatal(err)
	}
	_, err = New(Config{URL: "https://a.test/i", Client: clientauth.Config{ClientID: "g", Key: &key, Audience: "https://a.test"}})
	if err == nil || !strings.Contains(err.Error(), "private key") {
		t.Errorf("a shared secret as a key: %v", err)
	}
	signer := gatetest.NewSigner(t, "")
	seen := map[string]bool{}
	e := newEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
		j, err := token.Parse(r.PostFormValue("client_assertion"))
		if err != nil || j.Verify(signer.Key()) != nil {
			t.Errorf("assertion: %v", err)
			return
		}
		c, _ := j.Claims()
		seen[c.ID] = true
		says(active(""))(w, r)
	})
	s := e.source(t, func(c *Config) {
		c.Client, c.Cache = clientauth.Config{ClientID: "g", Key: &signer, Audience: e.URL}, NoCache
	})
	for range 3 {
		if _, err := s.at(t, opaque, start); err != nil {
			t.Error(err)
		}
	}
	if len(seen) != 3 {
		t.Errorf("%d assertions for 3 questions", len(seen))
	}
}

func TestTheIssuersClockIsTold(t *testing.T) {
	date := start.Add(21 * time.Second).Format(http.TimeFormat)
	var told []time.Time
	now := start
	e := newEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", date)
		if r.PostFormValue("token") == "cached" {
			w.Header().Set("Age", "0")
		}
		says(active(""))(w, r)
	})
	s := e.source(t, func(c *Config) {
		c.Now = func() time.Time { now = now.Add(time.Second); return now }
		c.Dated = func(sent, received, date time.Time) { told = append(told, sent, received, date) }
	})
	for _, raw := range []string{"a", "cached"} {
		if _, err := s.at(t, raw, start); err != nil {
			t.Error(err)
		}
	}
	if len(told) != 3 || !told[0].Equal(start.Add(time.Second)) || !told[1].Equal(start.Add(2*time.Second)) || !told[2].Equal(start.Add(21*time.Second)) {
		t.Errorf("told %v", told)
	}
}

func TestNewNamesEveryWrongField(t *testing.T) {
	_, err := New(Config{URL: "http://a.test/i", Client: clientauth.Config{Secret: "canary"}, Cache: time.Minute, Most: -1})
	for _, word := range []string{"url", "client", "cache", "most"} {
		if err == nil || !strings.Contains(err.Error(), "introspect: "+word) || strings.Contains(err.Error(), "canary") {
			t.Errorf("New = %v, want it to name %s", err, word)
		}
	}
	if _, err := New(Config{URL: "https://a.test/i", Client: clientauth.Config{ClientID: "g"}}); err == nil {
		t.Error("a gate that proves nothing may ask")
	}
	if _, err := New(Config{URL: "https://a.test/i", Client: clientauth.Config{ClientID: "g"}, HTTP: &http.Client{}}); err != nil {
		t.Errorf("with a certificate in its HTTP client: %v", err)
	}
}

// The default client dials loopback only where URL itself names it.
func TestAPublicNameDoesNotLeadInside(t *testing.T) {
	e := newEndpoint(t, says(active("")))
	for url, want := range map[string]bool{e.URL: true, "https://a.test/i": false} {
		cfg := Config{URL: url, Client: clientauth.Config{ClientID: "g", Secret: "s"}}
		transport := cfg.transport()
		conn, err := transport.DialContext(t.Context(), "tcp", e.Listener.Addr().String())
		if (err == nil) != want {
			t.Errorf("for %s: dialled loopback: %v", url, err)
		}
		if conn != nil {
			_ = conn.Close()
		}
	}
}

// Concurrent questions about one token are one; a caller that leaves takes
// nobody with it.
func TestOneQuestionForManyCallers(t *testing.T) {
	release := make(chan struct{})
	e := newEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
			return
		}
		says(active(""))(w, r)
	})
	s := e.source(t, nil)
	leaving, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() { _, err := s.Introspect(leaving, opaque, start); left <- err }()
	for e.asked.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	var wg sync.WaitGroup
	var good atomic.Int32
	for range 50 {
		wg.Go(func() {
			if c, err := s.Introspect(t.Context(), opaque, start); err == nil && c.Subject == "u" {
				good.Add(1)
			}
		})
	}
	time.Sleep(20 * time.Millisecond)
	leave()
	if err := <-left; !errors.Is(err, token.KeysUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("who left got %v", err)
	}
	for e.asked.Load() < 2 {
		time.Sleep(time.Millisecond)
	}
	close(release)
	wg.Wait()
	if good.Load() != 50 || e.asked.Load() != 2 {
		t.Errorf("%d of 50 got the answer of %d questions, want 2", good.Load(), e.asked.Load())
	}
	if len(s.flights) != 0 {
		t.Errorf("%d questions are still under way", len(s.flights))
	}
}

func TestAStormOfUnknownTokensIsBounded(t *testing.T) {
	var now, most atomic.Int32
	e := newEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(2 * time.Millisecond)
		now.Add(-1)
		says(`{"active":false}`)(w, r)
	})
	s := e.source(t, func(c *Config) { c.Most = 3 })
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			if _, err := s.Introspect(t.Context(), fmt.Sprint("unknown-", i), start); !errors.Is(err, token.Revoked) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if most.Load() > 3 || most.Load() < 1 {
		t.Errorf("%d questions at once", most.Load())
	}
	full, cancel := context.WithCancel(t.Context())
	cancel()
	for range 3 {
		s.turns <- struct{}{}
	}
	if _, err := s.Introspect(full, "one-more", start); !errors.Is(err, token.KeysUnavailable) || !strings.Contains(err.Error(), "3 other questions") {
		t.Errorf("with every turn taken: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(active("")))
	f.Add([]byte(`{"active":false}`))
	f.Add([]byte(`{"active":true,"\u0061ctive":false}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		a, err := parse(body)
		if err != nil && (a.lasts || a.err != nil || a.claims.Raw != nil) {
			t.Fatalf("%q: an answer and an error %v", body, err)
		}
		if again, err2 := parse(body); (err == nil) != (err2 == nil) || (a.err == nil) != (again.err == nil) {
			t.Fatalf("%q is read in two ways", body)
		}
		if err == nil && a.err == nil && !strings.Contains(string(body), "true") {
			t.Fatalf("%q is active", body)
		}
	})
}
