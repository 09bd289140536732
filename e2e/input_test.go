package e2e

import (
	"bufio"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// A refusal is a stable error to the caller and one line in the log.
func TestBadInputAtTheTokenEndpoint(t *testing.T) {
	w := newWorld(t, plan{})
	to := w.Issuer + "/token"
	grant := func(pairs ...string) *http.Request {
		return form(to, append([]string{"grant_type", "client_credentials"}, pairs...)...)
	}
	other := w.Secret["web"].Secret
	tests := []struct {
		name   string
		r      *http.Request
		status int
		code   string
	}{
		{"no grant type", w.as("service", form(to)), 400, "invalid_request"},
		{"a grant nobody knows", w.as("service", form(to, "grant_type", "magic")), 400, "unsupported_grant_type"},
		{"a grant the client does not name", w.as("web", grant()), 400, "unauthorized_client"},
		{"a public client asks by client credentials", grant("client_id", "public"), 400, "unauthorized_client"},
		{"no client", grant(), 401, "invalid_client"},
		{"a client nobody knows", basic("nobody", other, grant()), 401, "invalid_client"},
		{"another client's secret", basic("service", other, grant()), 401, "invalid_client"},
		{"a secret that is no secret", basic("service", "x", grant()), 401, "invalid_client"},
		{"an empty secret", basic("service", "", grant()), 401, "invalid_client"},
		{"two ways to authenticate", w.as("service", grant("client_secret", w.Secret["service"].Secret)), 400, "invalid_request"},
		{"two clients at once", w.as("service", grant("client_id", "web")), 400, "invalid_request"},
		{"a parameter twice", w.as("service", grant("scope", "orders.read", "scope", "orders.write")), 400, "invalid_request"},
		{"a scope the client has not", w.as("service", grant("scope", "orders.delete")), 400, "invalid_scope"},
		{"a wildcard audience", w.as("service", grant("audience", "*")), 400, "invalid_target"},
		{"an audience the client has not", w.as("service", grant("resource", elsewhere)), 400, "invalid_target"},
		{"two audiences", w.as("several", grant("resource", audience, "resource", elsewhere)), 400, "invalid_target"},
		{"no audience where there are several", w.as("several", grant()), 400, "invalid_target"},
		{"a code nobody gave out", w.as("web", form(to, "grant_type", "authorization_code", "code", "lc_ac_x", "redirect_uri", callback, "code_verifier", strings.Repeat("v", 43))), 400, "invalid_grant"},
		{"a refresh token nobody gave out", w.as("web", form(to, "grant_type", "refresh_token", "refresh_token", "lc_rt_x")), 400, "invalid_grant"},
		{"a body of another type", w.as("service", typed("application/json", grant())), 400, "invalid_request"},
		{"parameters in the URL", w.as("service", form(to+"?grant_type=client_credentials")), 400, "invalid_request"},
		{"a broken encoding", w.as("service", body(to, "grant_type=%zz")), 400, "invalid_request"},
		{"a huge body", w.as("service", body(to, "grant_type="+strings.Repeat("x", 1<<20))), 400, "invalid_request"},
		{"an assertion that is no JWT", grant("client_assertion_type", jwtBearer, "client_assertion", "a.b.c"), 401, "invalid_client"},
		{"an assertion by another key", grant("client_assertion_type", jwtBearer, "client_assertion", assertion(t, w, keyedKid, true, nil)), 401, "invalid_client"},
		{"an assertion that is over", grant("client_assertion_type", jwtBearer, "client_assertion", assertion(t, w, keyedKid, false, map[string]any{"exp": time.Now().Add(-time.Hour).Unix()})), 401, "invalid_client"},
		{"an assertion for somebody else", grant("client_assertion_type", jwtBearer, "client_assertion", assertion(t, w, keyedKid, false, map[string]any{"aud": elsewhere})), 401, "invalid_client"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := w.oneLine(t, tt.r)
			a.expect(t, tt.status, tt.code)
			if got := a.header.Get("Cache-Control"); !strings.Contains(got, "no-store") {
				t.Errorf("Cache-Control: %q", got)
			}
		})
	}
}

const jwtBearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// assertion signs a client assertion of keyed, by a key of its own or a
// stranger's, with some claims changed.
func assertion(t *testing.T, w *world, kid string, stranger bool, change map[string]any) string {
	t.Helper()
	key := w.key
	if stranger {
		key = newKey(t)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", kid))
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{"iss": "keyed", "sub": "keyed", "aud": w.Issuer, "jti": rand.Text(), "exp": time.Now().Add(time.Minute).Unix()}
	for k, v := range change {
		claims[k] = v
	}
	signed, err := signer.Sign([]byte(encode(t, claims)))
	if err != nil {
		t.Fatal(err)
	}
	compact, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	w.hide(compact)
	return compact
}

func TestAnAssertionIsUsedOnce(t *testing.T) {
	w := newWorld(t, plan{})
	a := assertion(t, w, keyedKid, false, nil)
	ask := func() answer {
		return send(t, form(w.Issuer+"/token", "grant_type", "client_credentials", "client_assertion_type", jwtBearer, "client_assertion", a))
	}
	w.hideAll(ask()).expect(t, http.StatusOK, "")
	ask().expect(t, http.StatusUnauthorized, "invalid_client")
}

func TestBadCodesAndRefreshTokens(t *testing.T) {
	w := newWorld(t, plan{})
	t.Run("wrong verifier", func(t *testing.T) {
		l := w.signIn("web")
		l.verifier = strings.Repeat("v", 43)
		w.oneLine(t, w.redeemRequest(l)).expect(t, http.StatusBadRequest, "invalid_grant")
	})
	t.Run("another client's code", func(t *testing.T) {
		l := w.signIn("web")
		stranger := l
		stranger.client = "public"
		w.redeem(stranger).expect(t, http.StatusBadRequest, "invalid_grant")
		w.redeem(l).expect(t, http.StatusOK, "")
	})
	t.Run("a code used twice ends the session it made", func(t *testing.T) {
		l := w.signIn("web")
		s := w.redeem(l)
		s.expect(t, http.StatusOK, "")
		w.refusedAfter(t, s.text("access_token"), func() {
			w.oneLine(t, w.redeemRequest(l)).expect(t, http.StatusBadRequest, "invalid_grant")
		})
		w.refresh("web", s.text("refresh_token")).expect(t, http.StatusBadRequest, "invalid_grant")
	})
	t.Run("an older generation ends the session", func(t *testing.T) {
		first := w.session("web")
		second := w.refresh("web", first.text("refresh_token"))
		third := w.refresh("web", second.text("refresh_token"))
		w.refusedAfter(t, third.text("access_token"), func() {
			w.oneLine(t, w.refreshRequest("web", first.text("refresh_token"))).expect(t, http.StatusBadRequest, "invalid_grant")
		})
		w.refresh("web", third.text("refresh_token")).expect(t, http.StatusBadRequest, "invalid_grant")
	})
	t.Run("a stranger ends nothing", func(t *testing.T) {
		s := w.session("web")
		token := s.text("refresh_token")
		w.refresh("public", token).expect(t, http.StatusBadRequest, "invalid_grant")
		for i := range token {
			flipped := token[:i] + flip(token[i]) + token[i+1:]
			if a := w.refresh("web", flipped); a.status != 400 || a.code() != "invalid_grant" {
				t.Errorf("byte %d changed: %d %s", i, a.status, a.body)
			}
		}
		w.refresh("web", token).expect(t, http.StatusOK, "")
	})
}

func flip(b byte) string {
	if b == 'A' {
		return "B"
	}
	return "A"
}

func TestBadInputAtTheGate(t *testing.T) {
	w := newWorld(t, plan{})
	good := w.token("service", "orders.read")
	parts := strings.Split(good, ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + parts[1] + "."
	otherAudience := w.hideAll(send(t, w.as("several", form(w.Issuer+"/token", "grant_type", "client_credentials", "audience", elsewhere)))).text("access_token")
	get := func(token string) *http.Request { return w.request("GET", "/orders/1", token) }
	twice := get(good)
	twice.Header.Add("Authorization", "Bearer "+good)
	tests := []struct {
		name   string
		r      *http.Request
		status int
		code   string
	}{
		{"no token", get(""), 401, "no_token"},
		{"no JWT", get("x"), 401, "malformed"},
		{"a truncated one", get(good[:len(good)/2]), 401, "malformed"},
		{"one without its last byte", get(good[:len(good)-1]), 401, "malformed"},
		{"a padded one", get(good + "="), 401, "malformed"},
		{"two tokens", twice, 401, "malformed"},
		{"an oversized one", get(strings.Repeat("a", 17000)), 401, "too_large"},
		{"alg none", get(none), 401, "bad_algorithm"},
		{"HS256 with the published key", get(signedHS(t, w)), 401, "bad_algorithm"},
		{"a changed signature", get(parts[0] + "." + parts[1] + "." + flip(parts[2][5]) + parts[2][1:]), 401, "bad_signature"},
		{"another audience", get(otherAudience), 401, "wrong_audience"},
		{"another method", w.request("DELETE", "/orders/1", good), 403, "not_allowed"},
		{"a scope it lacks", w.request("POST", "/orders/new", good), 403, "insufficient_scope"},
		{"a path nobody listed", w.request("GET", "/elsewhere", good), 404, "no_route"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w.oneLine(t, tt.r).expect(t, tt.status, tt.code)
		})
	}
}

// signedHS is a token of the issuer's shape, signed by HS256 with a secret that
// anyone may know.
func signedHS(t *testing.T, w *world) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(strings.Repeat("k", 32))},
		(&jose.SignerOptions{}).WithType("at+jwt").WithHeader("kid", w.active(t)))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign([]byte(encode(t, map[string]any{"iss": w.Issuer, "aud": audience, "sub": "x"})))
	if err != nil {
		t.Fatal(err)
	}
	compact, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

// oneLine sends a request and asserts that the log grew by one line.
func (w *world) oneLine(t *testing.T, r *http.Request) answer {
	t.Helper()
	before := len(w.output())
	a := send(t, r)
	since := func() string { return w.output()[before:] }
	for end := time.Now().Add(time.Second); !strings.HasSuffix(since(), "\n") && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
	if n := strings.Count(since(), "\n"); n != 1 {
		t.Errorf("%d lines in the log, want 1: %q", n, since())
	}
	return a
}

func basic(id, secret string, r *http.Request) *http.Request {
	r.SetBasicAuth(id, secret)
	return r
}

func typed(kind string, r *http.Request) *http.Request {
	r.Header.Set("Content-Type", kind)
	return r
}

func body(to, text string) *http.Request {
	r := form(to)
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
	return r
}

// Slow requests end by themselves, and meanwhile nobody else waits.
func TestSlowRequestsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{})
	head := "POST /token HTTP/1.1\r\nHost: " + w.IssuerAddress + "\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 60000\r\n\r\n"
	starts := map[string]string{"headers that never end": head[:20], "a body that never comes": head}
	var all sync.WaitGroup
	for name, start := range starts {
		for range 20 {
			all.Go(func() {
				if err := dribble(w.IssuerAddress, start); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
	}
	for range 20 {
		w.token("service", "orders.read")
	}
	all.Wait()
}

// dribble sends start and then a byte at a time until the server has had enough.
func dribble(address, start string) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, start); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, bufio.NewReader(conn))
	}()
	for end := time.Now().Add(2 * patience); time.Now().Before(end); {
		select {
		case <-ended:
			return nil
		case <-time.After(500 * time.Millisecond):
			_, _ = io.WriteString(conn, "x")
		}
	}
	return fmt.Errorf("the connection is still open after %v", 2*patience)
}
