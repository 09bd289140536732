package azure

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"github.com/longcase/longcase/fresh"
)

func scopes(s ...string) policy.TokenRequestOptions { return policy.TokenRequestOptions{Scopes: s} }

func TestACredentialServesItsOwnResourceOnly(t *testing.T) {
	c := newCloud(t, nil)
	cred := Credential(fresh.New(IMDS(IMDSConfig{Endpoint: c.url, Resource: vault}), c.policy("azure")))
	tests := []struct {
		name  string
		scope string
		want  error
	}{
		{"its own", vault + "/.default", nil},
		{"spelled with two slashes", vault + "//.default", nil},
		{"in capitals", "https://VAULT.azure.net/.default", nil},
		{"another resource's", "https://graph.microsoft.com/.default", fresh.Misconfigured},
		{"a longer name", "https://vault.azure.net.example.com/.default", fresh.Misconfigured},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := cred.GetToken(t.Context(), scopes(tt.scope))
			if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Fatalf("GetToken = %v, want %v", err, tt.want)
			}
			if err == nil && (c.call(t, got.Token) != http.StatusOK || !got.ExpiresOn.Equal(start.Add(time.Hour))) {
				t.Errorf("GetToken gives a token that ends %s", got.ExpiresOn)
			}
			if err != nil && (!strings.Contains(err.Error(), vault) || !strings.Contains(err.Error(), tt.scope)) {
				t.Errorf("%q does not name both", err)
			}
		})
	}
	if n := c.Calls("imds"); n != 1 {
		t.Errorf("%d calls of the metadata service, want 1", n)
	}
}

func TestAClaimsChallengeRenewsOnce(t *testing.T) {
	c := newCloud(t, nil)
	cred := Credential(fresh.New(IMDS(IMDSConfig{Endpoint: c.url, Resource: vault}), c.policy("azure")))
	get := func(claims string) string {
		t.Helper()
		want := scopes(vault + "/.default")
		want.Claims = claims
		got, err := cred.GetToken(t.Context(), want)
		if err != nil {
			t.Fatal(err)
		}
		return got.Token
	}
	first := get("")
	challenged := get(`{"access_token":{"nbf":{"essential":true,"value":"1"}}}`)
	c.pass(10 * time.Minute) // a layer does not renew as often as it is refused
	again := get(`{"access_token":{"nbf":{"essential":true,"value":"1"}}}`)
	next := get(`{"access_token":{"nbf":{"essential":true,"value":"2"}}}`)
	if first == challenged || challenged != again || again == next {
		t.Errorf("renewed by the first challenge: %t, by its repetition: %t, by another: %t", first != challenged, challenged != again, again != next)
	}
	if n := c.Calls("imds"); n != 3 {
		t.Errorf("%d calls of the metadata service, want 3", n)
	}
}

// client is a pipeline as every Azure SDK client builds it.
func client(layer *fresh.Layer[fresh.Token], transport policy.Transporter) runtime.Pipeline {
	auth := runtime.NewBearerTokenPolicy(Credential(layer), []string{vault + "/.default"},
		&policy.BearerTokenOptions{InsecureAllowCredentialWithHTTP: true})
	return runtime.NewPipeline("test", "v1", runtime.PipelineOptions{PerRetry: []policy.Policy{auth}},
		&policy.ClientOptions{PerRetryPolicies: []policy.Policy{Policy(layer)}, Transport: transport})
}

func send(t *testing.T, p runtime.Pipeline, url, body string) (status int) {
	t.Helper()
	req, err := runtime.NewRequest(t.Context(), http.MethodPost, url)
	if err != nil {
		t.Fatal(err)
	}
	if err := req.SetBody(seekable{strings.NewReader(body)}, "text/plain"); err != nil {
		t.Fatal(err)
	}
	resp, err := p.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

type seekable struct{ *strings.Reader }

func (seekable) Close() error { return nil }

func TestAnSDKClientNeverSeesARevocation(t *testing.T) {
	c := newCloud(t, nil)
	var bodies []string
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies = append(bodies, string(body))
		r.Body = io.NopCloser(bytes.NewReader(nil))
		c.ServeHTTP(w, r)
	}))
	t.Cleanup(api.Close)
	layer := fresh.New(IMDS(IMDSConfig{Endpoint: c.url, Resource: vault}), c.policy("azure"))
	p := client(layer, http.DefaultClient)
	for i := range 5 {
		if status := send(t, p, api.URL+"/api/secrets?resource="+vault, "order"); status != http.StatusOK {
			t.Errorf("call %d: %d", i, status)
		}
		if i == 2 {
			c.RevokeAll()
		}
	}
	if imds, calls := c.Calls("imds"), c.Calls("api"); imds != 2 || calls != 6 {
		t.Errorf("%d tokens and %d calls, want 2 and 6", imds, calls)
	}
	for _, b := range bodies {
		if b != "order" {
			t.Errorf("a body is %q", b)
		}
	}
}

func TestARefusalThatNothingCuresIsRepeatedOnce(t *testing.T) {
	c := newCloud(t, nil)
	layer := fresh.New(IMDS(IMDSConfig{Endpoint: c.url, Resource: vault}), c.policy("azure"))
	if status := send(t, client(layer, http.DefaultClient), c.url+"/api/secrets?resource=https://other.example.com", "order"); status != http.StatusUnauthorized {
		t.Errorf("status %d, want 401", status)
	}
	if imds, calls := c.Calls("imds"), c.Calls("api"); imds != 2 || calls != 2 {
		t.Errorf("%d tokens and %d calls, want 2 and 2", imds, calls)
	}
}

func TestPolicyLeavesRequestsWithoutATokenAlone(t *testing.T) {
	c := newCloud(t, nil)
	layer := fresh.New(IMDS(IMDSConfig{Endpoint: c.url, Resource: vault}), c.policy("azure"))
	p := runtime.NewPipeline("test", "v1", runtime.PipelineOptions{}, &policy.ClientOptions{PerRetryPolicies: []policy.Policy{Policy(layer)}})
	if status := send(t, p, c.url+"/api/secrets?resource="+vault, ""); status != http.StatusUnauthorized || c.Calls("imds") != 0 {
		t.Errorf("status %d after %d tokens", status, c.Calls("imds"))
	}
}

func TestALayerThatFailsIsNotTriedAgainByTheSDK(t *testing.T) {
	c := newCloud(t, nil)
	c.Fail("imds", 100, http.StatusServiceUnavailable, 0)
	layer := fresh.New(IMDS(IMDSConfig{Endpoint: c.url, Resource: vault}), c.policy("azure"))
	_, err := Credential(layer).GetToken(context.Background(), scopes(vault+"/.default"))
	if !errors.Is(err, fresh.Unavailable) || c.Calls("imds") != 1 {
		t.Errorf("GetToken = %v after %d calls", err, c.Calls("imds"))
	}
}

// continuous makes the double's 401s claims challenges, as services with
// Continuous Access Evaluation do.
func continuous(t *testing.T, c *cloud) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		c.ServeHTTP(rec, r)
		if rec.Code == http.StatusUnauthorized {
			claims := base64.StdEncoding.EncodeToString([]byte(`{"access_token":{"nbf":{"essential":true,"value":"` + strconv.FormatInt(c.now().Unix(), 10) + `"}}}`))
			w.Header().Set("WWW-Authenticate", `Bearer realm="", error="insufficient_claims", claims="`+claims+`"`)
		}
		w.WriteHeader(rec.Code)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/api/secrets?resource=" + vault
}

func TestAChallengeIsAboutTheLeaseThatWasSent(t *testing.T) {
	c := newCloud(t, nil)
	c.pass(100 * 365 * 24 * time.Hour) // the SDK's clock is the real one: its copy of a token lives
	url := continuous(t, c)
	layer := fresh.New(IMDS(IMDSConfig{Endpoint: c.url, Resource: vault}), c.policy("azure"))
	p := client(layer, http.DefaultClient)
	first, err := layer.Get(t.Context())
	if err != nil || send(t, p, url, "order") != http.StatusOK {
		t.Fatalf("the first call fails: %v", err)
	}
	layer.Invalidate(first) // by someone else: the SDK's copy is behind
	if status := send(t, p, url, "order"); status != http.StatusOK {
		t.Errorf("the second call: %d", status)
	}
	c.pass(10 * time.Minute)
	c.RevokeAll()
	if status := send(t, p, url, "order"); status != http.StatusOK {
		t.Errorf("the challenged call: %d", status)
	}
	if imds, calls := c.Calls("imds"), c.Calls("api"); imds != 3 || calls != 4 {
		t.Errorf("%d tokens and %d calls, want 3 and 4", imds, calls)
	}
}

func TestAnErrorOfTheLayerIsNotRetriedByTheSDK(t *testing.T) {
	c := newCloud(t, nil)
	c.pass(100 * 365 * 24 * time.Hour)
	layer := fresh.New(IMDS(IMDSConfig{Endpoint: c.url, Resource: vault}), c.policy("azure"))
	p := client(layer, http.DefaultClient)
	if status := send(t, p, c.url+"/api/secrets?resource="+vault, "order"); status != http.StatusOK {
		t.Fatalf("the first call: %d", status)
	}
	lease, err := layer.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.Fail("imds", 100, http.StatusBadRequest, 0)
	layer.Invalidate(lease)
	attempts := 0
	p = runtime.NewPipeline("test", "v1", runtime.PipelineOptions{}, &policy.ClientOptions{PerRetryPolicies: []policy.Policy{
		each(func(r *http.Request) { attempts++; r.Header.Set("Authorization", "Bearer old") }), Policy(layer)}})
	req, err := runtime.NewRequest(t.Context(), http.MethodGet, c.url+"/api/secrets?resource="+vault)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := p.Do(req)
	if err == nil {
		_ = resp.Body.Close()
	}
	if !errors.Is(err, fresh.Refused) || c.Calls("api") != 1 || attempts != 1 {
		t.Errorf("Do = %v after %d attempts and %d calls of the API", err, attempts, c.Calls("api"))
	}
}

// each sees every attempt.
type each func(*http.Request)

func (e each) Do(req *policy.Request) (*http.Response, error) {
	e(req.Raw())
	return req.Next()
}
