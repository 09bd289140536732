package oauth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/longcase/longcase/token"
)

var start = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

// service is a token service that answers as a test says.
type service struct {
	*httptest.Server
	metadata map[string]any
	path     string // of the issuer
	answer   func(w http.ResponseWriter, r *http.Request)
	asked    int // at the token endpoint
}

func newService(t *testing.T, answer func(http.ResponseWriter, *http.Request)) *service {
	t.Helper()
	s := &service{metadata: map[string]any{}, answer: answer}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

func (s *service) serve(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/.well-known/oauth-authorization-server" + s.path:
		m := map[string]any{"issuer": s.URL + s.path, "token_endpoint": s.URL + "/token"}
		for k, v := range s.metadata {
			m[k] = v
		}
		_ = json.NewEncoder(w).Encode(m)
	case "/token":
		s.asked++
		s.answer(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (s *service) request() Request {
	return Request{
		Issuer: s.URL + s.path, Client: "service a", Secret: "a:b c", Audience: "https://b.example.com",
		Scopes: []string{"orders.read", "orders.write"}, Now: func() time.Time { return start },
	}
}

func granted(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"access_token":"abc","token_type":"Bearer","expires_in":300,"scope":"orders.read"}`)
}

func TestFetchAsksWithTheSecret(t *testing.T) {
	var got url.Values
	var user, secret string
	s := newService(t, func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		got = r.PostForm
		user, secret, _ = r.BasicAuth()
		granted(w, r)
	})
	s.path = "/tenant"
	tok, err := Fetch(t.Context(), s.request())
	if err != nil {
		t.Fatal(err)
	}
	if want := (Token{"abc", "Bearer", "orders.read", start.Add(5 * time.Minute)}); tok != want {
		t.Errorf("Fetch = %+v, want %+v", tok, want)
	}
	want := url.Values{"grant_type": {"client_credentials"}, "audience": {"https://b.example.com"}, "scope": {"orders.read orders.write"}}
	if got.Encode() != want.Encode() {
		t.Errorf("the form is %v, want %v", got, want)
	}
	if user != "service+a" || secret != "a%3Ab+c" { // form-encoded first: RFC 6749 section 2.3.1
		t.Errorf("Basic %q %q", user, secret)
	}
}

func TestASecretGoesIntoTheFormWhereNothingElseIsTaken(t *testing.T) {
	s := newService(t, func(w http.ResponseWriter, r *http.Request) {
		_, _, basic := r.BasicAuth()
		if basic || r.PostFormValue("client_id") != "service a" || r.PostFormValue("client_secret") != "a:b c" {
			t.Errorf("asked with %v, Basic %v", r.PostForm, basic)
		}
		granted(w, r)
	})
	s.metadata["token_endpoint_auth_methods_supported"] = []string{"client_secret_post"}
	if _, err := Fetch(t.Context(), s.request()); err != nil {
		t.Fatal(err)
	}
}

func TestAKeySignsOneAssertionForTheIssuer(t *testing.T) {
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	rsaKey, _ := rsa.GenerateKey(rand.Reader, 2048)
	tests := []struct {
		name      string
		key       crypto.Signer
		supported []string
		want      token.Algorithm
	}{
		{"P-256 signs ES256", p256, nil, token.ES256},
		{"P-384 signs ES384", p384, nil, token.ES384},
		{"Ed25519 signs EdDSA", ed, nil, token.EdDSA},
		{"RSA signs RS256", rsaKey, nil, token.RS256},
		{"RSA signs PS256 where RS256 is not taken", rsaKey, []string{"PS256", "ES256"}, token.PS256},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newService(t, nil)
			s.metadata["token_endpoint_auth_signing_alg_values_supported"] = tt.supported
			s.answer = func(w http.ResponseWriter, r *http.Request) {
				checkAssertion(t, r.PostFormValue("client_assertion"), tt.want, tt.key.Public(), s.URL)
				if r.PostFormValue("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
					t.Errorf("asked with %v", r.PostForm)
				}
				granted(w, r)
			}
			r := s.request()
			r.Secret, r.Key = "", tt.key
			if _, err := Fetch(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func checkAssertion(t *testing.T, raw string, alg token.Algorithm, pub crypto.PublicKey, issuer string) {
	t.Helper()
	j, err := token.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	key, err := token.NewKey("", alg, pub)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Verify(key); err != nil {
		t.Error(err)
	}
	c, err := j.Claims()
	if err != nil {
		t.Fatal(err)
	}
	if c.Issuer != "service a" || c.Subject != "service a" || len(c.Audience) != 1 || c.Audience[0] != issuer || c.ID == "" ||
		!c.IssuedAt.Equal(start) || !c.Expires.Equal(start.Add(time.Minute)) {
		t.Errorf("the assertion says %s", c.Raw)
	}
}

func TestARefusalIsTheServicesOwn(t *testing.T) {
	s := newService(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"error":"invalid_client","error_description":"no \u001b[31msuch\nclient"}`)
	})
	_, err := Fetch(t.Context(), s.request())
	var e *Error
	if !errors.As(err, &e) || e.Status != 401 || e.Code != "invalid_client" || e.Description != "no [31msuchclient" {
		t.Errorf("Fetch = %#v", err)
	}
}

func TestUnreachable(t *testing.T) {
	elsewhere := newService(t, granted)
	tests := []struct {
		name   string
		change func(s *service)
	}{
		{"nobody listens", func(s *service) { s.Close() }},
		{"no metadata", func(s *service) { s.path = "/other" }},
		{"metadata of another issuer", func(s *service) { s.metadata["issuer"] = "https://other.example.com" }},
		{"a token endpoint in the clear", func(s *service) { s.metadata["token_endpoint"] = "http://tokens.example.com/token" }},
		{"an error page", func(s *service) {
			s.answer = func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", http.StatusBadGateway) }
		}},
		{"a huge answer", func(s *service) {
			s.answer = func(w http.ResponseWriter, _ *http.Request) {
				_, _ = fmt.Fprintf(w, `{"access_token":%q}`, strings.Repeat("x", maxBody))
			}
		}},
		{"an answer without a token", func(s *service) {
			s.answer = func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{}`) }
		}},
		{"a redirect, which is not followed", func(s *service) {
			s.answer = func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, elsewhere.URL+"/token", http.StatusTemporaryRedirect)
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newService(t, granted)
			r := s.request()
			tt.change(s)
			_, err := Fetch(t.Context(), r)
			if !errors.Is(err, ErrUnreachable) {
				t.Errorf("Fetch = %v, want ErrUnreachable", err)
			}
			if err != nil && strings.Contains(err.Error(), "a:b c") {
				t.Error("the error holds the secret")
			}
		})
	}
	if elsewhere.asked != 0 {
		t.Error("the secret went elsewhere")
	}
}

func TestFetchEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := newService(t, func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm() // the server notices a gone client only after the body
		cancel()
		<-r.Context().Done()
	})
	if _, err := Fetch(ctx, s.request()); !errors.Is(err, context.Canceled) {
		t.Errorf("Fetch = %v, want context.Canceled", err)
	}
}

func TestARequestNamesEveryFieldThatIsWrong(t *testing.T) {
	_, err := Fetch(t.Context(), Request{Issuer: "http://tokens.example.com"})
	for _, want := range []string{"issuer", "client", "audience", "one of secret and key"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Fetch of nothing = %v, which lacks %s", err, want)
		}
	}
}

func TestASecretInTheClearStaysOnThisMachine(t *testing.T) {
	for issuer, want := range map[string]bool{
		"http://LocalHost:4600": true, "http://127.0.0.1:4600": true, "http://[::1]:4600": true, "https://tokens.example.com": true,
		"http://tokens.localhost": false, "http://localhost.example.com": false, "http://10.0.0.1": false,
	} {
		r := Request{Issuer: issuer, Client: "c", Secret: "s", Audience: "a"}
		if err := r.check(); (err == nil) != want {
			t.Errorf("%s: %v", issuer, err)
		}
	}
}

func TestAKeysAlgorithmFollowsFromItsType(t *testing.T) {
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	p521, _ := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	rsaKey, _ := rsa.GenerateKey(rand.Reader, 2048)
	_, edKey, _ := ed25519.GenerateKey(rand.Reader)
	tests := []struct {
		name      string
		key       crypto.Signer
		supported []string
		want      token.Algorithm
	}{
		{"P-256", p256, nil, token.ES256},
		{"P-256, whatever is listed", p256, []string{"PS256"}, token.ES256},
		{"P-384", p384, nil, token.ES384},
		{"P-521 is none of ours", p521, nil, ""},
		{"Ed25519", edKey, nil, token.EdDSA},
		{"RSA, nothing listed", rsaKey, nil, token.RS256},
		{"RSA, both listed", rsaKey, []string{"PS256", "RS256"}, token.RS256},
		{"RSA, PS256 alone listed", rsaKey, []string{"PS256", "ES256"}, token.PS256},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := Algorithm(tt.key, tt.supported); got != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("Algorithm = %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

func TestParseKey(t *testing.T) {
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	rsaKey, _ := rsa.GenerateKey(rand.Reader, 2048)
	pkcs8, _ := x509.MarshalPKCS8PrivateKey(p256)
	sec1, _ := x509.MarshalECPrivateKey(p256)
	block := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	tests := []struct {
		name string
		data []byte
		ok   bool
	}{
		{"PKCS #8", block("PRIVATE KEY", pkcs8), true},
		{"SEC 1", block("EC PRIVATE KEY", sec1), true},
		{"SEC 1 after its parameters, as openssl writes it", append(block("EC PARAMETERS", []byte{6, 1, 0}), block("EC PRIVATE KEY", sec1)...), true},
		{"PKCS #1", block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey)), true},
		{"a public key is none", block("PUBLIC KEY", pkcs8), false},
		{"an encrypted key is none", block("ENCRYPTED PRIVATE KEY", pkcs8), false},
		{"a broken key is none", block("PRIVATE KEY", pkcs8[:20]), false},
		{"a secret is none", []byte("lc_cs_x"), false},
		{"nothing is none", nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if key, err := ParseKey(tt.data); (err == nil) != tt.ok || (key != nil) != tt.ok {
				t.Errorf("ParseKey = %T, %v", key, err)
			}
		})
	}
}

// FuzzReadToken: whatever a service answers, a token has a value that fits into
// a header line and an end that is not before it was asked for.
func FuzzReadToken(f *testing.F) {
	f.Add([]byte(`{"access_token":"abc","token_type":"Bearer","expires_in":300}`))
	f.Add([]byte(`{"access_token":"a\nb","expires_in":-1}`))
	f.Add([]byte(`{"access_token":"a","expires_in":1e300}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		tok, err := readToken(body, start)
		if err != nil {
			return
		}
		if tok.Value == "" || strings.ContainsAny(tok.Value, " \r\n") || !tok.Expires.IsZero() && tok.Expires.Before(start) {
			t.Errorf("readToken(%q) = %+v", body, tok)
		}
	})
}
