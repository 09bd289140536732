package google_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/aws"
	"github.com/longcase/longcase/fresh/google"
	"github.com/longcase/longcase/internal/clouds"
	"github.com/longcase/longcase/jwks"
	"github.com/longcase/longcase/token"
)

const (
	awsPool  = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/aws"
	oidcPool = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/oidc"
	oidcName = "https://idp.test"
	mail     = "mail@project.iam.gserviceaccount.com"
	machine  = "machine@project.iam.gserviceaccount.com"
)

// world is both clouds, spoken with in memory: each host is a handler.
type world struct {
	aws    *clouds.AWS
	google *clouds.Google
	idp    token.Signer // of the OIDC provider
	key    *rsa.PrivateKey
	http   *http.Client
}

func newWorld(t testing.TB, now func() time.Time) *world {
	t.Helper()
	keys := threeKeys()
	w := &world{key: keys[0]}
	w.idp = signer(t, "idp", keys[1])
	w.aws = clouds.NewAWS(clouds.AWSConfig{Now: now, Region: "eu-west-1", SessionLife: 5 * time.Minute, RoleLife: 2 * time.Hour})
	w.google = clouds.NewGoogle(clouds.GoogleConfig{
		Now: now, TokenURI: "https://oauth2.googleapis.com/token", Machine: machine, Signer: signer(t, "google", keys[2]),
		Providers: []clouds.GoogleProvider{
			{Audience: awsPool, AWS: w.aws.Signed},
			{Audience: oidcPool, Issuer: oidcName, Keys: jwks.FromKeys(w.idp.Key())},
		},
		Accounts: []clouds.GoogleAccount{
			{Email: mail, Keys: []token.Key{signer(t, "k1", w.key).Key()}, Members: []string{awsPool, oidcPool}},
			{Email: machine},
		},
	})
	w.http = &http.Client{Transport: hosts{
		"169.254.169.254": w.aws, "sts.googleapis.com": w.google, "iamcredentials.googleapis.com": w.google,
		"oauth2.googleapis.com": w.google, "api.test": w.google,
	}}
	return w
}

// hosts is a network of handlers.
type hosts map[string]http.Handler

func (h hosts) RoundTrip(r *http.Request) (*http.Response, error) {
	to, ok := h[r.URL.Host]
	if !ok {
		return nil, errors.New("no such host: " + r.URL.Host)
	}
	in := r.Clone(r.Context())
	in.Host, in.RequestURI = r.URL.Host, r.URL.RequestURI()
	if in.Body == nil {
		in.Body = http.NoBody
	}
	rec := httptest.NewRecorder()
	to.ServeHTTP(rec, in)
	return rec.Result(), nil
}

// answering is a client whose every request gets one answer.
func answering(status int, body string, header ...string) *http.Client {
	return &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
		rec := httptest.NewRecorder()
		for i := 0; i+1 < len(header); i += 2 {
			rec.Header().Set(header[i], header[i+1])
		}
		rec.WriteHeader(status)
		_, _ = rec.WriteString(body)
		return rec.Result(), nil
	})}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// call uses a token, and returns whose it is, or the status.
func (w *world) call(t testing.TB, bearer string) (as string, status int) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, "https://api.test/api/things", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	resp, err := w.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct{ As string }
	_ = json.NewDecoder(resp.Body).Decode(&answer)
	return answer.As, resp.StatusCode
}

// layers are the AWS layers of a file's chain.
func (w *world) layers() google.AWSLayers[aws.Keys] {
	return google.AWSLayers[aws.Keys]{
		Session: func(base string) fresh.Root[fresh.Token] {
			return aws.SessionToken(aws.IMDS{Endpoint: base, HTTP: w.http})
		},
		Role: func(base string) fresh.Fetch[fresh.Token, aws.Keys] {
			return aws.InstanceRole(aws.IMDS{Endpoint: base, HTTP: w.http})
		},
		Keys: awsKeys,
	}
}

func awsKeys(k aws.Keys) (id, secret, session string) {
	return k.AccessKeyID, k.SecretAccessKey, k.SessionToken
}

// chain reads a file of the given content.
func (w *world) chain(t testing.TB, content string, env map[string]string) (google.Chain, error) {
	t.Helper()
	return google.ExternalAccount(google.ExternalAccountConfig[aws.Keys]{
		File: write(t, "account.json", content), AWS: w.layers(), HTTP: w.http,
		Policy: fresh.Policy{Name: "mail"}, Getenv: func(name string) string { return env[name] },
	})
}

// jwt is a subject token of the OIDC provider.
func (w *world) jwt(t testing.TB, now time.Time, life time.Duration) string {
	t.Helper()
	return sign(t, w.idp, map[string]any{
		"iss": oidcName, "sub": "job", "aud": "https:" + oidcPool, "iat": now.Unix(), "exp": now.Add(life).Unix(), "jti": rand.Text(),
	})
}

// keyFile is a service account's key file.
func keyFile(t testing.TB, id string, key *rsa.PrivateKey) string {
	t.Helper()
	content, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": mail, "private_key_id": id, "private_key": pemOf(t, key),
		"token_uri": "https://oauth2.googleapis.com/token",
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func sign(t testing.TB, s token.Signer, claims map[string]any) string {
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

func signer(t testing.TB, id string, key *rsa.PrivateKey) token.Signer {
	t.Helper()
	s, err := token.NewSigner(id, token.RS256, key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// threeKeys are made once: RSA keys are slow to make.
var threeKeys = sync.OnceValue(func() (keys [3]*rsa.PrivateKey) {
	for i := range keys {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		keys[i] = key
	}
	return keys
})

func rsaKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func write(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	rewrite(t, path, content)
	return path
}

func rewrite(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// get wants a lease of the layer whose token works, and returns it.
func (w *world) get(t testing.TB, layer *fresh.Layer[fresh.Token], as string) fresh.Lease[fresh.Token] {
	t.Helper()
	lease, err := layer.Get(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if who, status := w.call(t, lease.Value.Value); who != as || status != http.StatusOK {
		t.Fatalf("the API says %q, status %d; want %q", who, status, as)
	}
	return lease
}

// wantError wants the reason and every word.
func wantError(t *testing.T, err error, reason fresh.Reason, words ...string) {
	t.Helper()
	if !errors.Is(err, reason) {
		t.Fatalf("err = %v, want reason %q", err, string(reason))
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not say %q", err, word)
		}
	}
}
