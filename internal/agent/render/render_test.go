package render

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var (
	now   = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	keys  = Keys{AccessKeyID: "AKID", SecretAccessKey: "s/e+c", SessionToken: "ses==", Expires: now.Add(90*time.Minute + 900*time.Millisecond)}
	token = Token{Value: "a.b.c", Scope: "x y", Expires: now.Add(90*time.Minute + 900*time.Millisecond)}
)

// must drops a nil error.
func must(t *testing.T) func(b []byte, err error) []byte {
	return func(b []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}

func TestEachShape(t *testing.T) {
	is := must(t)
	endless := Token{Value: "a.b.c", Type: "DPoP"}
	user := Keys{AccessKeyID: "AKID", SecretAccessKey: "s"}
	for name, tt := range map[string]struct {
		got  []byte
		want string
	}{
		"instance role":           {InstanceRole(keys, now), `{"Code":"Success","LastUpdated":"2026-11-22T10:00:00Z","Type":"AWS-HMAC","AccessKeyId":"AKID","SecretAccessKey":"s/e+c","Token":"ses==","Expiration":"2026-11-22T11:30:00.900Z"}`},
		"instance role, no end":   {InstanceRole(user, now), `{"Code":"Success","LastUpdated":"2026-11-22T10:00:00Z","Type":"AWS-HMAC","AccessKeyId":"AKID","SecretAccessKey":"s","Token":"","Expiration":"2026-11-22T11:00:00.000Z"}`},
		"container":               {Container(keys, now), `{"AccessKeyId":"AKID","SecretAccessKey":"s/e+c","Token":"ses==","Expiration":"2026-11-22T11:30:00Z"}`},
		"credential_process":      {CredentialProcess(keys), `{"Version":1,"AccessKeyId":"AKID","SecretAccessKey":"s/e+c","SessionToken":"ses==","Expiration":"2026-11-22T11:30:00Z"}`},
		"credential_process, no":  {CredentialProcess(user), `{"Version":1,"AccessKeyId":"AKID","SecretAccessKey":"s"}`},
		"profile":                 {is(AWSCredentials(user)), "[default]\naws_access_key_id = AKID\naws_secret_access_key = s"},
		"google token":            {GoogleToken(token, now), `{"access_token":"a.b.c","expires_in":5400,"token_type":"Bearer"}`},
		"google token, no end":    {GoogleToken(endless, now), `{"access_token":"a.b.c","expires_in":3600,"token_type":"DPoP"}`},
		"executable":              {is(GoogleExecutable(token, "")), `{"version":1,"success":true,"token_type":"urn:ietf:params:oauth:token-type:jwt","id_token":"a.b.c","expiration_time":1795347000}`},
		"executable, id token":    {is(GoogleExecutable(endless, TypeIDToken)), `{"version":1,"success":true,"token_type":"urn:ietf:params:oauth:token-type:id_token","id_token":"a.b.c"}`},
		"executable that fails":   {GoogleExecutableFailure("503", "pod: unavailable"), `{"version":1,"success":false,"code":"503","message":"pod: unavailable"}`},
		"azure":                   {Azure(token, "r", "c", now), `{"access_token":"a.b.c","client_id":"c","expires_in":"5400","expires_on":"1795347000","resource":"r","token_type":"Bearer"}`},
		"JSON file":               {JSONToken(token), `{"access_token":"a.b.c","token_type":"Bearer","scope":"x y","expires_at":"2026-11-22T11:30:00Z"}`},
		"kubernetes":              {is(ExecCredential(token, "", now)), `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"expirationTimestamp":"2026-11-22T11:29:00Z","token":"a.b.c"}}`},
		"kubernetes, short":       {is(ExecCredential(Token{Value: "a", Expires: now.Add(time.Minute)}, "", now)), `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"expirationTimestamp":"2026-11-22T10:00:54Z","token":"a"}}`},
		"kubernetes, no end":      {is(ExecCredential(endless, "", now)), `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"a.b.c"}}`},
		"kubernetes, v1beta1 too": {is(ExecCredential(endless, `{"apiVersion":"client.authentication.k8s.io/v1beta1","kind":"ExecCredential","spec":{"interactive":false}}`, now)), `{"apiVersion":"client.authentication.k8s.io/v1beta1","kind":"ExecCredential","status":{"token":"a.b.c"}}`},
	} {
		if got := strings.TrimSuffix(string(tt.got), "\n"); got != tt.want {
			t.Errorf("%s is\n%s, want\n%s", name, got, tt.want)
		}
	}
}

func TestWhatAShapeCannotSayIsRefused(t *testing.T) {
	for name, err := range map[string]error{
		"a line in a key":      second(AWSCredentials(Keys{AccessKeyID: "a\n[other]"})),
		"a space in a key":     second(AWSCredentials(Keys{SecretAccessKey: "a b"})),
		"a SAML executable":    second(GoogleExecutable(token, "urn:ietf:params:oauth:token-type:saml2")),
		"an older Kubernetes":  second(ExecCredential(token, `{"apiVersion":"client.authentication.k8s.io/v1alpha1","kind":"ExecCredential"}`, now)),
		"another kind":         second(ExecCredential(token, `{"apiVersion":"client.authentication.k8s.io/v1","kind":"Pod"}`, now)),
		"what is not JSON":     second(ExecCredential(token, `v1`, now)),
		"a JSON of another":    second(ExecCredential(token, `[]`, now)),
		"an ended token":       token.Check(token.Expires),
		"keys that have ended": keys.Check(keys.Expires),
	} {
		if err == nil {
			t.Errorf("%s is taken", name)
		}
		if err != nil && strings.Contains(err.Error(), "a.b.c") {
			t.Errorf("%s: the error holds a secret", name)
		}
	}
	if err := errors.Join(token.Check(token.Expires.Add(-1)), Token{}.Check(now)); err != nil {
		t.Error(err)
	}
}

func second(_ []byte, err error) error { return err }

func TestCredentialsDoNotPrint(t *testing.T) {
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		said := fmt.Sprintf(verb+verb, keys, token)
		if said != "[keys][token]" {
			t.Errorf("%s prints %q", verb, said)
		}
	}
}

// Whatever the end, no shape tells one that is later.
func TestNoShapeTellsALaterEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := now.Add(time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "now")))
		end := at.Add(time.Duration(rapid.Int64Range(1, int64(48*time.Hour)).Draw(t, "life")))
		tok := Token{Value: "a", Expires: end}
		var said struct {
			In     int64     `json:"expires_in"`
			At     time.Time `json:"expires_at"`
			On     int64     `json:"expiration_time"`
			Status struct {
				At time.Time `json:"expirationTimestamp"`
			} `json:"status"`
			Expiration time.Time
		}
		exec, _ := GoogleExecutable(tok, "")
		kube, _ := ExecCredential(tok, "", at)
		for _, b := range [][]byte{GoogleToken(tok, at), JSONToken(tok), exec, kube, CredentialProcess(Keys{Expires: end})} {
			if err := json.Unmarshal(b, &said); err != nil {
				t.Fatal(err)
			}
		}
		for _, told := range []time.Time{at.Add(time.Duration(said.In) * time.Second), said.At, time.Unix(said.On, 0), said.Status.At, said.Expiration} {
			if told.After(end) || told.Before(end.Add(-61*time.Second-1)) {
				t.Errorf("the end is %s, told is %s", end, told)
			}
		}
	})
}

func FuzzExecInfo(f *testing.F) {
	f.Add(`{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential"}`)
	f.Add(`{"apiVersion":1}`)
	f.Fuzz(func(t *testing.T, info string) {
		if b, err := ExecCredential(token, info, now); err == nil && !json.Valid(b) {
			t.Errorf("%q: %q", info, b)
		}
	})
}
