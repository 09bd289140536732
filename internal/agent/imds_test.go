package agent

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/internal/agent/render"
)

func imdsOf(session string) []Publication {
	return []Publication{{Form: IMDS, Name: "role", Listen: listen, Keys: someKeys, Region: "eu-west-1", Session: session}}
}

// open asks for a session token.
func open(t *testing.T, a *Agent, ttl string) string {
	t.Helper()
	resp := ask(a, "PUT", imdsToken, ttlHeader, ttl)
	said := body(resp)
	if resp.StatusCode != 200 || resp.Header.Get(ttlHeader) != ttl {
		t.Fatalf("PUT is answered with %d %q, %s %q", resp.StatusCode, said, ttlHeader, resp.Header.Get(ttlHeader))
	}
	return said
}

func TestIMDSAnswersAsEC2Does(t *testing.T) {
	a := prepared(t, Config{Publish: imdsOf("")})
	live := open(t, a, "21600")
	with := []string{tokenHeader, live}
	rows(t, a, []row{
		{name: "the roles", target: "/latest/meta-data/iam/security-credentials/", headers: with, status: 200, body: "role"},
		{name: "the roles without a slash", target: "/latest/meta-data/iam/security-credentials", headers: with, status: 200, body: "role"},
		{name: "a role", target: "/latest/meta-data/iam/security-credentials/role", headers: with, status: 200, body: `~"Expiration":"2026-11-22T11:00:00.000Z"`},
		{name: "a role with a slash", target: "/latest/meta-data/iam/security-credentials/role/", headers: with, status: 200, body: `~"Code":"Success"`},
		{name: "the zone", target: "/latest/meta-data/placement/availability-zone", headers: with, status: 200, body: "eu-west-1a"},
		{name: "the zone with a slash", target: "/latest/meta-data/placement/availability-zone/", headers: with, status: 200, body: "eu-west-1a"},
		{name: "the region", target: "/latest/meta-data/placement/region", headers: with, status: 200, body: "eu-west-1"},
		{name: "the region with a slash", target: "/latest/meta-data/placement/region/", headers: with, status: 200, body: "eu-west-1"},
		{name: "no identity document", target: "/latest/dynamic/instance-identity/document", headers: with, status: 404},
		{name: "no user data", target: "/latest/user-data", headers: with, status: 404},
		{name: "no other role", target: "/latest/meta-data/iam/security-credentials/other", headers: with, status: 404},
		{name: "no extended credentials", target: "/latest/meta-data/iam/security-credentials-extended/", headers: with, status: 404},
		{name: "version 1 is refused", target: "/latest/meta-data/iam/security-credentials/", status: 401},
		{name: "version 1 learns no path", target: "/latest/user-data", status: 401},
		{name: "an unknown token", target: "/latest/meta-data/iam/security-credentials/role", headers: []string{tokenHeader, "AAAA"}, status: 401},
		{name: "a changed token", target: "/latest/meta-data/iam/security-credentials/role", headers: []string{tokenHeader, "B" + live[1:]}, status: 401},
		{name: "another spelling of a token", target: "/latest/meta-data/iam/security-credentials/role", headers: []string{tokenHeader, live + "="}, status: 401},
		{name: "two tokens", target: "/latest/meta-data/iam/security-credentials/role", headers: []string{tokenHeader, live, tokenHeader, live}, status: 401},
		{name: "a life of a second", method: "PUT", target: imdsToken, headers: []string{ttlHeader, "1"}, status: 200},
		{name: "no life", method: "PUT", target: imdsToken, status: 400},
		{name: "a life of nothing", method: "PUT", target: imdsToken, headers: []string{ttlHeader, "0"}, status: 400},
		{name: "a life below nothing", method: "PUT", target: imdsToken, headers: []string{ttlHeader, "-1"}, status: 400},
		{name: "a life too long", method: "PUT", target: imdsToken, headers: []string{ttlHeader, "21601"}, status: 400},
		{name: "a life of 1e3", method: "PUT", target: imdsToken, headers: []string{ttlHeader, "1e3"}, status: 400},
		{name: "two lives", method: "PUT", target: imdsToken, headers: []string{ttlHeader, "60", ttlHeader, "60"}, status: 400},
		{name: "GET of a token", target: imdsToken, headers: []string{ttlHeader, "60"}, status: 405},
		{name: "PUT elsewhere", method: "PUT", target: "/latest/meta-data/iam/security-credentials/role", headers: with, status: 405},
		{name: "PUT through a proxy", method: "PUT", target: imdsToken, headers: []string{ttlHeader, "60", "X-Forwarded-For", "10.0.0.1"}, status: 403},
		{name: "outside of latest", target: "/2021-07-15/meta-data/iam/security-credentials/", headers: with, status: 404},
	})
}

func TestAnIMDSWithoutARegionHasNoPlace(t *testing.T) {
	p := imdsOf("")
	p[0].Region = ""
	a := prepared(t, Config{Publish: p})
	with := []string{tokenHeader, open(t, a, "60")}
	rows(t, a, []row{
		{name: "no zone", target: "/latest/meta-data/placement/availability-zone", headers: with, status: 404},
		{name: "no region", target: "/latest/meta-data/placement/region", headers: with, status: 404},
	})
}

func TestHowASessionEnds(t *testing.T) {
	tests := []struct {
		name, session string
		after         time.Duration
		want          int
	}{
		{"sliding lives beyond the life asked for", sliding, 301 * time.Second, 200},
		{"sliding lives through a weekend", sliding, 72 * time.Hour, 200},
		{"sliding is the default", "", 301 * time.Second, 200},
		{"strict lives as long as asked for", strict, 299 * time.Second, 200},
		{"strict ends at the end", strict, 300 * time.Second, 401},
		{"strict bears a clock that is set back a little", strict, -30 * time.Second, 200},
		{"strict ends if the clock is set back far", strict, -2 * time.Hour, 401},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := &clock{now: start}
			a := prepared(t, Config{Publish: imdsOf(tt.session), Now: c.Now})
			session := open(t, a, "300")
			c.forward(tt.after)
			if resp := ask(a, "GET", imdsRoles, tokenHeader, session); resp.StatusCode != tt.want {
				t.Errorf("after %s: %d, want %d", tt.after, resp.StatusCode, tt.want)
			}
		})
	}
}

func TestASessionIsItsUidsOwn(t *testing.T) {
	a := prepared(t, Config{Publish: imdsOf(""), AllowUID: []uint32{1000, 1001}})
	session := body(askAs(a, 1000, "PUT", imdsToken, ttlHeader, "60"))
	for uid, want := range map[uint32]int{1000: 200, 1001: 401, 0: 401} {
		if resp := askAs(a, uid, "GET", imdsRoles, tokenHeader, session); resp.StatusCode != want {
			t.Errorf("uid %d: %d, want %d", uid, resp.StatusCode, want)
		}
	}
}

// The client of incident 0 never asks for another session token, so neither a
// reload nor a restart of the agent may end it.
func TestASessionOutlivesTheAgent(t *testing.T) {
	dir := t.TempDir()
	session := open(t, prepared(t, Config{Publish: imdsOf(""), Dir: dir}), "300")
	if resp := ask(prepared(t, Config{Publish: imdsOf(""), Dir: dir}), "GET", imdsRoles, tokenHeader, session); resp.StatusCode != 200 {
		t.Errorf("after a restart: %d", resp.StatusCode)
	}
	if resp := ask(prepared(t, Config{Publish: imdsOf("")}), "GET", imdsRoles, tokenHeader, session); resp.StatusCode != 401 {
		t.Errorf("at another agent: %d", resp.StatusCode)
	}
	other := imdsOf("")
	other[0].Name, other[0].TokenFile = "other", dir+"/imds/role.token"
	if resp := ask(prepared(t, Config{Publish: other}), "GET", imdsRoles, tokenHeader, session); resp.StatusCode != 401 {
		t.Errorf("for another credential: %d", resp.StatusCode)
	}
}

func TestBeforePrepareNothingIsServed(t *testing.T) {
	a, err := New(Config{Publish: everything(), Dir: t.TempDir(), Now: func() time.Time { return start }})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		method, target, header, value string
		want                          int
	}{
		{"PUT", imdsToken, ttlHeader, "60", 503},
		{"GET", "/container/role", "Authorization", "", 401},
		{"GET", servicePath + "?api-version=2019-08-01&resource=https://vault.azure.net", identityHeader, "", 401},
	} {
		if resp := ask(a, tt.method, tt.target, tt.header, tt.value); resp.StatusCode != tt.want {
			t.Errorf("%s: %d, want %d", tt.target, resp.StatusCode, tt.want)
		}
	}
}

func TestWhatCannotBeHadIsToldWithoutSecrets(t *testing.T) {
	deep := &fresh.Error{Layer: "google", Reason: fresh.Unavailable, Err: &fresh.Error{
		Layer: "imds", Reason: fresh.Unavailable, Detail: "the metadata service\r\nanswered 503", RetryAfter: 7 * time.Second,
		Err: errors.New("hush: dial tcp 10.0.0.1"),
	}}
	tests := []struct {
		name   string
		keys   render.Keys
		err    error
		status int
		says   string
		after  string
	}{
		{"unavailable", render.Keys{}, deep, 503, "role: google: imds: unavailable: the metadata service  answered 503", ""},
		{"asked to wait", render.Keys{}, &fresh.Error{Layer: "role", Reason: fresh.Unavailable, RetryAfter: 90 * time.Second, Detail: "throttled"}, 503, "role: unavailable: throttled", "90"},
		{"asked to wait for ever", render.Keys{}, &fresh.Error{Layer: "role", Reason: fresh.Unavailable, RetryAfter: time.Hour}, 503, "role: unavailable", "300"},
		{"ended", render.Keys{}, &fresh.Error{Layer: "role", Reason: fresh.Ended}, 503, "role: ended", ""},
		{"refused", render.Keys{}, fresh.Fail(fresh.Refused, "STS answered 403: AccessDenied"), 503, "role: refused: STS answered 403: AccessDenied", ""},
		{"misconfigured", render.Keys{}, fresh.Fail(fresh.Misconfigured, "no role"), 503, "role: misconfigured: no role", ""},
		{"a panic", render.Keys{}, &fresh.Error{Layer: "role", Reason: fresh.Panicked, Detail: "the provider panicked"}, 503, "role: panicked: the provider panicked", ""},
		{"out of time", render.Keys{}, context.DeadlineExceeded, 503, "role: unavailable: it did not come in time", ""},
		{"refused, and asked to wait", render.Keys{}, &fresh.Error{Layer: "role", Reason: fresh.Refused, RetryAfter: 2500 * time.Millisecond}, 503, "role: refused", "3"},
		{"ended in hand", render.Keys{SecretAccessKey: "hush", Expires: start}, nil, 503, "role: ended: a renewal did not come in time", ""},
		{"long", render.Keys{}, fresh.Fail(fresh.Unavailable, "%s", strings.Repeat("é", 1000)), 503, "…", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			get := func(context.Context) (render.Keys, error) { return tt.keys, tt.err }
			a := prepared(t, Config{Publish: []Publication{{Form: IMDS, Name: "role", Listen: listen, Keys: get}}})
			resp := ask(a, "GET", imdsRoles+"/role", tokenHeader, open(t, a, "60"))
			var said struct{ Message string }
			if err := json.NewDecoder(resp.Body).Decode(&said); err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tt.status || resp.Header.Get("Retry-After") != tt.after {
				t.Errorf("%d, Retry-After %q, want %d and %q", resp.StatusCode, resp.Header.Get("Retry-After"), tt.status, tt.after)
			}
			if !strings.HasSuffix(said.Message, tt.says) || strings.Contains(said.Message, "hush") || len(said.Message) > 700 {
				t.Errorf("says %q, want %q", said.Message, tt.says)
			}
		})
	}
}

// The SDK as it is finds the agent through two variables and survives the ends
// of its keys.
func TestTheGoSDKLivesOnIMDS(t *testing.T) {
	var made atomic.Int64
	get := func(context.Context) (render.Keys, error) {
		n := made.Add(1)
		return render.Keys{AccessKeyID: "ASIA" + string(rune('A'+n)), SecretAccessKey: "s", SessionToken: "t", Expires: time.Now().Add(time.Second)}, nil
	}
	var hits atomic.Int64
	a := prepared(t, Config{Now: time.Now, Publish: []Publication{{Form: IMDS, Name: "role", Listen: listen, Keys: get}},
		Hooks: Hooks{Served: func(Form, string) { hits.Add(1) }}})
	at := served(t, a, "tcp", listen)
	cfg := loadSDK(t, a, at.String())
	first, err := cfg.Credentials.Retrieve(t.Context())
	if err != nil || !first.CanExpire || first.Source != "EC2RoleProvider" {
		t.Fatalf("Retrieve = %s, %v", first.Source, err)
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		next, err := cfg.Credentials.Retrieve(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if next.AccessKeyID != first.AccessKeyID {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the SDK never asked again")
		}
	}
	if hits.Load() < 2 {
		t.Errorf("%d credentials counted", hits.Load())
	}
}

func TestTheGoSDKLivesOnAContainerEndpoint(t *testing.T) {
	a := prepared(t, Config{Publish: []Publication{{Form: AWSContainer, Name: "role", Listen: listen, Keys: func(context.Context) (render.Keys, error) {
		return render.Keys{AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: "s", SessionToken: "t", Expires: time.Now().Add(time.Hour)}, nil
	}}}, Now: time.Now})
	at := served(t, a, "tcp", listen)
	cfg := loadSDK(t, a, at.String())
	got, err := cfg.Credentials.Retrieve(t.Context())
	if err != nil || got.AccessKeyID != "ASIAEXAMPLE" || got.SessionToken != "t" || !got.CanExpire {
		t.Errorf("Retrieve = %s, %v", got.Source, err)
	}
}

// loadSDK loads the SDK's own default chain in the environment of the agent.
func loadSDK(t *testing.T, a *Agent, at string) aws.Config {
	t.Helper()
	places, err := a.Places(func(string) string { return "http://" + at })
	if err != nil {
		t.Fatal(err)
	}
	env, err := Environment(places)
	if err != nil {
		t.Fatal(err)
	}
	none := filepath.Join(t.TempDir(), "none")
	for _, v := range append(env, "AWS_CONFIG_FILE="+none, "AWS_SHARED_CREDENTIALS_FILE="+none, "AWS_REGION=eu-west-1", "AWS_CA_BUNDLE=") {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	cfg, err := config.LoadDefaultConfig(t.Context(), config.WithHTTPClient(client))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}
