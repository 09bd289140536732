package google_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/google"
)

var (
	instant = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	seeds   = []string{
		`{"access_token":"ya29","token_type":"Bearer","expires_in":3599}`, `{"access_token":"ya29","expires_in":"3599"}`,
		`{"access_token":"ya29","expires_in":1e300}`, `{"access_token":"ya29","expires_in":"NaN"}`, `{"access_token":"ya29","expires_in":null}`,
		`{"access_token":"a b"}`, `{"id_token":"e30.eyJleHAiOjF9.x"}`, `{"access_token":"e30.eyJleHAiOjFlMzAwfQ.x"}`, `{`, `[]`, ``, `null`,
		`{"error":"invalid_grant","error_description":"\u0000x"}`, `{"error":{"code":403,"message":"m","status":"S"}}`,
	}
)

// exchangeOnce exchanges a token where the service gives one answer.
func exchangeOnce(client *http.Client) (fresh.Credential[fresh.Token], error) {
	fetch := google.ExchangeToken(google.STSConfig{Audience: oidcPool, HTTP: client})
	return fetch(context.Background(), fresh.Lease[fresh.Token]{Value: fresh.Token{Value: "subject"}}, instant)
}

func unsigned(claims string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
}

func TestWhatAnExchangeAnswersDecidesTheEnd(t *testing.T) {
	const life = time.Hour - time.Second
	tests := []struct {
		name string
		body string
		life time.Duration
		end  time.Time
		err  fresh.Reason
	}{
		{"a number of seconds", seeds[0], life, time.Time{}, ""},
		{"a numeric string", seeds[1], life, time.Time{}, ""},
		{"a fraction", `{"access_token":"a","expires_in":1.5}`, 1500 * time.Millisecond, time.Time{}, ""},
		{"absurdly long is bounded", seeds[2], 100 * 365 * 24 * time.Hour, time.Time{}, ""},
		{"zero is over already", `{"access_token":"a","expires_in":0}`, -1, time.Time{}, ""},
		{"negative is over already", `{"access_token":"a","expires_in":-3600}`, -1, time.Time{}, ""},
		{"absent, but the token is a JWT", `{"access_token":"` + unsigned(`{"exp":1795348800}`) + `"}`, 0, time.Unix(1795348800, 0).UTC(), ""},
		{"a JWT with a fraction", `{"access_token":"` + unsigned(`{"exp":1795348800.9}`) + `"}`, 0, time.Unix(1795348800, 0).UTC(), ""},
		{"a JWT says an end, too", `{"access_token":"` + unsigned(`{"exp":1795348800}`) + `","expires_in":3599}`, life, time.Unix(1795348800, 0).UTC(), ""},
		{"a JWT whose end stands for none", `{"access_token":"` + unsigned(`{"exp":0}`) + `","expires_in":3599}`, life, time.Time{}, ""},
		{"a JWT with an absurd end", `{"access_token":"` + unsigned(`{"exp":1e300}`) + `","expires_in":3599}`, life, time.Time{}, ""},
		{"a JWT with an end that is none", `{"access_token":"` + unsigned(`{"exp":"x"}`) + `","expires_in":3599}`, life, time.Time{}, ""},
		{"absent", `{"access_token":"a"}`, 5 * time.Minute, time.Time{}, ""},
		{"null", seeds[4], 5 * time.Minute, time.Time{}, ""},
		{"no number", seeds[3], 0, time.Time{}, fresh.Malformed},
		{"a list of seconds", `{"access_token":"a","expires_in":[1]}`, 0, time.Time{}, fresh.Malformed},
		{"cut off", `{"access_token":"a","expi`, 0, time.Time{}, fresh.Malformed},
		{"no token", `{"expires_in":3599}`, 0, time.Time{}, fresh.Malformed},
		{"a token that no header can hold", `{"access_token":"a\r\nX: y"}`, 0, time.Time{}, fresh.Malformed},
		{"a page", `<html>`, 0, time.Time{}, fresh.Malformed},
		{"nothing", ``, 0, time.Time{}, fresh.Malformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := exchangeOnce(answering(200, tt.body, "Date", instant.Format(http.TimeFormat)))
			if tt.err != "" {
				wantError(t, err, tt.err, "Google's token exchange")
				return
			}
			if err != nil || c.Life != tt.life || !c.Expires.Equal(tt.end) || !c.Date.Equal(instant) {
				t.Errorf("life %v, end %v, date %v, err %v; want life %v, end %v", c.Life, c.Expires, c.Date, err, tt.life, tt.end)
			}
		})
	}
}

func TestWhatAnExchangeRefuses(t *testing.T) {
	tests := []struct {
		name   string
		client *http.Client
		reason fresh.Reason
		retry  time.Duration
		words  []string
	}{
		{"its words are passed on", answering(400, `{"error":"invalid_target","error_description":"The target is invalid."}`), fresh.Refused, 0, []string{"400", "invalid_target: The target is invalid."}},
		{"words that do not print are not", answering(400, `{"error":"x\u001b[2J"}`), fresh.Refused, 0, []string{": x[2J"}},
		{"too many requests", answering(429, ``, "Retry-After", "17"), fresh.Unavailable, 17 * time.Second, []string{"429"}},
		{"out of order", answering(503, `<html>`, "Retry-After", "x"), fresh.Unavailable, 0, []string{"503"}},
		{"a redirect is not followed", answering(307, ``, "Location", "https://evil.test"), fresh.Refused, 0, []string{"307"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := exchangeOnce(tt.client)
			wantError(t, err, tt.reason, tt.words...)
			var e *fresh.Error
			if !errors.As(err, &e) || e.RetryAfter != tt.retry {
				t.Errorf("%v: retry after %v, want %v", err, e.RetryAfter, tt.retry)
			}
		})
	}
}

// echo is a service that refuses with what it was sent.
func echo() *http.Client {
	return &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		said := r.Header.Get("Authorization") + r.Header.Get("X-Identity")
		if r.ParseForm() == nil {
			said += r.PostForm.Get("subject_token") + r.PostForm.Get("assertion")
		}
		body, err := json.Marshal(map[string]string{"error": "refused", "error_description": "of " + said})
		if err != nil {
			return nil, err
		}
		return answering(400, string(body)).Transport.RoundTrip(r)
	})}
}

func TestNoRefusalRepeatsASecret(t *testing.T) {
	subject := fresh.Lease[fresh.Token]{Value: fresh.Token{Value: "secret-token"}}
	_, exchange := google.ExchangeToken(google.STSConfig{Audience: oidcPool, HTTP: echo()})(t.Context(), subject, instant)
	_, signed := google.ExchangeAWS(google.STSConfig{Audience: awsPool, HTTP: echo()},
		func(string) (id, secret, session string) { return "AKIA", "secret-key", "secret-session" })(t.Context(), fresh.Lease[string]{Value: "k"}, instant)
	_, impersonate := google.Impersonate(google.ImpersonateConfig{ServiceAccount: mail, HTTP: echo()})(t.Context(), subject, instant)
	for name, err := range map[string]error{"exchange": exchange, "exchange of AWS keys": signed, "impersonation": impersonate} {
		if wantError(t, err, fresh.Refused, "[secret]"); strings.Contains(err.Error(), "secret-") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatAnExchangeAsksFor(t *testing.T) {
	const workforce = "//iam.googleapis.com/locations/global/workforcePools/p/providers/x"
	tests := []struct {
		name string
		cfg  google.STSConfig
		form map[string]string
		user string
	}{
		{"the defaults", google.STSConfig{Audience: oidcPool}, map[string]string{
			"grant_type":           "urn:ietf:params:oauth:grant-type:token-exchange",
			"requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
			"subject_token_type":   "urn:ietf:params:oauth:token-type:jwt", "subject_token": "subject",
			"audience": oidcPool, "scope": "https://www.googleapis.com/auth/cloud-platform", "options": "",
		}, ""},
		{"a short type and scopes", google.STSConfig{Audience: oidcPool, SubjectTokenType: "saml2", Scopes: []string{"a", "b"}},
			map[string]string{"subject_token_type": "urn:ietf:params:oauth:token-type:saml2", "scope": "a b"}, ""},
		{"a workforce's project", google.STSConfig{Audience: workforce, UserProject: "bills"}, map[string]string{"options": `{"userProject":"bills"}`}, ""},
		{"a workforce's client instead", google.STSConfig{Audience: workforce, UserProject: "bills", ClientID: "c", ClientSecret: "s"}, map[string]string{"options": ""}, "c:s"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.HTTP = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				if err := r.ParseForm(); err != nil {
					t.Error(err)
				}
				for name, want := range tt.form {
					if got := r.PostForm.Get(name); got != want {
						t.Errorf("%s is %q, want %q", name, got, want)
					}
				}
				if id, secret, ok := r.BasicAuth(); ok && id+":"+secret != tt.user || !ok && tt.user != "" {
					t.Errorf("client %q, want %q", id, tt.user)
				}
				if r.URL.String() != "https://sts.googleapis.com/v1/token" {
					t.Errorf("asked %s", r.URL)
				}
				return answering(200, seeds[0]).Transport.RoundTrip(r)
			})}
			if _, err := google.ExchangeToken(tt.cfg)(context.Background(), fresh.Lease[fresh.Token]{Value: fresh.Token{Value: "subject"}}, instant); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSettingsDoNotPrintTheirSecrets(t *testing.T) {
	for _, v := range []any{google.STSConfig{ClientSecret: "SECRET"}, google.ServiceAccountConfig{JSON: []byte("SECRET")}} {
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
		word string
	}{
		{"no audience", google.STSConfig{}.Check(), "audience: required"},
		{"plain http", google.STSConfig{Audience: "a", Endpoint: "http://sts.test"}.Check(), "is not https"},
		{"loopback may be plain", google.STSConfig{Audience: "a", Endpoint: "http://127.0.0.1:1"}.Check(), ""},
		{"a secret without a client", google.STSConfig{Audience: "a", ClientSecret: "s"}.Check(), "client id"},
		{"a user project without a workforce", google.STSConfig{Audience: "a", UserProject: "p"}.Check(), "workforce"},
		{"no service account", google.ImpersonateConfig{}.Check(), `"" is not an email`},
		{"a service account that is a path", google.ImpersonateConfig{ServiceAccount: "../a"}.Check(), "is not an email"},
		{"a delegate that is none", google.ImpersonateConfig{ServiceAccount: mail, Delegates: []string{"x/y"}}.Check(), `"x/y"`},
		{"an ID token with scopes", google.ImpersonateConfig{ServiceAccount: mail, Audience: "a", Scopes: []string{"s"}}.Check(), "neither scopes"},
		{"13 hours", google.ImpersonateConfig{ServiceAccount: mail, Lifetime: 13 * time.Hour}.Check(), "13h0m0s"},
		{"the metadata server elsewhere", google.MetadataConfig{Endpoint: "http://metadata.test"}.Check(), "is not https"},
		{"the key's service elsewhere", google.ServiceAccountConfig{File: "a", Endpoint: "http://oauth2.test"}.Check(), "is not https"},
		{"the metadata server by its name", google.MetadataConfig{Endpoint: "http://metadata.google.internal"}.Check(), ""},
		{"the metadata server of this machine", google.MetadataConfig{}.Check(), ""},
		{"an account that is a path", google.MetadataConfig{Account: "a/b"}.Check(), "is not an email"},
		{"neither file nor JSON", google.ServiceAccountConfig{}.Check(), "one of file and JSON"},
		{"both", google.ServiceAccountConfig{File: "a", JSON: []byte("{}")}.Check(), "one of file and JSON"},
		{"audience and scopes", google.ServiceAccountConfig{File: "a", Audience: "a", Scopes: []string{"s"}}.Check(), "not both"},
		{"a self-signed token of a user", google.ServiceAccountConfig{File: "a", SelfSigned: true, Subject: "u"}.Check(), "stands for no user"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.word == "" {
				if tt.err != nil {
					t.Errorf("refused: %v", tt.err)
				}
				return
			}
			wantError(t, tt.err, fresh.Misconfigured, tt.word)
		})
	}
	_, err := google.ExchangeToken(google.STSConfig{})(context.Background(), fresh.Lease[fresh.Token]{}, instant)
	wantError(t, err, fresh.Misconfigured, "audience")
}

func TestARegionIsNoHost(t *testing.T) {
	fetch := google.ExchangeAWS(google.STSConfig{Audience: awsPool, Region: "evil.test/?", HTTP: answering(200, seeds[0])},
		func(string) (id, secret, session string) { return "AKIA", "s", "" })
	_, err := fetch(context.Background(), fresh.Lease[string]{Value: "k"}, instant)
	wantError(t, err, fresh.Misconfigured, `"evil.test/?" is not an AWS region`)
}

func FuzzExchangeAnswer(f *testing.F) {
	for i, s := range seeds {
		f.Add(200+i%2*200, s)
	}
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 200 || status > 599 {
			return
		}
		c, err := exchangeOnce(answering(status, body))
		checkCredential(t, c, err)
		if err == nil && status != http.StatusOK {
			t.Errorf("status %d gave a token", status)
		}
	})
}

func FuzzMetadataAnswer(f *testing.F) {
	for _, s := range seeds {
		f.Add(s, "")
	}
	f.Add(unsigned(`{"exp":1795348800}`)+"\n", "https://callee.test")
	f.Fuzz(func(t *testing.T, body, audience string) {
		fetch := google.Metadata(google.MetadataConfig{Audience: audience, HTTP: answering(200, body, "Metadata-Flavor", "Google")})
		c, err := fetch(context.Background(), instant)
		checkCredential(t, c, err)
	})
}

// checkCredential wants a refusal with a reason, or a token that a header can
// hold and that ends.
func checkCredential(t *testing.T, c fresh.Credential[fresh.Token], err error) {
	t.Helper()
	var e *fresh.Error
	switch v := c.Value.Value; {
	case err != nil && !errors.As(err, &e):
		t.Errorf("an error without a reason: %v", err)
	case err == nil && (v == "" || strings.ContainsAny(v, " \r\n\x00")):
		t.Errorf("token %s", strconv.Quote(v))
	case err == nil && c.Life == 0 && c.Expires.IsZero():
		t.Error("a token without an end")
	}
}
