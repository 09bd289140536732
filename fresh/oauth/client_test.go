package oauth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/token"
)

func TestAClientAsksWithItsSecret(t *testing.T) {
	d := newDouble(t, usual)
	d.path = "/tenant"
	c, err := ClientCredentials(d.config())(t.Context(), start)
	if err != nil {
		t.Fatal(err)
	}
	if c.Value != (fresh.Token{Value: "abc", Type: "Bearer", Scope: "orders.read"}) || c.Life != 5*time.Minute || !c.Expires.IsZero() || c.Date.IsZero() {
		t.Errorf("got %+v", c)
	}
	asked := d.requests()[0]
	want := url.Values{"grant_type": {"client_credentials"}, "audience": {"https://b.example.com"}, "scope": {"orders.read orders.write"}}
	if asked.PostForm.Encode() != want.Encode() {
		t.Errorf("the form is %v, want %v", asked.PostForm, want)
	}
	if user, secret, _ := asked.BasicAuth(); user != "service+a" || secret != "a%3Ab+c" { // form-encoded first: RFC 6749 section 2.3.1
		t.Errorf("Basic %q %q", user, secret)
	}
}

func TestASecretGoesIntoTheForm(t *testing.T) {
	tests := []struct {
		name    string
		methods []string
		force   bool
		form    bool
	}{
		{"where nothing else is taken", []string{"client_secret_post"}, false, true},
		{"where the settings say so", nil, true, true},
		{"and not where both are taken", []string{"client_secret_post", "client_secret_basic"}, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDouble(t, usual)
			d.metadata["token_endpoint_auth_methods_supported"] = tt.methods
			cfg := d.config()
			cfg.SecretInForm, cfg.Resource = tt.force, "https://r.example.com"
			if _, err := ClientCredentials(cfg)(t.Context(), start); err != nil {
				t.Fatal(err)
			}
			r := d.requests()[0]
			_, _, basic := r.BasicAuth()
			inForm := r.PostForm.Get("client_id") == "service a" && r.PostForm.Get("client_secret") == "a:b c"
			if basic == tt.form || inForm != tt.form || r.PostForm.Get("resource") != "https://r.example.com" {
				t.Errorf("asked with %v, Basic %v", r.PostForm, basic)
			}
		})
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
			d := newDouble(t, usual)
			d.metadata["token_endpoint_auth_signing_alg_values_supported"] = tt.supported
			cfg := d.config()
			cfg.Secret, cfg.Key, cfg.KeyID = nil, key(tt.key), "k1"
			if _, err := ClientCredentials(cfg)(t.Context(), start); err != nil {
				t.Fatal(err)
			}
			form := d.requests()[0].PostForm
			checkAssertion(t, form.Get("client_assertion"), tt.want, tt.key.Public(), d.URL)
			if form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
				t.Errorf("asked with %v", form)
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
	key, err := token.NewKey("k1", alg, pub)
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

func TestASecretIsReadAnewForEachRenewal(t *testing.T) {
	d := newDouble(t, func(w http.ResponseWriter, r *http.Request) {
		if _, secret, _ := r.BasicAuth(); secret != "new" {
			says(401, `{"error":"invalid_client"}`)(w, r)
			return
		}
		usual(w, r)
	})
	secret := "old"
	cfg := d.config()
	cfg.Secret = func() (string, error) { return secret, nil }
	root := ClientCredentials(cfg)
	if _, err := root(t.Context(), start); !errors.Is(err, fresh.Refused) {
		t.Errorf("with the old secret: %v, want refused", err)
	}
	secret = "new"
	if _, err := root(t.Context(), start); err != nil {
		t.Errorf("with the new one: %v", err)
	}
}

func TestTheMetadataIsReadOnceAndAgainAfterAFailure(t *testing.T) {
	d := newDouble(t, usual)
	root := ClientCredentials(d.config())
	fetch := func() error { _, err := root(t.Context(), start); return err }
	if err := errors.Join(fetch(), fetch(), fetch()); err != nil || d.found != 1 {
		t.Errorf("three renewals: %v, metadata read %d times, want once", err, d.found)
	}
	d.answers(says(404, "<html>"))
	if err := fetch(); !errors.Is(err, fresh.Malformed) {
		t.Errorf("a service that moved: %v, want malformed", err)
	}
	d.answers(usual)
	if err := fetch(); err != nil || d.found != 2 {
		t.Errorf("after the failure: %v, metadata read %d times, want twice", err, d.found)
	}
}

func TestATokenEndpointNeedsNoMetadata(t *testing.T) {
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	d := newDouble(t, usual)
	cfg := d.config()
	cfg.Issuer, cfg.TokenEndpoint, cfg.Secret, cfg.Key, cfg.KeyID = "", d.URL+"/token", nil, key(p256), "k1"
	if _, err := ClientCredentials(cfg)(t.Context(), start); err != nil || d.found != 0 {
		t.Fatalf("%v, metadata read %d times", err, d.found)
	}
	checkAssertion(t, d.requests()[0].PostForm.Get("client_assertion"), token.ES256, p256.Public(), d.URL+"/token")
}

// What services answer, and what it is called.
func TestRefusalsAndBadAnswers(t *testing.T) {
	elsewhere := newDouble(t, usual)
	tests := []struct {
		name   string
		answer http.HandlerFunc
		want   fresh.Reason
		says   string
		wait   time.Duration
	}{
		{"a wrong client", says(401, `{"error":"invalid_client","error_description":"no \u001b[31msuch\nclient"}`), fresh.Refused, "answered 401 invalid_client: no [31msuchclient", 0},
		{"a refusal that repeats the secret", says(400, `{"error":"invalid_client","error_description":"a:b c is wrong"}`), fresh.Refused, "[secret] is wrong", 0},
		{"a refusal that repeats the secret as it was sent", says(400, `{"error":"invalid_client","error_description":"a%3Ab+c, c2VydmljZSthOmElM0FiK2M="}`), fresh.Refused, "[secret], [secret]", 0},
		{"a refusal with 200", says(200, `{"error":"invalid_client","error_description":"no"}`), fresh.Refused, "answered 200 invalid_client: no", 0},
		{"a wrong audience", says(400, `{"error":"invalid_target"}`), fresh.Refused, "invalid_target", 0},
		{"too many", retryAfter(says(429, `{"error":"slow"}`), "7"), fresh.Unavailable, "answered 429", 7 * time.Second},
		{"maintenance", retryAfter(says(503, `down`), "120"), fresh.Unavailable, "answered 503", 2 * time.Minute},
		{"an absurd wait", retryAfter(says(503, ``), "999999999"), fresh.Unavailable, "answered 503", 5 * time.Minute},
		{"an error page", says(502, `<html>`), fresh.Unavailable, "answered 502", 0},
		{"an error in the words of OAuth that is the service's own", says(400, `{"error":"server_error"}`), fresh.Unavailable, "server_error", 0},
		{"a page of another service", says(404, `<html>`), fresh.Malformed, "not as a token service does", 0},
		{"a redirect, which is not followed", http.RedirectHandler(elsewhere.URL+"/token", http.StatusTemporaryRedirect).ServeHTTP, fresh.Malformed, "answered 307", 0},
		{"truncated JSON", says(200, `{"access_token":"ab`), fresh.Malformed, "not the JSON", 0},
		{"no token", says(200, `{}`), fresh.Malformed, "no usable access_token", 0},
		{"a token that breaks a header", says(200, `{"access_token":"a\nb: c"}`), fresh.Malformed, "no usable access_token", 0},
		{"a huge answer", says(200, fmt.Sprintf(`{"access_token":%q}`, strings.Repeat("x", 2<<20))), fresh.Malformed, "more than", 0},
		{"an end that is a word", says(200, `{"access_token":"a","expires_in":"soon"}`), fresh.Malformed, "expires_in", 0},
		{"an end that is not a number", says(200, `{"access_token":"a","expires_in":"NaN"}`), fresh.Malformed, "expires_in", 0},
		{"an end that is a truth", says(200, `{"access_token":"a","expires_in":true}`), fresh.Malformed, "expires_in", 0},
		{"an end at once", says(200, `{"access_token":"a","expires_in":0}`), fresh.Ended, "", 0},
		{"an end in the past", says(200, `{"access_token":"a","expires_in":-5}`), fresh.Ended, "", 0},
		{"an exp in the past", says(200, `{"access_token":"e30.`+b64(`{"exp":1500000000}`)+`.c2ln","expires_in":60}`), fresh.Ended, "", 0},
		{"an absurd end in the past", says(200, `{"access_token":"a","expires_in":-1e300}`), fresh.Ended, "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDouble(t, tt.answer)
			_, err := one(ClientCredentials(d.config())).Get(t.Context())
			var e *fresh.Error
			if !errors.As(err, &e) || !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) || e.RetryAfter != tt.wait {
				t.Errorf("%v, want %s %q, wait %s", err, tt.want, tt.says, tt.wait)
			}
			if err != nil && strings.Contains(err.Error(), "a:b c") {
				t.Error("the error holds the secret")
			}
		})
	}
	if len(elsewhere.requests()) != 0 {
		t.Error("the secret went elsewhere")
	}
}

func retryAfter(h http.HandlerFunc, v string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Retry-After", v); h(w, r) }
}

func TestNoSpellingOfASecretIsShown(t *testing.T) {
	for _, tt := range []struct{ said, want string }{
		{"wrong: pässwörd", "wrong: [secret]"},
		{"wrong: p%C3%A4ssw%C3%B6rd", "wrong: [secret]"},
		{"abc and abcdef", "[secret] and [secret]"},
		{"abc\x00def", "[secret]"},
	} {
		if got := shown(tt.said, []string{"", "pässwörd", "abc", "abcdef"}, 100); got != tt.want {
			t.Errorf("%q is shown as %q, want %q", tt.said, got, tt.want)
		}
	}
}

func TestTheServicesOwnWordsAreTheCause(t *testing.T) {
	d := newDouble(t, says(401, `{"error":"invalid_client","error_description":"no"}`))
	_, err := one(ClientCredentials(d.config())).Get(t.Context())
	var no *Error
	if !errors.As(err, &no) || *no != (Error{401, "invalid_client", "no"}) {
		t.Errorf("%v", err)
	}
}

// How long a token lives that was asked for at start.
func TestEnds(t *testing.T) {
	jwt := func(claims string) string { return "e30." + b64(claims) + ".c2ln" }
	exp := func(at time.Time) string { return jwt(fmt.Sprintf(`{"exp":%d}`, at.Unix())) }
	tests := []struct {
		name string
		body string
		skew time.Duration // of the service's clock
		want time.Duration
	}{
		{"a number", `{"access_token":"a","expires_in":60}`, 0, time.Minute},
		{"a number, whatever the clocks", `{"access_token":"a","expires_in":60}`, time.Hour, time.Minute},
		{"a string", `{"access_token":"a","expires_in":"60"}`, 0, time.Minute},
		{"a fraction", `{"access_token":"a","expires_in":1.5}`, 0, 1500 * time.Millisecond},
		{"a number that is sooner than exp", `{"access_token":"` + exp(start.Add(time.Hour)) + `","expires_in":60}`, 0, time.Minute},
		{"an exp that is sooner than the number", `{"access_token":"` + exp(start.Add(time.Minute)) + `","expires_in":300}`, 0, time.Minute},
		{"an exp that is sooner, by a clock an hour ahead", `{"access_token":"` + exp(start.Add(61*time.Minute)) + `","expires_in":300}`, time.Hour, 59 * time.Second},
		{"an exp that is later, by a clock an hour behind", `{"access_token":"` + exp(start.Add(-50*time.Minute)) + `","expires_in":60}`, -time.Hour, time.Minute},
		{"a number and an exp that stands for none", `{"access_token":"` + jwt(`{"exp":0}`) + `","expires_in":60}`, 0, time.Minute},
		{"a number and an exp before 1970", `{"access_token":"` + jwt(`{"exp":-1}`) + `","expires_in":60}`, 0, time.Minute},
		{"a number and an absurd exp", `{"access_token":"` + jwt(`{"exp":1e300}`) + `","expires_in":60}`, 0, time.Minute},
		{"a number and a broken exp", `{"access_token":"` + jwt(`{"exp":"x"}`) + `","expires_in":60}`, 0, time.Minute},
		{"absurd", `{"access_token":"a","expires_in":1e300}`, 0, 10 * 365 * 24 * time.Hour},
		{"missing", `{"access_token":"a"}`, 0, 5 * time.Minute},
		{"null", `{"access_token":"a","expires_in":null}`, 0, 5 * time.Minute},
		{"an empty string", `{"access_token":"a","expires_in":""}`, 0, 5 * time.Minute},
		{"missing, of a JWT", `{"access_token":"` + exp(start.Add(time.Minute)) + `"}`, 0, time.Minute},
		{"of a JWT whose issuer's clock is an hour ahead", `{"access_token":"` + exp(start.Add(61*time.Minute)) + `"}`, time.Hour, 59 * time.Second},
		{"of a JWT whose issuer's clock is an hour behind", `{"access_token":"` + exp(start.Add(-59*time.Minute)) + `"}`, -time.Hour, 59 * time.Second},
		{"of a JWT without exp", `{"access_token":"` + jwt(`{}`) + `"}`, 0, 5 * time.Minute},
		{"of a JWT with a broken exp", `{"access_token":"` + jwt(`{"exp":"x"}`) + `"}`, 0, 5 * time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDouble(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Date", start.Add(tt.skew).Format(http.TimeFormat))
				says(200, tt.body)(w, r)
			})
			lease, err := one(ClientCredentials(d.config())).Get(t.Context())
			if got := lease.Expires.Sub(start); err != nil || got != tt.want {
				t.Errorf("lives %s, %v, want %s", got, err, tt.want)
			}
		})
	}
}

func TestMetadataThatIsRefused(t *testing.T) {
	tests := []struct {
		name   string
		change func(d *double, cfg *Config)
		want   fresh.Reason
	}{
		{"nobody listens", func(d *double, _ *Config) { d.Close() }, fresh.Unavailable},
		{"none there", func(d *double, _ *Config) { d.path = "/moved" }, fresh.Unavailable},
		{"another issuer's", func(d *double, _ *Config) { d.metadata["issuer"] = "https://other.example.com" }, fresh.Malformed},
		{"an endpoint in the clear", func(d *double, _ *Config) { d.metadata["token_endpoint"] = "http://tokens.example.com/token" }, fresh.Malformed},
		{"an alias in the clear", func(d *double, _ *Config) {
			d.metadata["mtls_endpoint_aliases"] = map[string]string{"token_endpoint": "http://tokens.example.com/token"}
		}, fresh.Malformed},
		{"no endpoint", func(d *double, _ *Config) { d.metadata["token_endpoint"] = "" }, fresh.Malformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDouble(t, usual)
			cfg := d.config()
			tt.change(d, &cfg)
			if _, err := ClientCredentials(cfg)(t.Context(), start); !errors.Is(err, tt.want) || len(d.requests()) != 0 {
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
	if _, err := readMetadata([]byte(`{"issuer":"https://a.example.com","token_endpoint":"https://127.0.0.1/token"}`), "https://a.example.com"); !errors.Is(err, fresh.Malformed) {
		t.Errorf("a stranger's metadata leads to this machine: %v", err)
	}
}

func TestAFetchEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	d := newDouble(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	if _, err := ClientCredentials(d.config())(ctx, start); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
}

func TestCheckNamesEveryFieldThatIsWrong(t *testing.T) {
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	good := Config{Issuer: "https://tokens.example.com", Client: "c", Secret: text("s")}
	tests := []struct {
		name   string
		change func(*Config)
		want   []string // nil: nothing is wrong
	}{
		{"nothing", func(*Config) {}, nil},
		{"loopback in the clear", func(c *Config) { c.Issuer = "http://127.0.0.1:4600" }, nil},
		{"no service", func(c *Config) { c.Issuer = "" }, []string{"issuer or token endpoint"}},
		{"in the clear", func(c *Config) { c.Issuer = "http://tokens.localhost" }, []string{"issuer", "https"}},
		{"a query", func(c *Config) { c.Issuer += "?a=b" }, []string{"query"}},
		{"two proofs", func(c *Config) { c.Key = key(p256) }, []string{"exclude each other"}},
		{"a secret of nobody", func(c *Config) { c.Client = "" }, []string{"client"}},
		{"several", func(c *Config) {
			c.TokenEndpoint, c.Scopes, c.SubjectTokenType = "ftp://a", []string{"a b"}, "passport"
		}, []string{"token endpoint", "scopes", "token type"}},
		{"a certificate and a transport that takes none", func(c *Config) {
			c.Secret, c.HTTP = nil, &http.Client{Transport: http.NewFileTransport(nil)}
			c.Certificate = nobody
		}, []string{"certificate"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := good
			tt.change(&cfg)
			err := cfg.Check()
			if (err == nil) != (tt.want == nil) || err != nil && !errors.Is(err, fresh.Misconfigured) {
				t.Fatalf("Check = %v", err)
			}
			_, fetched := ClientCredentials(cfg)(canceled(t), start)
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) || !strings.Contains(fetched.Error(), w) || !errors.Is(fetched, fresh.Misconfigured) {
					t.Errorf("Check = %v, fetch %v; want %q", err, fetched, w)
				}
			}
		})
	}
	if _, err := ClientCredentials(Config{Issuer: "https://tokens.example.com", Client: "c"})(t.Context(), start); !errors.Is(err, fresh.Misconfigured) {
		t.Errorf("a public client has no credentials: %v", err)
	}
}

func canceled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestASecretThatCannotBeReadIsSaid(t *testing.T) {
	d := newDouble(t, usual)
	p521, _ := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	for name, change := range map[string]func(*Config){
		"the client's secret cannot be read": func(c *Config) { c.Secret = func() (string, error) { return "", io.ErrUnexpectedEOF } },
		"the client's secret is empty":       func(c *Config) { c.Secret = text("") },
		"none of ECDSA P-256":                func(c *Config) { c.Secret, c.Key = nil, key(p521) },
	} {
		cfg := d.config()
		change(&cfg)
		if _, err := ClientCredentials(cfg)(t.Context(), start); !errors.Is(err, fresh.Misconfigured) || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want %q", err, name)
		}
	}
	if len(d.requests()) != 0 {
		t.Error("the service was asked")
	}
}
