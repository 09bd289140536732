package oauth

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/ask"
)

func answerOf(body string) ask.Answer {
	return ask.Answer{Status: http.StatusOK, Body: []byte(body)}
}

// Whatever a service answers, a token fits into a header line, has exactly one
// end, and none so far away that it overflows.
func FuzzTokenAnswer(f *testing.F) {
	f.Add(`{"access_token":"abc","token_type":"Bearer","expires_in":300,"refresh_token":"r"}`)
	f.Add(`{"access_token":"a\nb","expires_in":-1}`)
	f.Add(`{"access_token":"a","expires_in":1e300}`)
	f.Add(`{"access_token":"e30.eyJleHAiOjFlMzAwfQ.x","expires_in":"0x1p9"}`)
	f.Fuzz(func(t *testing.T, body string) {
		got, err := readGranted(answerOf(body))
		if err != nil {
			return
		}
		if !printableToken(got.Value.Value) || got.refresh != "" && !printableToken(got.refresh) || strings.ContainsAny(got.Value.Scope+got.Value.Type, "\r\n") {
			t.Errorf("%q holds %q", body, got.Value.Value)
		}
		if got.Life == 0 && got.Expires.IsZero() || got.Life > century || got.Life < -century || got.Expires.Year() > 9999 {
			t.Errorf("%q ends %s, after %s", body, got.Expires, got.Life)
		}
	})
}

// Whatever a service refuses with, the error is one line without our secrets.
func FuzzRefusal(f *testing.F) {
	f.Add(400, `{"error":"invalid_grant","error_description":"the token s3cr3t is over"}`)
	f.Add(503, `x`)
	f.Add(302, ``)
	f.Add(200, `{"error":"server_error","error_description":"s3cr3t"}`)
	f.Add(401, `{"error":"s3\ncr3t"}`)
	f.Fuzz(func(t *testing.T, status int, body string) {
		err := refusal(ask.Answer{Status: status, Body: []byte(body)}, []string{"", "s3cr3t"})
		if err == nil && status != http.StatusOK {
			t.Fatalf("%d is %v", status, err)
		}
		if err != nil && (strings.ContainsAny(err.Error(), "\r\n\x1b") || strings.Contains(err.Error(), "s3cr3t")) {
			t.Errorf("%q", err)
		}
		_ = faultOf(err)
	})
}

// Whatever an issuer's metadata says, a secret goes over https only, or http to
// a loopback host that the issuer itself is on.
func FuzzMetadata(f *testing.F) {
	f.Add(`{"issuer":"https://a.test","token_endpoint":"https://a.test/token"}`)
	f.Add(`{"issuer":"https://a.test","token_endpoint":"http://127.0.0.1/token","mtls_endpoint_aliases":{"token_endpoint":"ftp://x"}}`)
	f.Fuzz(func(t *testing.T, body string) {
		m, err := readMetadata([]byte(body), "https://a.test")
		if err != nil {
			return
		}
		for _, s := range []string{m.Token, mutual(m).Token, mutual(m).Device} {
			if u, err := url.Parse(s); err != nil || s != "" && u.Scheme != "https" {
				t.Errorf("%q leads to %q", body, s)
			}
		}
	})
}

func FuzzDeviceAnswer(f *testing.F) {
	f.Add(`{"device_code":"d","user_code":"U","verification_uri":"https://a.test","expires_in":600,"interval":7}`)
	f.Fuzz(func(t *testing.T, body string) {
		p, err := readDevice(answerOf(body), start)
		if err != nil {
			return
		}
		if p.Interval < time.Second || p.Interval > time.Minute || !p.User.Expires.After(start) || strings.ContainsAny(p.User.UserCode+p.User.URI+p.User.Complete, "\r\n\x1b") {
			t.Errorf("%q is %+v", body, p)
		}
	})
}

// Whatever is in a state file, it is refused or can be written back.
func FuzzState(f *testing.F) {
	f.Add([]byte(`{"version":1,"of":"x","seeds":[],"refresh":"r","access":{"want":"w","life":1},"device":{"code":"c"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		rec, err := readRecord(data)
		if err != nil {
			return
		}
		if _, err := json.Marshal(rec); err != nil {
			t.Errorf("%q cannot be written back: %v", data, err)
		}
		if rec.Access != nil && (rec.Access.left(start) < 0 || rec.Access.left(start) > max(rec.Access.Life, 0)) {
			t.Errorf("%q has %s left", data, rec.Access.left(start))
		}
	})
}

func FuzzChallenge(f *testing.F) {
	f.Add(401, `Bearer realm="a", error="invalid_token"`)
	f.Fuzz(func(t *testing.T, status int, text string) {
		w := httptest.NewRecorder()
		w.Header()["Www-Authenticate"] = []string{text}
		resp := w.Result()
		resp.StatusCode = status
		if refusesToken(resp) && status < 400 {
			t.Errorf("%d %q heals", status, text)
		}
	})
}

var _ fresh.Root[fresh.Token] = ClientCredentials(Config{})
