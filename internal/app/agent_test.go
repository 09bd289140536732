package app

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/internal/agent"
	"github.com/longcase/longcase/internal/agent/render"
	"github.com/longcase/longcase/internal/chains"
	"github.com/longcase/longcase/internal/config"
)

func TestTheExamplePublishesWhatTheAgentTakes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "longcase.yaml")
	write(t, file, config.Example, 0o600)
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	c, err := chains.New(chains.Config{Agent: cfg.Agent, Names: published(cfg.Agent), Getenv: os.Getenv})
	if err != nil {
		t.Fatal(err)
	}
	list := make([]agent.Publication, len(cfg.Agent.Publish))
	for i, p := range cfg.Agent.Publish {
		if list[i], err = publication(c, p); err != nil {
			t.Fatal(err)
		}
	}
	a, err := agent.New(agent.Config{Publish: list, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range agentListeners(cfg.Agent) {
		if a.Handler(at) == nil {
			t.Errorf("nothing is published on %s", at)
		}
	}
}

func TestAnIDTokenIsNotPublishedAsAnAccessToken(t *testing.T) {
	c, err := chains.New(chains.Config{Getenv: os.Getenv, Agent: &config.Agent{Credentials: map[string]*config.Credential{
		"id": {Kind: "gce-metadata", Audience: "https://b.example"}, "access": {Kind: "gce-metadata"}}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, access := range map[string]bool{"id": false, "access": true} {
		p, err := publication(c, config.Publisher{Credential: name, As: "gce-metadata", Listen: loopback})
		if err != nil || (p.Bearer != nil) != access || p.Identity == nil {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
	if c.IDToken("id", "https://b.example") != c.Token("id") || c.IDToken("id", "https://c.example") == c.Token("id") {
		t.Error("the ID token that is kept fresh is the one of its audience, and of no other")
	}
}

// agentFile publishes what a script prints, with one line to change.
const agentFile = `
agent:
  listen: 127.0.0.1:0
  credentials:
    keys: {kind: exec, command: [SCRIPT], format: aws}
  publish:
    - {credential: keys, as: aws-container, token_file: token}
`

func TestAReloadAsksForNothingThatDidNotChange(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := t.TempDir()
	runs, script, file := filepath.Join(dir, "runs"), filepath.Join(dir, "keys.sh"), filepath.Join(dir, "longcase.yaml")
	write(t, script, "#!/bin/sh\necho run >> "+runs+"\n"+
		`echo '{"Version":1,"AccessKeyId":"AKIAEXAMPLE","SecretAccessKey":"s","SessionToken":"t","Expiration":"`+
		time.Now().Add(time.Hour).UTC().Format(time.RFC3339)+"\"}'\n", 0o700)
	text := strings.Replace(agentFile, "SCRIPT", script, 1)
	write(t, file, text, 0o600)
	s := start(t, file)
	defer s.stop(t)
	if got := s.container(t, dir); got != "AKIAEXAMPLE" {
		t.Fatalf("before: %q", got)
	}
	write(t, file, text+"  allow_uid: [65533]\n", 0o600)
	s.hangup(t, "msg=reloaded")
	if got := s.container(t, dir); got != "AKIAEXAMPLE" {
		t.Errorf("after the reload: %q", got)
	}
	ran, err := os.ReadFile(runs)
	if err != nil || strings.Count(string(ran), "run") != 1 {
		t.Errorf("the script ran %d times, want once: %v", strings.Count(string(ran), "run"), err)
	}
}

// container asks for the keys as a container's SDK does, and returns their id.
func (s *server) container(t *testing.T, dir string) string {
	t.Helper()
	secret, err := os.ReadFile(filepath.Join(dir, "token"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/container/keys", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", string(secret))
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer resp.Body.Close()
	var keys struct{ AccessKeyId string } //nolint:staticcheck // AWS's spelling
	if err := json.NewDecoder(resp.Body).Decode(&keys); err != nil {
		t.Fatal(resp.Status, err)
	}
	return keys.AccessKeyId
}

// Why a credential is missing is told to those who may have it, and to whoever
// looks after the process.
func TestReadyzNamesCredentialsOnlyToThoseWhoMayAsk(t *testing.T) {
	file := filepath.Join(t.TempDir(), "longcase.yaml")
	write(t, file, `
gate: {listen: 127.0.0.1:0, accept: [{issuer: "http://127.0.0.1:1", audience: https://b.example}]}
agent:
  listen: 127.0.0.1:0
  credentials: {hush: {kind: jwt-file, path: missing.jwt}}
  publish: [{credential: hush, as: gce-metadata}]
console: {listen: 127.0.0.1:0}
`, 0o600)
	s := start(t, file)
	defer s.stop(t)
	for _, tt := range []struct {
		name, room, path, host string
		status                 int
		names                  bool
	}{
		{"curl by the same user", "agent", "readyz", "", 503, true},
		{"the same, whether it lives", "agent", "healthz", "", 200, false},
		{"a page whose name was rebound", "agent", "readyz", "evil.example.com", 403, false},
		{"a page whose name was rebound, whether it lives", "agent", "healthz", "evil.example.com", 403, false},
		{"whoever reaches the gate", "gate", "readyz", "", 503, false},
		{"who looks after the process", "console", "readyz", "", 503, true},
	} {
		url := regexp.MustCompile("listening " + tt.room + ` (\S+)`).FindStringSubmatch(s.log.String())[1]
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/.longcase/"+tt.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = tt.host
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if said := readAll(t, resp); resp.StatusCode != tt.status || strings.Contains(said, "hush") != tt.names {
			t.Errorf("%s: %d %q", tt.name, resp.StatusCode, said)
		}
	}
}

func TestReadinessNamesEachCredentialThatIsMissing(t *testing.T) {
	one := func(kind, path string) *config.Credential { return &config.Credential{Kind: kind, Path: path} }
	c, err := chains.New(chains.Config{Getenv: os.Getenv, Agent: &config.Agent{Credentials: map[string]*config.Credential{
		"absent": one("jwt-file", filepath.Join(t.TempDir(), "no.jwt")), "asked": {Kind: "exec", Command: []string{"echo", "t"}}, "later": one("jwt-file", "p")}}})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = c.Token("absent").Get(t.Context())
	if _, err := c.Token("asked").Get(t.Context()); err != nil {
		t.Fatal(err)
	}
	said := (&shift{chains: c}).credentialsReady().Error()
	if !regexp.MustCompile(`^absent: .*no such file or directory.*; later: not got yet$`).MatchString(said) {
		t.Errorf("readiness says %q", said)
	}
}

func TestTheLogLeavesOutWhatThereIsNot(t *testing.T) {
	end := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		event fresh.Event
		want  string
	}{
		{fresh.Event{Kind: fresh.Failed, Err: fresh.Unavailable, Wait: time.Second}, `msg="a renewal failed" room=agent credential=c err="credential unavailable" again_in=1s`},
		{fresh.Event{Kind: fresh.Failed, Err: fresh.Unavailable, Wait: time.Second, Generation: 2, Expires: end},
			`msg="a renewal failed" room=agent credential=c err="credential unavailable" again_in=1s generation=2 expires=2026-07-01T12:00:00.000Z`},
		{fresh.Event{Kind: fresh.RefusedLease}, `msg="the credential was refused before its end" room=agent credential=c`},
		{fresh.Event{Kind: fresh.Obtained, Generation: 1}, `msg=obtained room=agent credential=c generation=1`},
	} {
		var log strings.Builder
		h := newHouse(Options{Stderr: &log})
		tt.event.Layer = "c"
		h.transition(tt.event)
		if _, said, _ := strings.Cut(strings.TrimSpace(log.String()), "msg="); "msg="+said != tt.want {
			t.Errorf("%v logs\n%s, want\n%s", tt.event.Kind, "msg="+said, tt.want)
		}
	}
}

func TestAReloadRemovesTheFilesThatItDropsAndNoOthers(t *testing.T) {
	dir := t.TempDir()
	file, kept, dropped := filepath.Join(dir, "longcase.yaml"), filepath.Join(dir, "kept"), filepath.Join(dir, "dropped")
	const text = `
agent:
  listen: 127.0.0.1:0
  credentials:
    a: {kind: exec, command: [echo, WORD]}
  publish:
    - {credential: a, as: gce-metadata}
    - {credential: a, as: file, path: kept}
    - {credential: a, as: file, path: dropped}
`
	write(t, file, strings.Replace(text, "WORD", "first", 1), 0o600)
	s := start(t, file)
	defer s.stop(t)
	holds(t, kept, "first")
	holds(t, dropped, "first")
	write(t, file, strings.Replace(strings.Replace(text, "WORD", "second", 1), "    - {credential: a, as: file, path: dropped}\n", "", 1), 0o600)
	s.hangup(t, "msg=reloaded")
	if _, err := os.Stat(dropped); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nobody keeps it fresh, and it is there: %v", err)
	}
	holds(t, kept, "second")
}

// holds waits until a file holds text.
func holds(t *testing.T, path, text string) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		got, err := os.ReadFile(path)
		if err == nil && string(got) == text {
			return
		}
		if time.Since(began) > patience {
			t.Fatalf("%s holds %q, want %q: %v", path, got, text, err)
		}
	}
}

// Two shifts would write a file in turns.
func TestAShiftWritesNoFileBeforeTheLastOneEnded(t *testing.T) {
	path, before := filepath.Join(t.TempDir(), "token"), make(chan struct{})
	a, err := agent.New(agent.Config{Publish: []agent.Publication{{Form: agent.File, Name: "a", Path: path,
		Bearer: func(context.Context) (render.Token, error) { return render.Token{Value: "new"}, nil }}}})
	if err != nil {
		t.Fatal(err)
	}
	s := &shift{agent: a, before: before}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.publish(ctx) }()
	defer func() { stop(); <-done }()
	time.Sleep(20 * time.Millisecond)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is written while the shift before writes too: %v", err)
	}
	close(before)
	holds(t, path, "new")
}

// Whatever exec makes of a credential, the agent takes it, and an SDK that names
// the identity or the resource is answered.
func TestEachKindCanBeHadByExec(t *testing.T) {
	const azure = "66666666-7777-8888-9999-000000000000"
	all := map[string]*config.Credential{
		"pod":   {Kind: "jwt-file", Path: "p"},
		"keys":  {Kind: "aws-profile"},
		"mail":  {Kind: "google-impersonate", From: "pod", ServiceAccount: "a@b.iam.gserviceaccount.com"},
		"vm":    {Kind: "azure-imds", Resource: "https://vault.azure.net", Client: azure},
		"graph": {Kind: "azure-workload-identity", From: "pod", Tenant: "t.example", Client: azure, Scopes: []string{"https://graph.microsoft.com/.default"}},
	}
	c, err := chains.New(chains.Config{Agent: &config.Agent{Credentials: all}, Getenv: os.Getenv})
	if err != nil {
		t.Fatal(err)
	}
	for name, credential := range all {
		p, err := publication(c, publisherFor(name, credential))
		if err != nil {
			t.Fatal(err)
		}
		if p.Form == agent.File {
			p.Listen, p.Path = "", "p"
		}
		if _, err := agent.New(agent.Config{Publish: []agent.Publication{p}, Dir: t.TempDir()}); err != nil {
			t.Error(err)
		}
		if p.Form == agent.AzureAppService && p.Account != azure {
			t.Errorf("%s: identity %q", name, p.Account)
		}
	}
}
