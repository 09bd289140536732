package aws_test

import (
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/aws"
)

// inTwo answers with headers, and a while later with the body. In between the
// world stops a few times, so that goroutines run in other orders than usual.
func inTwo(status int, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		w.WriteHeader(status)
		_ = http.NewResponseController(w).Flush()
		for range 4 {
			time.Sleep(5 * time.Millisecond)
			runtime.GC()
		}
		_, _ = w.Write([]byte(body))
	})
}

func TestABodyThatComesAfterItsHeaders(t *testing.T) {
	end := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	for range 20 {
		url, client := serve(t, inTwo(200, stsKeys("AssumeRole", "t", end)))
		role := aws.RoleConfig{STS: aws.STS{Endpoint: url, HTTP: client}, RoleARN: roleARN}
		_, err := aws.AssumeRole(role)(t.Context(), lease(t, user()), time.Now())
		answer{}.check(t, err)
		url, client = serve(t, inTwo(200, stsKeys("AssumeRoleWithWebIdentity", "t", end)))
		role.Endpoint, role.HTTP = url, client
		_, err = aws.WebIdentity(role)(t.Context(), lease(t, fixed("jwt")), time.Now())
		answer{}.check(t, err)
		url, client = serve(t, inTwo(400, stsError("AccessDenied", "not authorized")))
		role.Endpoint, role.HTTP = url, client
		_, err = aws.WebIdentity(role)(t.Context(), lease(t, fixed("jwt")), time.Now())
		answer{want: fresh.Refused, words: "AccessDenied: not authorized"}.check(t, err)
	}
}

// user is a layer that always holds the same keys of a user.
func user() *fresh.Layer[aws.Keys] {
	return fresh.New(counting(func() aws.Keys { return aws.Keys{AccessKeyID: "AKIA1", SecretAccessKey: "SECRET"} }), fresh.Policy{})
}

func TestABodyThatBreaksIsNotABodyThatIsWrong(t *testing.T) {
	good := stsKeys("AssumeRole", "t", "2030-01-01T00:00:00Z")
	for _, tt := range []struct {
		answer
		length string
	}{
		{answer{"cut off", 200, good[:200], nil, fresh.Unavailable, "STS cannot be reached: unexpected EOF"}, fmt.Sprint(len(good))},
		{answer{"cut off within a chunk", 200, good[:200], nil, fresh.Unavailable, "STS cannot be reached: unexpected EOF"}, ""},
		{answer{"cut off, of a refusal", 403, stsError("ExpiredToken", "x")[:100], nil, fresh.Unavailable, "STS cannot be reached: unexpected EOF"}, "1000"},
		{answer{"whole and no XML", 200, "<html>", nil, fresh.Malformed, "not the XML"}, "6"},
		{answer{"longer than it may be", 200, strings.Repeat(" ", 2<<20), nil, fresh.Malformed, "more than"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url, client := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if tt.length != "" {
					w.Header().Set("Content-Length", tt.length)
				}
				w.WriteHeader(tt.status)
				_, _ = w.Write([]byte(tt.body))
				_ = http.NewResponseController(w).Flush()
				if errors.Is(tt.want, fresh.Unavailable) {
					panic(http.ErrAbortHandler)
				}
			}))
			_, err := aws.AssumeRole(aws.RoleConfig{STS: aws.STS{Endpoint: url, HTTP: client}, RoleARN: roleARN})(t.Context(), lease(t, user()), time.Now())
			tt.check(t, err)
		})
	}
}
