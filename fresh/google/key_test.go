package google_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/google"
	"github.com/longcase/longcase/token"
)

// audienceOf reads a JWT that Google has made.
func audienceOf(t *testing.T, raw string) string {
	t.Helper()
	jws, err := token.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := jws.Claims()
	if err != nil || len(claims.Audience) != 1 {
		t.Fatalf("claims %+v, err %v", claims, err)
	}
	return claims.Audience[0]
}

func TestAServiceAccountsKeyIsReadAtEachFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, time.Now)
		path := write(t, "key.json", keyFile(t, "withdrawn", rsaKey(t)))
		layer := fresh.New(google.ServiceAccount(google.ServiceAccountConfig{File: path, HTTP: w.http}), fresh.Policy{Name: "sa"})
		_, err := layer.Get(context.Background())
		wantError(t, err, fresh.Refused, "sa", "invalid_grant: Invalid JWT Signature.")
		rewrite(t, path, keyFile(t, "k1", w.key))
		time.Sleep(time.Minute)
		lease := w.get(t, layer, mail)
		if life := time.Until(lease.Expires); life < 59*time.Minute || life > time.Hour {
			t.Errorf("it lives %s", life)
		}
	})
}

func TestWhatAKeyIsGoodFor(t *testing.T) {
	w := newWorld(t, time.Now)
	key := []byte(keyFile(t, "k1", w.key))
	const callee = "https://callee.test"
	tests := []struct {
		name     string
		cfg      google.ServiceAccountConfig
		audience string // of a JWT; empty: an access token that the API takes
		works    bool
	}{
		{"an access token", google.ServiceAccountConfig{}, "", true},
		{"an access token from a named service", google.ServiceAccountConfig{Endpoint: "https://oauth2.googleapis.com/"}, "", true},
		{"a self-signed one with scopes", google.ServiceAccountConfig{SelfSigned: true, Scopes: []string{"s"}}, "", true},
		{"a self-signed one for an API", google.ServiceAccountConfig{SelfSigned: true, Audience: callee}, callee, true},
		{"an ID token", google.ServiceAccountConfig{Audience: callee}, callee, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.JSON, tt.cfg.HTTP = key, w.http
			lease, err := fresh.New(google.ServiceAccount(tt.cfg), fresh.Policy{}).Get(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if as, _ := w.call(t, lease.Value.Value); (as == mail) != tt.works {
				t.Errorf("the API says %q", as)
			}
			if tt.audience != "" && audienceOf(t, lease.Value.Value) != tt.audience {
				t.Errorf("a token for %s", audienceOf(t, lease.Value.Value))
			}
			if left := time.Until(lease.Expires); left < 59*time.Minute || left > time.Hour {
				t.Errorf("it lives %s", left)
			}
		})
	}
}

func TestOfTwoTokensTheOneThatWasAskedForCounts(t *testing.T) {
	key := []byte(keyFile(t, "k1", rsaKey(t)))
	id := unsigned(`{"aud":"https://callee.test","exp":1795348800}`)
	both := `{"access_token":"ya29","id_token":"` + id + `","token_type":"Bearer","expires_in":3599}`
	for _, tt := range []struct {
		name, audience, answer, want string
		err                          error
	}{
		{"an ID token for an audience", "https://callee.test", both, id, nil},
		{"an access token without one", "", both, "ya29", nil},
		{"an ID token alone", "https://callee.test", `{"id_token":"` + id + `"}`, id, nil},
		{"no access token is taken for an ID token", "https://callee.test", `{"access_token":"ya29","expires_in":3599}`, "", fresh.Malformed},
		{"no ID token is taken for an access token", "", `{"id_token":"` + id + `"}`, "", fresh.Malformed},
	} {
		cfg := google.ServiceAccountConfig{JSON: key, Audience: tt.audience, HTTP: answering(200, tt.answer)}
		c, err := google.ServiceAccount(cfg)(context.Background(), instant)
		if !errors.Is(err, tt.err) || err == nil && (c.Value.Value != tt.want || (c.Value.Value == id) != (c.Life == 0)) {
			t.Errorf("%s: %q that lives %s, %v; want %q, %v", tt.name, c.Value.Value, c.Life, err, tt.want, tt.err)
		}
	}
}

func TestASlowOrFastClockIsNamed(t *testing.T) {
	w := newWorld(t, func() time.Time { return instant })
	fetch := google.ServiceAccount(google.ServiceAccountConfig{JSON: []byte(keyFile(t, "k1", w.key)), HTTP: w.http})
	if _, err := fetch(context.Background(), instant.Add(21*time.Second)); err != nil {
		t.Errorf("21 s ahead: %v", err)
	}
	_, err := fetch(context.Background(), instant.Add(time.Hour))
	wantError(t, err, fresh.Refused, "short-lived token", "this host's clock is 1h0m0s ahead of theirs")
}

func TestKeyFilesThatCannotWorkSayWhy(t *testing.T) {
	pem := strings.ReplaceAll(pemOf(t, threeKeys()[0]), "\n", `\n`)
	tests := []struct {
		name    string
		content string
		reason  fresh.Reason
		words   []string
	}{
		{"cut off", `{"type":"service_account","private_key":"` + pem[:80], fresh.Malformed, []string{"not the JSON of a key file", "at byte"}},
		{"another file", `{"type":"external_account"}`, fresh.Misconfigured, []string{`type is "external_account"`}},
		{"no email", `{"type":"service_account","private_key":"` + pem + `"}`, fresh.Malformed, []string{"client_email"}},
		{"no key", `{"type":"service_account","client_email":"a@b"}`, fresh.Malformed, []string{"private_key: not a PEM private key"}},
		{"half a key", `{"type":"service_account","client_email":"a@b","private_key":"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"}`,
			fresh.Malformed, []string{"private_key: neither PKCS #8 nor PKCS #1"}},
		{"a token endpoint in plain http", `{"type":"service_account","client_email":"a@b","private_key":"` + pem + `","token_uri":"http://oauth2.test/token"}`,
			fresh.Misconfigured, []string{"token_uri", "is not https"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fetch := google.ServiceAccount(google.ServiceAccountConfig{File: write(t, "key.json", tt.content)})
			_, err := fetch(context.Background(), instant)
			wantError(t, err, tt.reason, append(tt.words, "key.json")...)
			if strings.Contains(err.Error(), pem[40:70]) || strings.Contains(err.Error(), "c2VjcmV0") {
				t.Errorf("%q holds the key", err)
			}
		})
	}
	_, err := google.ServiceAccount(google.ServiceAccountConfig{File: "/nonexistent/key.json"})(context.Background(), instant)
	wantError(t, err, fresh.Unavailable, "/nonexistent/key.json")
}

func TestTheMetadataServerIsAskedAndChecked(t *testing.T) {
	w := newWorld(t, time.Now)
	get := func(t *testing.T, cfg google.MetadataConfig) (fresh.Lease[fresh.Token], error) {
		if cfg.HTTP == nil {
			cfg.HTTP = &http.Client{Transport: hosts{"169.254.169.254": w.google}}
		}
		return fresh.New(google.Metadata(cfg), fresh.Policy{Name: "vm"}).Get(context.Background())
	}
	for _, name := range []string{"", machine} {
		lease, err := get(t, google.MetadataConfig{Account: name, Scopes: []string{"a", "b"}})
		if err != nil {
			t.Fatal(err)
		}
		if as, _ := w.call(t, lease.Value.Value); as != machine {
			t.Errorf("account %q is %q", name, as)
		}
	}
	lease, err := get(t, google.MetadataConfig{Audience: "https://callee.test"})
	if err != nil || audienceOf(t, lease.Value.Value) != "https://callee.test" {
		t.Errorf("an ID token: %v", err)
	}
	_, err = get(t, google.MetadataConfig{Account: "other@project.iam.gserviceaccount.com"})
	wantError(t, err, fresh.Refused, "vm", "404", "the machine has no service account other@")
	_, err = get(t, google.MetadataConfig{HTTP: answering(200, `{"access_token":"a","expires_in":9}`)})
	wantError(t, err, fresh.Malformed, "is not a GCE metadata server", "169.254.169.254")
	_, err = get(t, google.MetadataConfig{HTTP: &http.Client{Transport: hosts{}}})
	wantError(t, err, fresh.Unavailable, "the GCE metadata server cannot be reached")
}

func TestWhatImpersonationAsksFor(t *testing.T) {
	from := fresh.New(func(context.Context, time.Time) (fresh.Credential[fresh.Token], error) {
		return fresh.Credential[fresh.Token]{Value: fresh.Token{Value: "parent"}, Life: time.Hour}, nil
	}, fresh.Policy{})
	tests := []struct {
		name string
		cfg  google.ImpersonateConfig
		url  string
		body string
	}{
		{"the defaults", google.ImpersonateConfig{ServiceAccount: mail}, impersonation,
			`{"scope":["https://www.googleapis.com/auth/cloud-platform"],"lifetime":"3600s"}`},
		{"all of it", google.ImpersonateConfig{ServiceAccount: mail, Scopes: []string{"s"}, Delegates: []string{"a@b"}, Lifetime: 90 * time.Second},
			impersonation, `{"delegates":["projects/-/serviceAccounts/a@b"],"scope":["s"],"lifetime":"90s"}`},
		{"an ID token", google.ImpersonateConfig{ServiceAccount: mail, Audience: "https://callee.test"},
			strings.Replace(impersonation, "AccessToken", "IdToken", 1), `{"audience":"https://callee.test","includeEmail":true}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.HTTP = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				body := make([]byte, r.ContentLength)
				_, _ = r.Body.Read(body)
				if r.URL.String() != tt.url || string(body) != tt.body || r.Header.Get("Authorization") != "Bearer parent" {
					t.Errorf("asked %s for %s", r.URL, body)
				}
				return nil, errors.New("enough")
			})}
			_, err := fresh.From(from, google.Impersonate(tt.cfg), fresh.Policy{}).Get(context.Background())
			wantError(t, err, fresh.Unavailable, "IAM Credentials cannot be reached")
		})
	}
}

func TestWhatImpersonationAnswers(t *testing.T) {
	fetch := func(client *http.Client) (fresh.Credential[fresh.Token], error) {
		return google.Impersonate(google.ImpersonateConfig{ServiceAccount: mail, HTTP: client})(context.Background(), fresh.Lease[fresh.Token]{}, instant)
	}
	c, err := fetch(answering(200, `{"accessToken":"ya29","expireTime":"2026-11-22T13:00:00.5Z"}`, "Date", "Sun, 22 Nov 2026 12:00:01 GMT"))
	if err != nil || !c.Expires.Equal(instant.Add(time.Hour+time.Second/2)) || !c.Date.Equal(instant.Add(time.Second)) || c.Life != 0 {
		t.Errorf("%+v, %v: want the absolute end and the Date it is judged by", c, err)
	}
	for body, reason := range map[string]fresh.Reason{
		`{"accessToken":"ya29","expireTime":"tomorrow"}`: fresh.Malformed,
		`{"expireTime":"2026-11-22T13:00:00Z"}`:          fresh.Malformed,
		`{"accessToken":`:                                fresh.Malformed,
	} {
		_, err := fetch(answering(200, body))
		wantError(t, err, reason, "Google's IAM Credentials")
	}
	_, err = fetch(answering(404, `{"error":{"code":404,"message":"Not found; Gaia id not found","status":"NOT_FOUND"}}`))
	wantError(t, err, fresh.Refused, "NOT_FOUND", "is "+mail+" spelt right?")
}

func TestAnIDTokenAtTheEndOfAFilesChain(t *testing.T) {
	w := newWorld(t, time.Now)
	chain, err := google.ExternalAccount(google.ExternalAccountConfig[string]{
		File: write(t, "account.json", file(object{"file": write(t, "jwt", w.jwt(t, time.Now(), time.Hour))},
			object{"service_account_impersonation_url": impersonation})),
		Audience: "https://callee.test", HTTP: w.http,
	})
	if err != nil {
		t.Fatal(err)
	}
	lease, err := chain.Layer.Get(context.Background())
	if err != nil || audienceOf(t, lease.Value.Value) != "https://callee.test" {
		t.Errorf("err %v", err)
	}
}
