package clouds_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"github.com/longcase/longcase/internal/clouds"
	"github.com/longcase/longcase/jwks"
	"github.com/longcase/longcase/token"
)

const (
	awsPool  = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/aws"
	oidcPool = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/oidc"
	oidcName = "https://idp.test"
	mailSA   = "mail@project.iam.gserviceaccount.com"
	farSA    = "far@project.iam.gserviceaccount.com"
	vmSA     = "vm@project.iam.gserviceaccount.com"
	platform = "https://www.googleapis.com/auth/cloud-platform"
)

// keys are an account's, an issuer's and Google's own; made once.
var keys = sync.OnceValue(func() (keys [3]*rsa.PrivateKey) {
	for i := range keys {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		keys[i] = key
	}
	return keys
})

// gworld is a Google on loopback beside an AWS; now is the clock of both.
type gworld struct {
	*clouds.Google
	aws *clouds.AWS
	url string
	now time.Time
}

func newGoogle(t *testing.T, now func() time.Time) *gworld {
	t.Helper()
	w := &gworld{now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	if now == nil {
		now = func() time.Time { return w.now }
	}
	w.aws = clouds.NewAWS(clouds.AWSConfig{Now: now})
	w.Google = clouds.NewGoogle(clouds.GoogleConfig{
		Now: now, Machine: vmSA, Project: "p", Signer: signer(t, "google", keys()[2]),
		Providers: []clouds.GoogleProvider{
			{Audience: awsPool, AWS: w.aws.Signed},
			{Audience: oidcPool, Issuer: oidcName, Keys: jwks.FromKeys(signer(t, "idp", keys()[1]).Key())},
		},
		Accounts: []clouds.GoogleAccount{
			{Email: mailSA, Keys: []token.Key{signer(t, "k1", keys()[0]).Key()}, Members: []string{awsPool, oidcPool}},
			{Email: farSA, Members: []string{mailSA}, MaxLife: 12 * time.Hour},
			{Email: vmSA},
		},
	})
	mux := http.NewServeMux()
	mux.Handle("/latest/", w.aws)
	mux.Handle("/", w.Google)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	w.url = server.URL
	return w
}

func signer(t *testing.T, id string, key *rsa.PrivateKey) token.Signer {
	t.Helper()
	s, err := token.NewSigner(id, token.RS256, key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func signed(t *testing.T, s token.Signer, claims map[string]any) string {
	t.Helper()
	body, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := s.Sign("JWT", body)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// as is whose token the API takes value for; empty: nobody's.
func (w *gworld) as(t *testing.T, value string) string {
	t.Helper()
	status, body := w.do(t, http.MethodGet, "/api/x", nil, "Authorization", "Bearer "+value)
	if status != http.StatusOK {
		return ""
	}
	return body["as"].(string)
}

func (w *gworld) do(t *testing.T, method, path string, body io.Reader, header ...string) (status int, answer map[string]any) {
	t.Helper()
	req, err := http.NewRequest(method, w.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	answer = map[string]any{"text": string(data)}
	_ = json.Unmarshal(data, &answer)
	return resp.StatusCode, answer
}

func (w *gworld) form(t *testing.T, path string, values url.Values) (status int, answer map[string]any) {
	t.Helper()
	return w.do(t, http.MethodPost, path, strings.NewReader(values.Encode()), "Content-Type", "application/x-www-form-urlencoded")
}

// TestGoogleTakesWhatGooglesOwnLibrarySends keeps the double from agreeing with
// our provider alone.
func TestGoogleTakesWhatGooglesOwnLibrarySends(t *testing.T) {
	w := newGoogle(t, time.Now)
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID"} {
		t.Setenv(name, "")
	}
	t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(w.url, "http://"))
	account, key := w.files(t)
	impersonated := strings.Replace(account, `{`, `{"service_account_impersonation_url": "`+w.url+`/v1/projects/-/serviceAccounts/`+mailSA+`:generateAccessToken",`, 1)
	from := func(kind google.CredentialsType, file string) func() (oauth2.TokenSource, error) {
		return func() (oauth2.TokenSource, error) {
			c, err := google.CredentialsFromJSONWithType(context.Background(), []byte(file), kind, platform)
			if err != nil {
				return nil, err
			}
			return c.TokenSource, nil
		}
	}
	tests := []struct {
		name string
		open func() (oauth2.TokenSource, error)
		want string
	}{
		{"AWS evidence", from(google.ExternalAccount, account), awsPool},
		{"AWS evidence and a service account", from(google.ExternalAccount, impersonated), mailSA},
		{"a service account's key", from(google.ServiceAccount, key), mailSA},
		{"a self-signed JWT with scopes", func() (oauth2.TokenSource, error) {
			return google.JWTAccessTokenSourceWithScope([]byte(key), platform)
		}, mailSA},
		{"a self-signed JWT for an API", func() (oauth2.TokenSource, error) {
			return google.JWTAccessTokenSourceFromJSON([]byte(key), "https://api.test/")
		}, mailSA},
		{"the metadata server", func() (oauth2.TokenSource, error) { return google.ComputeTokenSource("", platform), nil }, vmSA},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			source, err := tt.open()
			if err != nil {
				t.Fatal(err)
			}
			got, err := source.Token()
			if err != nil {
				t.Fatal(err)
			}
			if as := w.as(t, got.AccessToken); as != tt.want {
				t.Errorf("the API says %q, want %q", as, tt.want)
			}
		})
	}
}

// files are an external_account file with an aws source, and a key file.
func (w *gworld) files(t *testing.T) (account, key string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(keys()[0])
	if err != nil {
		t.Fatal(err)
	}
	a, err := json.Marshal(map[string]any{"type": "external_account", "audience": awsPool, "token_url": w.url + "/v1/token",
		"subject_token_type": "urn:ietf:params:aws:token-type:aws4_request",
		"credential_source": map[string]any{"environment_id": "aws1",
			"region_url":                     w.url + "/latest/meta-data/placement/availability-zone",
			"url":                            w.url + "/latest/meta-data/iam/security-credentials",
			"imdsv2_session_token_url":       w.url + "/latest/api/token",
			"regional_cred_verification_url": "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15"}})
	if err != nil {
		t.Fatal(err)
	}
	k, err := json.Marshal(map[string]any{"type": "service_account", "client_email": mailSA, "private_key_id": "k1", "token_uri": w.url + "/token",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))})
	if err != nil {
		t.Fatal(err)
	}
	return string(a), string(k)
}

func TestGooglesIDTokensVerifyByItsPublishedKeys(t *testing.T) {
	w := newGoogle(t, nil)
	_, certs := w.do(t, http.MethodGet, "/oauth2/v3/certs", nil)
	set, err := jwks.Parse([]byte(certs["text"].(string)))
	if err != nil {
		t.Fatal(err)
	}
	_, answer := w.do(t, http.MethodGet, "/computeMetadata/v1/instance/service-accounts/default/identity?audience=a", nil, flavored...)
	jws, err := token.Parse(answer["text"].(string))
	if err != nil {
		t.Fatal(err)
	}
	found := set.Find(jws.KeyID(), jws.Algorithm())
	if len(found) != 1 || jws.Verify(found[0]) != nil {
		t.Fatalf("%d keys", len(found))
	}
	claims, err := jws.Claims()
	if err != nil || claims.Issuer != "https://accounts.google.com" || claims.Subject != vmSA || claims.Expires.Sub(w.now) != time.Hour {
		t.Errorf("%+v, %v", claims, err)
	}
}

// exchange is a good form of a token exchange, with what is changed.
func exchange(subject, kind, audience string, change ...string) url.Values {
	v := url.Values{
		"grant_type":           {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"requested_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
		"subject_token":        {subject}, "subject_token_type": {kind}, "audience": {audience}, "scope": {platform},
	}
	for i := 0; i+1 < len(change); i += 2 {
		v.Set(change[i], change[i+1])
	}
	return v
}

func TestGoogleJudgesJWTs(t *testing.T) {
	w := newGoogle(t, nil)
	const jwt = "urn:ietf:params:oauth:token-type:jwt"
	idp := signer(t, "idp", keys()[1])
	claims := func(change map[string]any) map[string]any {
		c := map[string]any{"iss": oidcName, "sub": "job", "aud": oidcPool, "iat": w.now.Unix(), "exp": w.now.Add(time.Minute).Unix()}
		for name, v := range change {
			c[name] = v
		}
		return c
	}
	good := signed(t, idp, claims(nil))
	tests := []struct {
		name string
		form url.Values
		code string
		text string
	}{
		{"a good one", exchange(good, jwt, oidcPool), "", ""},
		{"with https: before the audience", exchange(signed(t, idp, claims(map[string]any{"aud": "https:" + oidcPool})), jwt, oidcPool), "", ""},
		{"another audience", exchange(signed(t, idp, claims(map[string]any{"aud": "x"})), jwt, oidcPool), "invalid_grant", "audience"},
		{"another issuer", exchange(signed(t, idp, claims(map[string]any{"iss": "x"})), jwt, oidcPool), "invalid_grant", "issuer"},
		{"over", exchange(signed(t, idp, claims(map[string]any{"exp": w.now.Unix()})), jwt, oidcPool), "invalid_grant", "stale to sign-in"},
		{"another key", exchange(signed(t, signer(t, "idp", keys()[0]), claims(nil)), jwt, oidcPool), "invalid_grant", "signature"},
		{"no JWT", exchange("x", jwt, oidcPool), "invalid_request", "parse"},
		{"an unknown pool", exchange(good, jwt, "//x"), "invalid_target", "audience"},
		{"the pool of AWS", exchange(good, jwt, awsPool), "invalid_request", "subject_token_type"},
		{"no scope", exchange(good, jwt, oidcPool, "scope", ""), "invalid_scope", ""},
		{"another grant", exchange(good, jwt, oidcPool, "grant_type", "x"), "unsupported_grant_type", ""},
		{"another type wanted", exchange(good, jwt, oidcPool, "requested_token_type", "x"), "invalid_request", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, answer := w.form(t, "/v1/token", tt.form)
			said, _ := answer["error_description"].(string)
			if code, _ := answer["error"].(string); code != tt.code || !strings.Contains(said, tt.text) || (status == 200) != (tt.code == "") {
				t.Errorf("%d %v, want %s %q", status, answer, tt.code, tt.text)
			}
			if tt.code == "" && w.as(t, answer["access_token"].(string)) != oidcPool {
				t.Error("the token does not work")
			}
		})
	}
}

func TestGoogleJudgesAssertions(t *testing.T) {
	w := newGoogle(t, nil)
	good, uri := signer(t, "k1", keys()[0]), w.url+"/token"
	claims := func(iat, exp time.Duration, change ...string) map[string]any {
		c := map[string]any{"iss": mailSA, "aud": uri, "scope": platform, "iat": w.now.Add(iat).Unix(), "exp": w.now.Add(exp).Unix()}
		for i := 0; i+1 < len(change); i += 2 {
			c[change[i]] = change[i+1]
		}
		return c
	}
	tests := []struct {
		name      string
		assertion string
		code      string
		text      string
	}{
		{"of an hour", signed(t, good, claims(0, time.Hour)), "", ""},
		{"longer than an hour", signed(t, good, claims(0, time.Hour+time.Second)), "invalid_grant", "short-lived"},
		{"over", signed(t, good, claims(-time.Hour, 0)), "invalid_grant", "short-lived"},
		{"of the future", signed(t, good, claims(2*time.Minute, time.Hour)), "invalid_grant", "reasonable timeframe"},
		{"for somebody else", signed(t, good, claims(0, time.Hour, "aud", "x")), "invalid_grant", "audience"},
		{"of nobody", signed(t, good, claims(0, time.Hour, "iss", "x")), "invalid_grant", "account not found"},
		{"of an account without keys", signed(t, good, claims(0, time.Hour, "iss", vmSA)), "invalid_grant", "Signature"},
		{"by another key", signed(t, signer(t, "k1", keys()[1]), claims(0, time.Hour)), "invalid_grant", "Signature"},
		{"without a scope", signed(t, good, claims(0, time.Hour, "scope", "")), "invalid_scope", ""},
		{"that is no JWT", "x", "invalid_grant", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, answer := w.form(t, "/token", url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {tt.assertion}})
			said, _ := answer["error_description"].(string)
			if code, _ := answer["error"].(string); code != tt.code || !strings.Contains(said, tt.text) || (status == 200) != (tt.code == "") {
				t.Errorf("%d %v, want %s %q", status, answer, tt.code, tt.text)
			}
		})
	}
}

func TestGoogleJudgesImpersonation(t *testing.T) {
	w := newGoogle(t, nil)
	form := exchange(signed(t, signer(t, "idp", keys()[1]), map[string]any{
		"iss": oidcName, "aud": oidcPool, "exp": w.now.Add(time.Minute).Unix(), "iat": w.now.Unix()}), "urn:ietf:params:oauth:token-type:jwt", oidcPool)
	_, answer := w.form(t, "/v1/token", form)
	live, _ := answer["access_token"].(string)
	form.Set("scope", "https://www.googleapis.com/auth/devstorage.read_only")
	_, answer = w.form(t, "/v1/token", form)
	narrow, _ := answer["access_token"].(string)
	scoped := `{"scope":["s"]`
	tests := []struct {
		name   string
		bearer string
		method string
		body   string
		status int
	}{
		{"a live token of a member", live, mailSA + ":generateAccessToken", scoped + `}`, 200},
		{"a token whose scopes are too narrow", narrow, mailSA + ":generateAccessToken", scoped + `}`, 403},
		{"no token", "", mailSA + ":generateAccessToken", scoped + `}`, 401},
		{"a token of nobody", "x", mailSA + ":generateAccessToken", scoped + `}`, 401},
		{"no member", live, farSA + ":generateAccessToken", scoped + `}`, 403},
		{"by a delegate", live, farSA + ":generateAccessToken", scoped + `,"delegates":["projects/-/serviceAccounts/` + mailSA + `"]}`, 200},
		{"by one who is no delegate", live, farSA + ":generateAccessToken", scoped + `,"delegates":["projects/-/serviceAccounts/` + vmSA + `"]}`, 403},
		{"an unknown account", live, "x:generateAccessToken", scoped + `}`, 404},
		{"an hour", live, mailSA + ":generateAccessToken", scoped + `,"lifetime":"3600s"}`, 200},
		{"more than an hour", live, mailSA + ":generateAccessToken", scoped + `,"lifetime":"3601s"}`, 400},
		{"more than an hour where it is allowed", live, farSA + ":generateAccessToken", scoped + `,"lifetime":"43200s","delegates":["projects/-/serviceAccounts/` + mailSA + `"]}`, 200},
		{"a lifetime in hours", live, mailSA + ":generateAccessToken", scoped + `,"lifetime":"1h"}`, 400},
		{"no lifetime at all", live, mailSA + ":generateAccessToken", scoped + `,"lifetime":"0s"}`, 400},
		{"no scope", live, mailSA + ":generateAccessToken", `{}`, 400},
		{"no JSON", live, mailSA + ":generateAccessToken", `{`, 400},
		{"an ID token", live, mailSA + ":generateIdToken", `{"audience":"a"}`, 200},
		{"an ID token for nobody", live, mailSA + ":generateIdToken", `{}`, 400},
		{"another method", live, mailSA + ":signBlob", `{}`, 404},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, answer := w.do(t, http.MethodPost, "/v1/projects/-/serviceAccounts/"+tt.method, strings.NewReader(tt.body), "Authorization", "Bearer "+tt.bearer)
			if status != tt.status {
				t.Errorf("%d %v, want %d", status, answer, tt.status)
			}
		})
	}
	w.now = w.now.Add(time.Hour)
	if status, _ := w.do(t, http.MethodPost, "/v1/projects/-/serviceAccounts/"+mailSA+":generateAccessToken", strings.NewReader(scoped+"}"), "Authorization", "Bearer "+live); status != 401 {
		t.Errorf("a token of an hour after an hour: %d", status)
	}
}

// TestGoogleJudgesAWSEvidence changes one thing of a good request each time.
func TestGoogleJudgesAWSEvidence(t *testing.T) {
	w := newGoogle(t, nil)
	id, secret := w.aws.User()
	tests := []struct {
		name   string
		by     callerIdentity
		change func(text string) string
		text   string
	}{
		{name: "a good one"},
		{name: "15 minutes old", by: callerIdentity{age: 15*time.Minute + time.Second}, text: "too old"},
		{name: "from the future", by: callerIdentity{age: -16 * time.Minute}, text: "too old"},
		{name: "for another pool", by: callerIdentity{audience: oidcPool}, text: "x-goog-cloud-target-resource"},
		{name: "whose audience is not signed, as Google's library for Node.js has it", by: callerIdentity{unsigned: true}},
		{name: "without an audience", change: replace(awsPool, ""), text: "x-goog-cloud-target-resource"},
		{name: "with another secret", by: callerIdentity{secret: "other"}, text: "SignatureDoesNotMatch"},
		{name: "signed for another region", by: callerIdentity{region: "eu-west-1"}, text: "valid region"},
		{name: "of unknown keys", by: callerIdentity{id: "AKIA0000000000009999"}, text: "InvalidClientTokenId"},
		{name: "to another host", change: replace("sts.us-east-1.amazonaws.com", "sts.evil.test"), text: "GetCallerIdentity"},
		{name: "of another action", change: replace("GetCallerIdentity", "GetSessionToken"), text: "GetCallerIdentity"},
		{name: "by GET", change: replace(`"POST"`, `"GET"`), text: "POST"},
		{name: "with another host header", change: replace(`"value":"sts.us-east-1.amazonaws.com"`, `"value":"x"`), text: "host"},
		{name: "that is no JSON", change: func(string) string { return "{" }, text: "parse"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.by.defaults(id, secret)
			text := tt.by.sign(t, w.now)
			if tt.change != nil {
				text = tt.change(text)
			}
			status, answer := w.form(t, "/v1/token", exchange(url.QueryEscape(text), "urn:ietf:params:aws:token-type:aws4_request", awsPool))
			said, _ := answer["error_description"].(string)
			if (status == 200) != (tt.text == "") || !strings.Contains(said, tt.text) {
				t.Errorf("%d %v, want %q", status, answer, tt.text)
			}
		})
	}
}

func replace(from, to string) func(string) string {
	return func(text string) string { return strings.ReplaceAll(text, from, to) }
}

func TestGooglesMetadataServer(t *testing.T) {
	w := newGoogle(t, nil)
	const accounts = "/computeMetadata/v1/instance/service-accounts/"
	tests := []struct {
		name   string
		path   string
		header []string
		status int
		text   string
	}{
		{"without the flavor", accounts + "default/token", nil, 403, "Metadata-Flavor"},
		{"through a proxy", accounts + "default/token", []string{"X-Forwarded-For", "192.0.2.1"}, 403, "X-Forwarded-For"},
		{"a token", accounts + "default/token?scopes=a", flavored, 200, `"token_type":"Bearer"`},
		{"by email", accounts + vmSA + "/token", flavored, 200, "ya29."},
		{"another account", accounts + "x/token", flavored, 404, ""},
		{"all of it", accounts + "default/?recursive=true", flavored, 200, `"email":"` + vmSA},
		{"all accounts", accounts + "?recursive=true", flavored, 200, `"default":{`},
		{"the email", accounts + "default/email", flavored, 200, vmSA},
		{"the project", "/computeMetadata/v1/project/project-id", flavored, 200, "p"},
		{"an ID token for nobody", accounts + "default/identity", flavored, 400, "audience"},
		{"an ID token", accounts + "default/identity?audience=a", flavored, 200, "ey"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, answer := w.do(t, http.MethodGet, tt.path, nil, tt.header...)
			if text, _ := answer["text"].(string); status != tt.status || !strings.Contains(text, tt.text) {
				t.Errorf("%d %s, want %d %q", status, text, tt.status, tt.text)
			}
		})
	}
}

var flavored = []string{"Metadata-Flavor", "Google"}

func TestGooglesMetadataServerKeepsATokenUntilShortlyBeforeItsEnd(t *testing.T) {
	w := newGoogle(t, nil)
	get := func() (string, float64) {
		_, answer := w.do(t, http.MethodGet, "/computeMetadata/v1/instance/service-accounts/default/token", nil, flavored...)
		return answer["access_token"].(string), answer["expires_in"].(float64)
	}
	first, _ := get()
	w.now = w.now.Add(55 * time.Minute)
	if again, left := get(); again != first || left != 300 {
		t.Errorf("after 55 min another token, or %v s left", left)
	}
	w.now = w.now.Add(time.Second)
	if next, left := get(); next == first || left != 3600 {
		t.Errorf("5 min before its end the same token, or %v s left", left)
	}
}

func TestGooglesKnobs(t *testing.T) {
	w := newGoogle(t, nil)
	get := func() string {
		_, answer := w.do(t, http.MethodGet, "/computeMetadata/v1/instance/service-accounts/default/token", nil, flavored...)
		value, _ := answer["access_token"].(string)
		return value
	}
	value := get()
	if w.as(t, value) != vmSA || !w.Revoke(value) || w.as(t, value) != "" || w.Revoke(value) {
		t.Error("a revoked token works, or is revoked twice")
	}
	w.Fail("metadata", 2, 503)
	for i, fails := range []bool{true, true, false} {
		if got := get(); (got == "") != fails {
			t.Errorf("call %d fails: %t, want %t", i, !fails, fails)
		}
	}
	w.SetLife(time.Second)
	w.RevokeAll()
	value = get()
	if w.as(t, value) != vmSA {
		t.Error("a new token does not work")
	}
	if w.now = w.now.Add(time.Second); w.as(t, value) != "" {
		t.Error("a token of a second works after a second")
	}
	if w.Calls("metadata") != 5 || w.Calls("api") != 4 || w.Calls("sts") != 0 {
		t.Errorf("%d, %d, %d calls", w.Calls("metadata"), w.Calls("api"), w.Calls("sts"))
	}
	resp, err := http.Post(w.url+"/v1/token", "x", bytes.NewReader(nil))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := resp.Header.Get("Date"); got != w.now.Format(http.TimeFormat) {
		t.Errorf("its Date is %s, not that of its own clock", got)
	}
}
