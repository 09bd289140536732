package azure

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/ask"
	"github.com/longcase/longcase/internal/clouds"
	"github.com/longcase/longcase/jwks"
	"github.com/longcase/longcase/token"
)

var start = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

const (
	cluster = "https://oidc.cluster.example.com"
	subject = "system:serviceaccount:shop:orders"
	vault   = "https://vault.azure.net"
)

// clock is the time of a test, of its doubles and its layers.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time       { return start.Add(time.Duration(c.ahead.Load())) }
func (c *clock) pass(d time.Duration) { c.ahead.Add(int64(d)) }
func (c *clock) instant() token.Instant {
	return token.Instant{Wall: c.now(), Mono: time.Duration(c.ahead.Load())}
}
func (c *clock) policy(name string) fresh.Policy {
	return fresh.Policy{Name: name, Now: c.instant, Rand: func() float64 { return 0 }}
}

// cloud is Azure's double with a cluster whose JWTs it trusts.
type cloud struct {
	clock
	*clouds.Azure
	url    string
	signer token.Signer
	jwts   atomic.Int64 // how many were handed out
	claims func() map[string]any
}

func newCloud(t *testing.T, change func(*clouds.AzureConfig)) *cloud {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := token.NewSigner("k1", token.ES256, key)
	if err != nil {
		t.Fatal(err)
	}
	c := &cloud{signer: signer}
	cfg := clouds.AzureConfig{
		Now: c.now, Tenant: "tenant", Identities: []string{"id-1", "id-2"}, Header: "identity header",
		Applications: []clouds.AzureApplication{{ClientID: "orders", Issuer: cluster, Subject: subject, Keys: jwks.FromKeys(signer.Key())}},
	}
	if change != nil {
		change(&cfg)
	}
	c.Azure = clouds.NewAzure(cfg)
	c.claims = func() map[string]any {
		return map[string]any{"iss": cluster, "sub": subject, "aud": "api://AzureADTokenExchange",
			"nbf": c.now().Unix(), "exp": c.now().Add(10 * time.Minute).Unix()}
	}
	s := httptest.NewServer(c)
	t.Cleanup(s.Close)
	c.url = s.URL
	return c
}

// jwt is the cluster's file: each reading signs a new one.
func (c *cloud) jwt(t *testing.T) *fresh.Layer[fresh.Token] {
	return fresh.New(func(_ context.Context, _ time.Time) (fresh.Credential[fresh.Token], error) {
		c.jwts.Add(1)
		return fresh.Credential[fresh.Token]{Value: fresh.Token{Value: c.sign(t, c.claims())}, Life: 10 * time.Minute}, nil
	}, c.policy("pod"))
}

func (c *cloud) sign(t *testing.T, claims map[string]any) string {
	body, err := json.Marshal(claims)
	if err != nil {
		t.Error(err)
	}
	raw, err := c.signer.Sign("JWT", body)
	if err != nil {
		t.Error(err)
	}
	return raw
}

func (c *cloud) workload() WorkloadConfig {
	return WorkloadConfig{Authority: c.url, Tenant: "tenant", ClientID: "orders", Scope: vault + "/.default"}
}

// call uses a token at the double's API.
func (c *cloud) call(t *testing.T, value string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.url+"/api/secrets?resource="+vault, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+value)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

func TestManagedIdentitiesGetTokensThatWork(t *testing.T) {
	c := newCloud(t, func(cfg *clouds.AzureConfig) { cfg.Cache = true })
	app := AppServiceConfig{Endpoint: c.url + "/msi/token", Header: "identity header", Resource: vault}
	other := app
	other.ClientID = "id-2"
	roots := map[string]fresh.Root[fresh.Token]{
		"the metadata service":            IMDS(IMDSConfig{Endpoint: c.url, Resource: vault}),
		"the metadata service, by client": IMDS(IMDSConfig{Endpoint: c.url + "/", Resource: vault, ClientID: "id-2"}),
		"App Service":                     AppService(app),
		"App Service, by client":          AppService(other),
	}
	for name, root := range roots {
		t.Run(name, func(t *testing.T) {
			layer := fresh.New(root, c.policy("azure"))
			for range 10 { // a service that hands out one token again, and a day that passes
				lease, err := layer.Get(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if status := c.call(t, lease.Value.Value); status != http.StatusOK || lease.Value.Scope != vault+"/.default" {
					t.Errorf("the API answered %d to a token for %q", status, lease.Value.Scope)
				}
				if left := lease.Expires.Sub(c.now()); left <= 0 || left > time.Hour {
					t.Errorf("the lease ends in %s", left)
				}
				c.pass(40 * time.Minute)
			}
		})
	}
}

func TestARevokedTokenHeals(t *testing.T) {
	c := newCloud(t, nil)
	layer := fresh.New(IMDS(IMDSConfig{Endpoint: c.url, Resource: vault}), c.policy("azure"))
	lease, err := layer.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.RevokeAll()
	if c.call(t, lease.Value.Value) != http.StatusUnauthorized || !layer.Invalidate(lease) {
		t.Fatal("the token still works")
	}
	if lease, err = layer.Get(t.Context()); err != nil || c.call(t, lease.Value.Value) != http.StatusOK {
		t.Errorf("Get = %v after the refusal", err)
	}
}

func TestWorkloadIdentityRenewsItsJWT(t *testing.T) {
	c := newCloud(t, nil)
	layer := fresh.From(c.jwt(t), WorkloadIdentity(c.workload()), c.policy("vault"))
	for range 20 {
		lease, err := layer.Get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if status := c.call(t, lease.Value.Value); status != http.StatusOK {
			t.Errorf("the API answered %d", status)
		}
		c.pass(61 * time.Minute)
	}
	if entra, jwts := c.Calls("entra"), c.jwts.Load(); entra != 20 || jwts != 20 {
		t.Errorf("%d calls of Entra with %d JWTs, want 20 with 20", entra, jwts)
	}
}

func TestARefusedJWTIsReadAnewOnce(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(claims map[string]any)
		code  int
	}{
		{"an ended JWT", func(m map[string]any) { m["exp"] = start.Unix(); m["nbf"] = start.Add(-time.Hour).Unix() }, 700024},
		{"a JWT of tomorrow", func(m map[string]any) { m["nbf"] = start.Add(time.Hour).Unix() }, 700024},
	}
	for _, tt := range tests {
		for _, cured := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, cured %t", tt.name, cured), func(t *testing.T) {
				c := newCloud(t, nil)
				good := c.claims
				c.claims = func() map[string]any {
					m := good()
					if c.jwts.Load() == 1 || !cured {
						tt.spoil(m)
					}
					return m
				}
				layer := fresh.From(c.jwt(t), WorkloadIdentity(c.workload()), c.policy("vault"))
				_, err := layer.Get(t.Context())
				if cured != (err == nil) {
					t.Errorf("Get = %v", err)
				}
				if !cured && (!errors.Is(err, fresh.Refused) || !strings.Contains(err.Error(), "Microsoft Entra answered 40") || !strings.Contains(err.Error(), fmt.Sprintf("AADSTS%d", tt.code))) {
					t.Errorf("Get = %v, want Refused with AADSTS%d", err, tt.code)
				}
				if entra, jwts := c.Calls("entra"), c.jwts.Load(); entra != 2 || jwts != 2 {
					t.Errorf("%d calls of Entra with %d JWTs, want 2 with 2", entra, jwts)
				}
			})
		}
	}
}

func TestWhatIsNotTheJWTsFaultDoesNotReadItAnew(t *testing.T) {
	claim := func(name, value string) func(*cloud, *WorkloadConfig) {
		return func(c *cloud, _ *WorkloadConfig) {
			good := c.claims
			c.claims = func() map[string]any {
				m := good()
				m[name] = value
				return m
			}
		}
	}
	tests := []struct {
		name   string
		change func(c *cloud, w *WorkloadConfig)
		want   fresh.Reason
		says   string
	}{
		{"another issuer", claim("iss", "https://other.example.com"), fresh.Refused, "AADSTS700211"},
		{"another audience", claim("aud", "https://other.example.com"), fresh.Refused, "AADSTS700212"},
		{"another subject", claim("sub", "system:serviceaccount:shop:payments"), fresh.Refused, "AADSTS700213"},
		{"an unknown client", func(_ *cloud, w *WorkloadConfig) { w.ClientID = "payments" }, fresh.Refused, "AADSTS700016"},
		{"an unknown tenant", func(_ *cloud, w *WorkloadConfig) { w.Tenant = "other" }, fresh.Refused, "AADSTS90002"},
		{"too many requests", func(c *cloud, _ *WorkloadConfig) { c.Fail("entra", 1, 429, 17*time.Second) }, fresh.Unavailable, "429"},
		{"an outage", func(c *cloud, _ *WorkloadConfig) { c.Fail("entra", 1, 503, 0) }, fresh.Unavailable, "503"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newCloud(t, nil)
			w := c.workload()
			tt.change(c, &w)
			_, err := fresh.From(c.jwt(t), WorkloadIdentity(w), c.policy("vault")).Get(t.Context())
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "Trace ID") {
				t.Errorf("Get = %v, want %v with %q", err, tt.want, tt.says)
			}
			if entra, jwts := c.Calls("entra"), c.jwts.Load(); entra != 1 || jwts != 1 {
				t.Errorf("%d calls of Entra with %d JWTs, want 1 with 1", entra, jwts)
			}
			var e *fresh.Error
			if tt.says == "429" && (!errors.As(err, &e) || e.RetryAfter != 17*time.Second) {
				t.Errorf("the wish to wait 17 s is lost: %#v", e)
			}
		})
	}
}

// answers is a service that says one thing.
func answers(t *testing.T, status int, body string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", start.Format(http.TimeFormat))
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestWhatServicesAnswer(t *testing.T) {
	unsigned := base64.RawURLEncoding.EncodeToString
	until := func(exp string) string {
		return unsigned([]byte(`{"alg":"RS256"}`)) + "." + unsigned([]byte(`{"exp":`+exp+`}`)) + ".AAAA"
	}
	jwt := until("1900000000")
	ok := func(rest string) string { return `{"access_token":"abc","token_type":"Bearer"` + rest + `}` }
	tests := []struct {
		name   string
		status int
		body   string
		ends   time.Time
		life   time.Duration
		want   error
	}{
		{"numbers", 200, ok(`,"expires_in":3600`), time.Time{}, time.Hour, nil},
		{"strings", 200, ok(`,"expires_in":"3600","expires_on":"1900000000"`), time.Unix(1900000000, 0), time.Hour, nil},
		{"fractions", 200, ok(`,"expires_in":"0.5"`), time.Time{}, 500 * time.Millisecond, nil},
		{"no life at all is left to the layer", 200, ok(`,"expires_in":0`), time.Time{}, -1, nil},
		{"a negative life too", 200, ok(`,"expires_in":"-5"`), time.Time{}, -5 * time.Second, nil},
		{"an absurd life is a century", 200, ok(`,"expires_in":999999999999999999`), time.Time{}, 100 * 365 * 24 * time.Hour, nil},
		{"no end: five minutes", 200, ok(``), time.Time{}, 5 * time.Minute, nil},
		{"an empty end: five minutes", 200, ok(`,"expires_in":"","expires_on":null`), time.Time{}, 5 * time.Minute, nil},
		{"no end: the JWT's own", 200, strings.Replace(ok(``), "abc", jwt, 1), time.Unix(1900000000, 0), 0, nil},
		{"the JWT's own end beside a life", 200, strings.Replace(ok(`,"expires_in":3600`), "abc", jwt, 1), time.Unix(1900000000, 0), time.Hour, nil},
		{"the JWT's own end before another", 200, strings.Replace(ok(`,"expires_on":1900000001`), "abc", jwt, 1), time.Unix(1900000000, 0), 0, nil},
		{"the JWT's own end after another", 200, strings.Replace(ok(`,"expires_on":1899999999`), "abc", jwt, 1), time.Unix(1899999999, 0), 0, nil},
		{"a JWT's end that stands for none", 200, strings.Replace(ok(`,"expires_in":3600`), "abc", until("0"), 1), time.Time{}, time.Hour, nil},
		{"a JWT's absurd end", 200, strings.Replace(ok(`,"expires_in":3600`), "abc", until("1e300"), 1), time.Time{}, time.Hour, nil},
		{"an end that is no number", 200, ok(`,"expires_in":"soon"`), time.Time{}, 0, fresh.Malformed},
		{"an end that is infinite", 200, ok(`,"expires_on":"Inf"`), time.Time{}, 0, fresh.Malformed},
		{"no token", 200, `{"token_type":"Bearer","expires_in":3600}`, time.Time{}, 0, fresh.Malformed},
		{"a token with a line feed", 200, `{"access_token":"a\nb","token_type":"Bearer"}`, time.Time{}, 0, fresh.Malformed},
		{"a token that is not Bearer", 200, `{"access_token":"abc","token_type":"pop","expires_in":3600}`, time.Time{}, 0, fresh.Malformed},
		{"truncated", 200, `{"access_token":"abc","tok`, time.Time{}, 0, fresh.Malformed},
		{"a page", 200, `<html>`, time.Time{}, 0, fresh.Malformed},
		{"a redirect", 302, ``, time.Time{}, 0, fresh.Refused},
		{"a refusal", 400, `{"error":"invalid_request","error_description":"Identity not found"}`, time.Time{}, 0, fresh.Refused},
		{"an update", 410, ``, time.Time{}, 0, fresh.Unavailable},
		{"another update", 404, ``, time.Time{}, 0, fresh.Unavailable},
		{"an outage", 500, `{"error":"unknown"}`, time.Time{}, 0, fresh.Unavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := IMDS(IMDSConfig{Endpoint: answers(t, tt.status, tt.body), Resource: vault})(t.Context(), start)
			if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Fatalf("IMDS = %v, want %v", err, tt.want)
			}
			if err != nil && (!strings.HasPrefix(err.Error(), "the Azure metadata service ") || strings.Contains(err.Error(), "abc")) {
				t.Errorf("%q does not name the service, or quotes it", err)
			}
			if err == nil && (!got.Expires.Equal(tt.ends) || got.Life != tt.life || !got.Date.Equal(start)) {
				t.Errorf("IMDS ends %s, lives %s, at %s", got.Expires, got.Life, got.Date)
			}
		})
	}
}

func TestNoRefusalRepeatsASecret(t *testing.T) {
	url := answers(t, 401, `{"error":"invalid_client","error_description":"what is secret-token, or secret-header?"}`)
	_, entra := WorkloadIdentity(WorkloadConfig{Authority: url, Tenant: "t", ClientID: "c", Scope: vault + "/.default"})(t.Context(),
		fresh.Lease[fresh.Token]{Value: fresh.Token{Value: "secret-token"}}, start)
	_, service := AppService(AppServiceConfig{Endpoint: url, Header: "secret-header", Resource: vault})(t.Context(), start)
	for secret, err := range map[string]error{"secret-token": entra, "secret-header": service} {
		if !errors.Is(err, fresh.Refused) || strings.Contains(err.Error(), secret) {
			t.Errorf("%v, and %s was sent", err, secret)
		}
	}
}

// What a redirect of a client's own would repeat: the JWT, or the header.
func TestNothingFollowsARedirect(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a credential went elsewhere") }))
	defer elsewhere.Close()
	s := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer s.Close()
	_, entra := WorkloadIdentity(WorkloadConfig{Authority: s.URL, Tenant: "t", ClientID: "c", Scope: vault + "/.default", HTTP: s.Client()})(t.Context(),
		fresh.Lease[fresh.Token]{Value: fresh.Token{Value: "secret-token"}}, start)
	_, service := AppService(AppServiceConfig{Endpoint: s.URL, Header: "secret-header", Resource: vault, HTTP: s.Client()})(t.Context(), start)
	for name, err := range map[string]error{"Entra": entra, "App Service": service} {
		if !errors.Is(err, fresh.Refused) || !strings.Contains(err.Error(), "307") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSettingsDoNotPrintTheirSecrets(t *testing.T) {
	for _, v := range []any{AppServiceConfig{Header: "SECRET"}, &AppServiceConfig{Header: "SECRET"}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
			if text := fmt.Sprintf(verb, v); strings.Contains(text, "SECRET") || strings.Contains(text, "534543") || strings.Contains(text, "0x53, 0x45") || strings.Contains(text, "[83 69") {
				t.Errorf("%s of %T is %s", verb, v, text)
			}
		}
		if text, err := json.Marshal(v); err != nil || strings.Contains(string(text), "SECRET") || strings.Contains(string(text), "U0VDUkVU") {
			t.Errorf("%T in JSON is %s, %v", v, text, err)
		}
	}
}

func TestSettingsThatCannotWork(t *testing.T) {
	tests := []struct {
		name string
		err  error
		says string
	}{
		{"IMDS in the clear", IMDSConfig{Endpoint: "http://10.0.0.1", Resource: vault}.Check(), "is not https"},
		{"IMDS without a resource", IMDSConfig{}.Check(), "resource is required"},
		{"two names of one identity", IMDSConfig{Resource: vault, ClientID: "a", ObjectID: "b"}.Check(), "give one"},
		{"App Service in the clear", AppServiceConfig{Endpoint: "http://169.255.1.1/msi", Header: "h", Resource: vault}.Check(), "is not https"},
		{"App Service without its secret", AppServiceConfig{Endpoint: "http://169.254.129.2:8081/msi/token", Resource: vault}.Check(), "identity header"},
		{"Entra in the clear", WorkloadConfig{Authority: "http://login.example.com", Tenant: "t", ClientID: "c", Scope: vault + "/.default"}.Check(), "is not https"},
		{"a tenant that is a path", WorkloadConfig{Tenant: "a/../b", ClientID: "c", Scope: vault + "/.default"}.Check(), "tenant"},
		{"everybody's tenant", WorkloadConfig{Tenant: "common", ClientID: "c", Scope: vault + "/.default"}.Check(), "one tenant of its own"},
		{"two scopes", WorkloadConfig{Tenant: "t", ClientID: "c", Scope: vault + " https://graph.microsoft.com/.default"}.Check(), "one resource"},
		{"no client", WorkloadConfig{Tenant: "t", Scope: vault + "/.default"}.Check(), "client id is required"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if !errors.Is(tt.err, fresh.Misconfigured) || !strings.Contains(tt.err.Error(), tt.says) {
				t.Errorf("Check = %v, want Misconfigured with %q", tt.err, tt.says)
			}
		})
	}
	for name, err := range map[string]error{
		"the real metadata service": IMDSConfig{Endpoint: "http://169.254.169.254", Resource: vault}.Check(),
		"App Service":               AppServiceConfig{Endpoint: "http://169.254.129.2:8081/msi/token", Header: "h", Resource: vault}.Check(),
		"Entra":                     WorkloadConfig{Tenant: "contoso.onmicrosoft.com", ClientID: "c", Scope: vault + "/.default"}.Check(),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := IMDS(IMDSConfig{})(t.Context(), start); !errors.Is(err, fresh.Misconfigured) {
		t.Errorf("a fetch with bad settings: %v", err)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"access_token":"abc","token_type":"Bearer","expires_in":"3599","expires_on":1900000000.5}`))
	f.Add([]byte(`{"access_token":"abc","token_type":"bearer","expires_in":-0.0}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := credential(ask.Answer{Status: 200, Body: body}, "the service", vault)
		if err == nil && (got.Value.Value == "" || got.Expires.IsZero() && got.Life == 0) {
			t.Errorf("%q gives a token %q without an end", body, got.Value.Value)
		}
		_ = readRefusal(ask.Answer{Status: 200, Body: body}).ofAssertion()
	})
}
