package aws_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/aws"
	"github.com/longcase/longcase/internal/clouds"
)

// inMemory is a transport to a service in the same bubble.
type inMemory struct{ service http.Handler }

func (m inMemory) RoundTrip(req *http.Request) (*http.Response, error) {
	r := req.Clone(req.Context())
	if r.Host == "" {
		r.Host = r.URL.Host
	}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	recorder := httptest.NewRecorder()
	m.service.ServeHTTP(recorder, r)
	resp := recorder.Result()
	resp.Request = req
	return resp, nil
}

// virtual is a world without sockets, for synctest.
func virtual(cfg clouds.AWSConfig) *world {
	w := &world{}
	cfg.Now = w.now
	w.AWS = clouds.NewAWS(cfg)
	client := &http.Client{Transport: inMemory{w.AWS}}
	w.imds = aws.IMDS{Endpoint: "http://127.0.0.1", HTTP: client}
	w.role = aws.RoleConfig{STS: aws.STS{Endpoint: "http://127.0.0.1", Region: "eu-west-1", HTTP: client}, RoleARN: roleARN}
	return w
}

// Incident 0 at this level: session tokens of 5 min under keys of an hour, for
// three days, with sessions and keys withdrawn in between.
func TestThreeDaysOfShortSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := virtual(clouds.AWSConfig{SessionLife: 5 * time.Minute, RoleLife: time.Hour})
		session := fresh.New(aws.SessionToken(w.imds), w.policy("session"))
		role := fresh.From(session, aws.InstanceRole(w.imds), w.policy("role"))
		top := fresh.From(role, aws.AssumeRole(w.role), w.policy("top"))
		call := w.callerIdentity(aws.Provider(top), aws.Retryer(top, retry.NewStandard()))
		for minute := range 72 * 6 {
			if err := call(t.Context()); err != nil {
				t.Fatalf("after %v: %v", time.Duration(minute)*10*time.Minute, err)
			}
			switch minute % 50 {
			case 10:
				w.RevokeSessions()
			case 20:
				w.Revoke(lease(t, top).Value.AccessKeyID)
			case 30:
				w.Revoke(lease(t, role).Value.AccessKeyID)
				w.Revoke(lease(t, top).Value.AccessKeyID)
			}
			time.Sleep(10 * time.Minute)
		}
		if n := w.events.count("session", fresh.Failed) + w.events.count("role", fresh.Failed) + w.events.count("top", fresh.Failed); n != 0 {
			t.Errorf("%d renewals failed", n)
		}
	})
}

func TestOutageOfTheMetadataService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := virtual(clouds.AWSConfig{RoleLife: time.Hour})
		role := fresh.From(fresh.New(aws.SessionToken(w.imds), w.policy("session")), aws.InstanceRole(w.imds), w.policy("role"))
		first := lease(t, role)
		w.Stale(true)
		time.Sleep(59 * time.Minute)
		if got := lease(t, role); got.Value != first.Value {
			t.Error("keys that live are not handed out")
		}
		time.Sleep(2 * time.Minute)
		_, err := role.Get(t.Context())
		answer{want: fresh.Ended, words: "cannot renew them itself"}.check(t, err)
		w.Stale(false)
		time.Sleep(time.Minute)
		if got, err := role.Get(t.Context()); err != nil || got.Value == first.Value {
			t.Errorf("it does not heal: %v", err)
		}
		w.Fail(clouds.Failure{Call: clouds.RoleKeys, Times: 1, Status: http.StatusServiceUnavailable})
		w.Revoke(first.Value.AccessKeyID)
		role.Invalidate(lease(t, role))
		if _, err := role.Get(t.Context()); !errors.Is(err, fresh.Unavailable) {
			t.Errorf("a busy service: %v", err)
		}
	})
}
