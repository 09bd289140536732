package clouds

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/longcase/longcase/jwks"
	"github.com/longcase/longcase/token"
)

var azureStart = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

const azureVault = "https://vault.azure.net"

// azureDouble is a double at a time that a test sets, and who signs for it.
func azureDouble(t *testing.T, now *time.Time) (*Azure, token.Signer) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := token.NewSigner("k1", token.EdDSA, key)
	if err != nil {
		t.Fatal(err)
	}
	return NewAzure(AzureConfig{Now: func() time.Time { return *now }, Tenant: "tenant", Identities: []string{"id-1"}, Header: "secret",
		Applications: []AzureApplication{{ClientID: "orders", Issuer: "https://cluster", Subject: "pod", Keys: jwks.FromKeys(signer.Key())}}}), signer
}

func azureAsk(a *Azure, method, target string, header map[string]string, body string) (int, map[string]any) {
	r := httptest.NewRequest(method, "http://double"+target, strings.NewReader(body))
	for k, v := range header {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	var answer map[string]any
	_ = json.Unmarshal(w.Body.Bytes(), &answer)
	return w.Code, answer
}

func TestAzureManagedEndpointsAreStrict(t *testing.T) {
	now := azureStart
	a, _ := azureDouble(t, &now)
	const imds, app = "/metadata/identity/oauth2/token?api-version=2018-02-01", "/msi/token?api-version=2019-08-01"
	metadata, secret := map[string]string{"Metadata": "true"}, map[string]string{"X-Identity-Header": "secret"}
	resource := "&resource=" + url.QueryEscape(azureVault)
	tests := []struct {
		name, method, target string
		header               map[string]string
		want                 int
	}{
		{"IMDS", "GET", imds + resource, metadata, 200},
		{"IMDS, an identity by name", "GET", imds + resource + "&client_id=id-1", metadata, 200},
		{"IMDS without its header", "GET", imds + resource, nil, 400},
		{"IMDS through a proxy", "GET", imds + resource, map[string]string{"Metadata": "true", "X-Forwarded-For": "10.0.0.1"}, 400},
		{"IMDS by POST", "POST", imds + resource, metadata, 405},
		{"IMDS without a version", "GET", "/metadata/identity/oauth2/token?" + resource, metadata, 400},
		{"IMDS without a resource", "GET", imds, metadata, 400},
		{"IMDS, another identity", "GET", imds + resource + "&client_id=id-2", metadata, 400},
		{"IMDS, an identity by its object id", "GET", imds + resource + "&object_id=id-1", metadata, 200},
		{"IMDS, another object", "GET", imds + resource + "&object_id=id-2", metadata, 400},
		{"IMDS, another resource id", "GET", imds + resource + "&msi_res_id=id-2", metadata, 400},
		{"App Service", "GET", app + resource, secret, 200},
		{"App Service without its secret", "GET", app + resource, nil, 401},
		{"App Service with another", "GET", app + resource, map[string]string{"X-Identity-Header": "other"}, 401},
		{"App Service of another version", "GET", "/msi/token?api-version=2017-09-01" + resource, secret, 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, answer := azureAsk(a, tt.method, tt.target, tt.header, "")
			if status != tt.want || (status == 200) != (answer["access_token"] != nil) {
				t.Errorf("status %d, %v; want %d", status, answer, tt.want)
			}
			if status == 200 && answer["expires_on"] != fmt.Sprint(azureStart.Add(time.Hour).Unix()) {
				t.Errorf("expires_on is %v", answer["expires_on"])
			}
		})
	}
}

func TestAzureEntraJudgesTheJWT(t *testing.T) {
	good := map[string]any{"iss": "https://cluster", "sub": "pod", "aud": azureExchange,
		"nbf": azureStart.Unix(), "exp": azureStart.Add(time.Minute).Unix()}
	tests := []struct {
		name   string
		claims map[string]any // that differ
		form   url.Values     // that differs
		at     time.Duration
		want   string // AADSTS, empty: a token
	}{
		{"a good one", nil, nil, 0, ""},
		{"its last instant", nil, nil, time.Minute - 1, ""},
		{"its end", nil, nil, time.Minute, "AADSTS700024"},
		{"before it begins", nil, nil, -1, "AADSTS700024"},
		{"without an end", map[string]any{"exp": nil}, nil, 0, "AADSTS700024"},
		{"another issuer", map[string]any{"iss": "https://other"}, nil, 0, "AADSTS700211"},
		{"another audience", map[string]any{"aud": "https://other"}, nil, 0, "AADSTS700212"},
		{"two audiences", map[string]any{"aud": []string{azureExchange, "https://other"}}, nil, 0, "AADSTS700212"},
		{"another subject", map[string]any{"sub": "other"}, nil, 0, "AADSTS700213"},
		{"another key", map[string]any{"forged": true}, nil, 0, "AADSTS700027"},
		{"no JWT", nil, url.Values{"client_assertion": {"abc"}}, 0, "AADSTS50027"},
		{"a secret", nil, url.Values{"client_assertion_type": {""}}, 0, "AADSTS7000216"},
		{"another client", nil, url.Values{"client_id": {"other"}}, 0, "AADSTS700016"},
		{"another grant", nil, url.Values{"grant_type": {"password"}}, 0, "AADSTS70003"},
		{"a scope without default", nil, url.Values{"scope": {azureVault + "/read"}}, 0, "AADSTS70011"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			now := azureStart.Add(tt.at)
			a, signer := azureDouble(t, &now)
			if tt.claims["forged"] != nil {
				_, signer = azureDouble(t, &now)
			}
			form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"orders"}, "scope": {azureVault + "/.default"},
				"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
				"client_assertion":      {azureJWT(t, signer, good, tt.claims)}}
			for k, v := range tt.form {
				form[k] = v
			}
			status, answer := azureAsk(a, "POST", "/tenant/oauth2/v2.0/token",
				map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, form.Encode())
			said, _ := answer["error_description"].(string)
			if (status == 200) != (tt.want == "") || !strings.HasPrefix(said, tt.want) {
				t.Errorf("status %d, %v; want %q", status, answer, tt.want)
			}
		})
	}
}

func azureJWT(t *testing.T, signer token.Signer, good, other map[string]any) string {
	t.Helper()
	claims := map[string]any{}
	for _, m := range []map[string]any{good, other} {
		for k, v := range m {
			claims[k] = v
			if v == nil {
				delete(claims, k)
			}
		}
	}
	body, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := signer.Sign("JWT", body)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestAzureAPITakesLiveTokensOfItsResource(t *testing.T) {
	now := azureStart
	a, _ := azureDouble(t, &now)
	status := func(value, resource string) int {
		s, _ := azureAsk(a, "GET", "/api/secrets?resource="+url.QueryEscape(resource), map[string]string{"Authorization": "Bearer " + value}, "")
		return s
	}
	first, _ := a.issue("id-1", azureVault)
	second, _ := a.issue("id-1", azureVault+"/.default")
	if status(first, azureVault) != 200 || status(second, azureVault) != 200 {
		t.Error("a live token is refused")
	}
	if status(first, "https://graph.microsoft.com") != 401 || status("", azureVault) != 401 {
		t.Error("another resource's token, or none, is taken")
	}
	if !a.Revoke(first) || a.Revoke(first) || status(first, azureVault) != 401 || status(second, azureVault) != 200 {
		t.Error("Revoke ends not exactly one token")
	}
	if now = azureStart.Add(time.Hour); status(second, azureVault) != 401 {
		t.Error("an ended token is taken")
	}
}

func TestAzureFailsAsOftenAsItIsTold(t *testing.T) {
	now := azureStart
	a, _ := azureDouble(t, &now)
	a.Fail("imds", 2, http.StatusTooManyRequests, 17*time.Second)
	var got []string
	for range 3 {
		w := httptest.NewRecorder()
		a.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metadata/identity/oauth2/token", nil))
		got = append(got, fmt.Sprint(w.Code, w.Header().Get("Retry-After"), " ", w.Header().Get("Date")))
	}
	const date = " Sun, 22 Nov 2026 10:00:00 GMT"
	if want := []string{"42917" + date, "42917" + date, "400" + date}; strings.Join(got, ";") != strings.Join(want, ";") {
		t.Errorf("answers %q, want %q", got, want)
	}
	if n := a.Calls("imds"); n != 3 {
		t.Errorf("Calls = %d, want 3", n)
	}
}
