package aws_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/aws"
	"github.com/longcase/longcase/internal/clouds"
)

func stsError(code, message string) string {
	return `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>` + code +
		`</Code><Message>` + message + `</Message></Error><RequestId>r</RequestId></ErrorResponse>`
}

func stsKeys(action, token, expiration string) string {
	if expiration != "" {
		expiration = "<Expiration>" + expiration + "</Expiration>"
	}
	return `<` + action + `Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><` + action + `Result><Credentials><AccessKeyId>ASIA1</AccessKeyId>` +
		`<SecretAccessKey>SECRET</SecretAccessKey><SessionToken>` + token + `</SessionToken>` + expiration +
		`</Credentials></` + action + `Result></` + action + `Response>`
}

// blamed reports whether err makes a layer renew its parent: the parent's value
// then is another one, and the fetch is repeated.
func blamed[P comparable](t *testing.T, fetch fresh.Fetch[P, aws.Keys], values func() P) bool {
	t.Helper()
	parent := fresh.New(counting(values), fresh.Policy{})
	before := lease(t, parent).Generation
	_, _ = fresh.From(parent, fetch, fresh.Policy{}).Get(t.Context())
	return lease(t, parent).Generation != before
}

func TestAssumeRoleAnswers(t *testing.T) {
	in := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339) }
	past := func(d time.Duration) []string {
		return []string{"Date", time.Now().Add(-d).UTC().Format(http.TimeFormat)}
	}
	for _, tt := range []struct {
		answer
		blames bool
	}{
		{answer{"good", 200, stsKeys("AssumeRole", "t", in(time.Hour)), nil, nil, ""}, false},
		{answer{"no end", 200, stsKeys("AssumeRole", "t", ""), nil, fresh.Malformed, "Expiration"}, false},
		{answer{"an end that stands for none", 200, stsKeys("AssumeRole", "t", "0001-01-01T00:00:00Z"), nil, fresh.Ended, "ended in 1"}, false},
		{answer{"no session token", 200, stsKeys("AssumeRole", "", in(time.Hour)), nil, fresh.Malformed, "SessionToken"}, false},
		{answer{"an end that is no time", 200, stsKeys("AssumeRole", "t", "tomorrow"), nil, fresh.Malformed, "XML"}, false},
		{answer{"truncated", 200, stsKeys("AssumeRole", "t", in(time.Hour))[:200], nil, fresh.Malformed, "XML"}, false},
		{answer{"empty", 200, "", nil, fresh.Malformed, ""}, false},
		{answer{"huge", 200, strings.Repeat(" ", 2<<20), nil, fresh.Malformed, "more than"}, false},
		{answer{"redirect", 307, "", []string{"Location", "/elsewhere"}, fresh.Refused, "307"}, false},
		{answer{"a page of a proxy", 502, "<html>", nil, fresh.Unavailable, "502"}, false},
		{answer{"busy", 503, stsError("ServiceUnavailable", ""), []string{"Retry-After", "7"}, fresh.Unavailable, "503"}, false},
		{answer{"throttled", 429, stsError("Throttling", "Rate exceeded"), []string{"Retry-After", "7"}, fresh.Unavailable, "Rate exceeded"}, false},
		{answer{"throttled with 400", 400, stsError("Throttling", "Rate exceeded"), nil, fresh.Unavailable, "Rate exceeded"}, false},
		{answer{"not allowed", 403, stsError("AccessDenied", "not authorized"), nil, fresh.Refused, "not authorized"}, false},
		{answer{"keys ended", 403, stsError("ExpiredToken", "expired"), nil, fresh.Refused, "ExpiredToken"}, true},
		{answer{"keys ended, by its other name", 400, stsError("ExpiredTokenException", "expired"), nil, fresh.Refused, ""}, true},
		{answer{"keys unknown", 403, stsError("InvalidClientTokenId", "invalid"), nil, fresh.Refused, ""}, true},
		{answer{"keys unknown, by its other name", 403, stsError("UnrecognizedClientException", "invalid"), nil, fresh.Refused, ""}, true},
		{answer{"clock ahead", 403, stsError("SignatureDoesNotMatch", "Signature not yet current"), past(20 * time.Minute), fresh.Refused, "ahead of the service's: check NTP here"}, false},
		{answer{"clock behind", 403, stsError("RequestTimeTooSkewed", "too skewed"), past(-20 * time.Minute), fresh.Refused, "behind the service's: check NTP here"}, false},
		{answer{"clock behind, as a request that expired", 400, stsError("RequestExpired", "the date stamp"), past(-20 * time.Minute), fresh.Refused, "behind the service's: check NTP here"}, false},
		{answer{"keys ended, as a request that expired", 400, stsError("RequestExpired", "Request has expired."), past(0), fresh.Refused, ""}, true},
		{answer{"the request comes back", 403, stsError("SignatureDoesNotMatch", "POST\n/\n\nx-amz-security-token:SECRETSESSION"), past(0), fresh.Refused, "security-token:["}, false},
		{answer{"wrong secret", 403, stsError("SignatureDoesNotMatch", "The request signature"), past(0), fresh.Refused, "The request signature"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url, client := serve(t, answering(tt.status, tt.body, tt.header...))
			fetch := aws.AssumeRole(aws.RoleConfig{STS: aws.STS{Endpoint: url, HTTP: client}, RoleARN: roleARN})
			id := aws.Keys{AccessKeyID: "AKIA1", SecretAccessKey: "SECRET", SessionToken: "SECRETSESSION"}
			parent := fresh.New(counting(func() aws.Keys { return id }), fresh.Policy{})
			_, err := fetch(t.Context(), lease(t, parent), time.Now())
			tt.check(t, err)
			if err != nil && strings.Contains(err.Error(), "clock") != strings.HasPrefix(tt.name, "clock") {
				t.Errorf("the clock is named for nothing, or not at all: %v", err)
			}
			if got := blamed(t, fetch, func() aws.Keys { id.AccessKeyID += "X"; return id }); got != tt.blames {
				t.Errorf("the keys are blamed: %v", got)
			}
		})
	}
}

func TestWebIdentityAnswers(t *testing.T) {
	for _, tt := range []struct {
		answer
		blames bool
	}{
		{answer{"ended", 400, stsError("ExpiredTokenException", "Token expired"), nil, fresh.Refused, "Token expired"}, true},
		{answer{"invalid because it ended", 400, stsError("InvalidIdentityToken", "The web identity token has Expired"), nil, fresh.Refused, ""}, true},
		{answer{"another audience", 400, stsError("InvalidIdentityToken", "Incorrect token audience"), nil, fresh.Refused, "audience"}, false},
		{answer{"keys not found for now", 400, stsError("InvalidIdentityToken", "Couldn't retrieve verification key from your identity provider"), nil, fresh.Unavailable, ""}, false},
		{answer{"issuer not reached", 400, stsError("IDPCommunicationError", "could not"), nil, fresh.Unavailable, ""}, false},
		{answer{"not allowed", 403, stsError("AccessDenied", "not authorized"), nil, fresh.Refused, ""}, false},
		{answer{"the JWT comes back", 400, stsError("InvalidIdentityToken", "SECRETJWT is no JWT"), nil, fresh.Refused, "[secret] is no JWT"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url, client := serve(t, answering(tt.status, tt.body, tt.header...))
			fetch := aws.WebIdentity(aws.RoleConfig{STS: aws.STS{Endpoint: url, HTTP: client}, RoleARN: roleARN})
			_, err := fetch(t.Context(), lease(t, fixed("SECRETJWT")), time.Now())
			tt.check(t, err)
			value := "SECRET"
			if got := blamed(t, fetch, func() fresh.Token { value += "X"; return fresh.Token{Value: value} }); got != tt.blames {
				t.Errorf("the JWT is blamed: %v", got)
			}
		})
	}
}

func TestSTSThatNobodyIs(t *testing.T) {
	url, client := serve(t, answering(200, ""))
	fetch := aws.WebIdentity(aws.RoleConfig{STS: aws.STS{Endpoint: strings.TrimRight(url, "0123456789") + "1", HTTP: client}, RoleARN: roleARN})
	_, err := fetch(t.Context(), lease(t, fixed("SECRET")), time.Now())
	answer{want: fresh.Unavailable, words: "STS cannot be reached"}.check(t, err)
}

func TestWhatIsSaidIsSaidOnce(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		body   string
		want   string
	}{
		{"a redirect", 302, "", "STS answered 302: a redirect, which is not followed: check the endpoint"},
		{"no XML", 404, "<html>", "STS answered 404: not as STS does: check the endpoint"},
		{"JSON", 400, `{"message":"no"}`, "STS answered 400: not as STS does: check the endpoint"},
		{"a proxy without its service", 502, "<html>", "STS answered 502"},
		{"too many", 429, "", "STS answered 429"},
		{"a code alone", 403, stsError("AccessDenied", ""), "STS answered 403: AccessDenied"},
		{"a code as message", 400, stsError("Throttling", "Throttling"), "STS answered 400: Throttling"},
		{"a message that begins with its code", 400, stsError("Throttling", "Throttling: Rate exceeded"), "STS answered 400: Throttling: Rate exceeded"},
		{"both", 403, stsError("AccessDenied", "not authorized"), "STS answered 403: AccessDenied: not authorized"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			role := aws.RoleConfig{STS: aws.STS{HTTP: said(tt.status, []byte(tt.body))}, RoleARN: roleARN}
			_, err := aws.WebIdentity(role)(t.Context(), lease(t, fixed("jwt")), time.Now())
			if err == nil || err.Error() != tt.want {
				t.Errorf("it says %v, want %s", err, tt.want)
			}
		})
	}
}

func TestNoAnswerInTimeIsSaidPlainly(t *testing.T) {
	url, client := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // then the server notices that the client has gone
		<-r.Context().Done()
	}))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	fetch := aws.WebIdentity(aws.RoleConfig{STS: aws.STS{Endpoint: url, HTTP: client}, RoleARN: roleARN})
	_, err := fetch(ctx, lease(t, fixed("jwt")), time.Now())
	if want := "STS cannot be reached: context deadline exceeded"; !errors.Is(err, fresh.Unavailable) || err.Error() != want {
		t.Errorf("it says %v, want %s", err, want)
	}
}

// A host whose clock is wrong is told so, and its next signature is right: the
// SDK signs by the service's Date from then on.
func TestWrongClockIsNamedAndHeals(t *testing.T) {
	w := newWorld(t, clouds.AWSConfig{})
	w.ahead.Store(int64(20 * time.Minute))
	layer := fresh.From(w.user(), aws.AssumeRole(w.role), fresh.Policy{Backoff: 10 * time.Millisecond})
	_, err := layer.Get(t.Context())
	answer{want: fresh.Refused, words: "behind the service's: check NTP here"}.check(t, err)
	time.Sleep(50 * time.Millisecond)
	got := lease(t, layer)
	if life := time.Until(got.Expires); life > time.Hour || life < 59*time.Minute {
		t.Errorf("by this host's clock the keys live %v: the service's Date was not counted in", life)
	}
}

func TestExternalIDAndDurationAreSent(t *testing.T) {
	w := newWorld(t, clouds.AWSConfig{ExternalID: "partner"})
	_, err := fresh.From(w.user(), aws.AssumeRole(w.role), fresh.Policy{}).Get(t.Context())
	answer{want: fresh.Refused, words: "AccessDenied"}.check(t, err)
	w.role.ExternalID, w.role.Duration, w.role.SessionName = "partner", 2*time.Hour, "me"
	got := lease(t, fresh.From(w.user(), aws.AssumeRole(w.role), fresh.Policy{}))
	if life := time.Until(got.Expires); life < 119*time.Minute || life > 2*time.Hour {
		t.Errorf("the keys live %v", life)
	}
}

// roundTrip is a transport that answers without a socket.
type roundTrip func() *http.Response

func (f roundTrip) RoundTrip(*http.Request) (*http.Response, error) { return f(), nil }

// said is a client to whom every service says this.
func said(status int, body []byte) *http.Client {
	return &http.Client{Transport: roundTrip(func() *http.Response {
		return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(string(body)))}
	})}
}

// judge wants of whatever an outside service says a good credential or a reason.
func judge(t *testing.T, c fresh.Credential[aws.Keys], err error) {
	t.Helper()
	var e *fresh.Error
	switch {
	case err != nil && !errors.As(err, &e):
		t.Errorf("an error without a reason: %v", err)
	case err == nil && (c.Value.AccessKeyID == "" || c.Value.SecretAccessKey == ""):
		t.Error("a credential without keys")
	case err == nil && c.Expires.IsZero() && c.Recheck == 0:
		t.Error("a credential that never ends")
	}
}

func FuzzSTS(f *testing.F) {
	f.Add(200, []byte(stsKeys("AssumeRoleWithWebIdentity", "t", "2030-01-01T00:00:00Z")))
	f.Add(400, []byte(stsError("ExpiredTokenException", "x")))
	f.Add(503, []byte("<ErrorResponse><Error>"))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 100 || status > 999 {
			return
		}
		fetch := aws.WebIdentity(aws.RoleConfig{STS: aws.STS{HTTP: said(status, body)}, RoleARN: roleARN})
		c, err := fetch(t.Context(), lease(t, fixed("jwt")), time.Now())
		judge(t, c, err)
	})
}

func FuzzDocument(f *testing.F) {
	f.Add(200, []byte(keys("2030-01-01T00:00:00Z")))
	f.Add(200, []byte(`{"Code":"Failed","Message":"x"}`))
	f.Add(404, []byte(`{"code":"a","message":"b"}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 100 || status > 999 {
			return
		}
		client := said(status, body)
		c, err := aws.Container(aws.ContainerConfig{URL: "http://127.0.0.1/", HTTP: client})(t.Context(), time.Now())
		judge(t, c, err)
		c, err = aws.InstanceRole(aws.IMDS{Role: "app", HTTP: client})(t.Context(), lease(t, fixed("session")), time.Now())
		judge(t, c, err)
	})
}

func FuzzSessionToken(f *testing.F) {
	f.Add("60", []byte("TOKEN"))
	f.Add("-9223372036854775808", []byte(""))
	f.Fuzz(func(t *testing.T, ttl string, body []byte) {
		client := &http.Client{Transport: roundTrip(func() *http.Response {
			return &http.Response{StatusCode: 200, Header: http.Header{"X-Aws-Ec2-Metadata-Token-Ttl-Seconds": {ttl}},
				Body: io.NopCloser(strings.NewReader(string(body)))}
		})}
		c, err := aws.SessionToken(aws.IMDS{HTTP: client})(t.Context(), time.Now())
		var e *fresh.Error
		switch {
		case err != nil && !errors.As(err, &e):
			t.Errorf("an error without a reason: %v", err)
		case err == nil && (c.Value.Value == "" || c.Life <= 0 || c.Life > 6*time.Hour):
			t.Errorf("a session token %q that lives %v", c.Value.Value, c.Life)
		}
	})
}
