package chains

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/internal/config"
)

const account = `{
  "type": "external_account", "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x",
  "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_url": "https://sts.googleapis.com/v1/token",
  "credential_source": {"file": "pod.jwt"}
}`

const before = `
agent:
  credentials:
    pod: {kind: jwt-file, path: pod.jwt}
    s3: {kind: aws-web-identity, from: pod, role_arn: "arn:aws:iam::123456789012:role/s3"}
    audit: {kind: aws-assume-role, from: s3, role_arn: "arn:aws:iam::123456789012:role/audit"}
    as-is: {kind: google-external-account, file: account.json}
    script: {kind: exec, command: [vendor-cli]}
`

// load makes the chains of a file's text, on those of the file before.
func load(t *testing.T, dir, text string, old *Chains) *Chains {
	t.Helper()
	file := filepath.Join(dir, "longcase.yaml")
	write(t, file, text)
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(Config{Agent: cfg.Agent, Before: old, Getenv: os.Getenv})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAReloadKeepsTheLeasesOfWhatDidNotChange(t *testing.T) {
	tests := []struct {
		name         string
		from, to     string // in the file
		account      string // what account.json holds afterwards
		kept, gotNew []string
	}{
		{"nothing", "", "", account, []string{"pod", "s3", "audit", "as-is", "script"}, nil},
		{"a leaf", "vendor-cli", "other-cli", account, []string{"pod", "s3", "audit", "as-is"}, []string{"script"}},
		{"a root, and all that stands on it", "path: pod.jwt", "path: other.jwt", account, []string{"as-is", "script"}, []string{"pod", "s3", "audit"}},
		{"the file that describes a chain", "", "", strings.Replace(account, "pod.jwt", "other.jwt", 1),
			[]string{"pod", "s3", "audit", "script"}, []string{"as-is"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "account.json"), account)
			old := load(t, dir, before, nil)
			write(t, filepath.Join(dir, "account.json"), tt.account)
			now := load(t, dir, strings.Replace(before, tt.from, tt.to, 1), old)
			for _, name := range tt.kept {
				if now.links[name] != old.links[name] {
					t.Errorf("%s lost its lease", name)
				}
			}
			for _, name := range tt.gotNew {
				if now.links[name] == old.links[name] {
					t.Errorf("%s is the old one", name)
				}
			}
		})
	}
}

func TestOnlyWhatIsNamedIsMade(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "longcase.yaml")
	write(t, file, before) // without account.json
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(Config{Agent: cfg.Agent, Names: []string{"audit"}})
	if err != nil {
		t.Fatal(err)
	}
	var made []string
	for _, s := range c.Statuses() {
		made = append(made, s.Layer)
	}
	if want := []string{"audit", "pod", "s3"}; !slices.Equal(made, want) {
		t.Errorf("made %v, want %v", made, want)
	}
	if _, err = New(Config{Agent: cfg.Agent}); err == nil || !strings.Contains(err.Error(), "agent.credentials.as-is") {
		t.Errorf("without its file: %v, want a refusal that names the credential", err)
	}
}

func TestWhatIsWrongIsToldOnce(t *testing.T) {
	aws := func(kind, from string) *config.Credential {
		return &config.Credential{Kind: kind, From: from, RoleARN: "arn:aws:iam::123456789012:role/a", SessionName: "s"}
	}
	_, err := New(Config{Getenv: func(string) string { return "" }, Agent: &config.Agent{Credentials: map[string]*config.Credential{
		"a": aws("aws-assume-role", "task"), "b": aws("aws-assume-role", "task"), "task": aws("aws-container", ""),
	}}})
	if err == nil || strings.Count(err.Error(), "agent.credentials.task: no url") != 1 {
		t.Errorf("two credentials with one source: %v", err)
	}
}

func TestTheFolderOfAStateIsMade(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "first"), "refresh-token")
	c := load(t, dir, `
data: data
agent:
  credentials:
    r: {kind: oauth2-refresh, endpoint: "http://127.0.0.1:1/token", client: c, refresh_token: {file: first}}
`, nil)
	if _, err := c.Token("r").Get(t.Context()); err == nil {
		t.Error("a token of nobody")
	}
	info, err := os.Stat(filepath.Join(dir, "data", "agent"))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder: %v, %v", info, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "data", "agent", "r.state")); err != nil {
		t.Errorf("the state, which is written before the token is sent: %v", err)
	}
}

func TestAKeyOfTheEnvironmentIsReadForEachToken(t *testing.T) {
	der, err := x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	key := ""
	cfg := &config.Credential{Kind: "self-signed", Issuer: "a", Audience: "b", Key: config.Secret{Env: "SIGN_KEY"}}
	c, err := New(Config{Agent: &config.Agent{Credentials: map[string]*config.Credential{"s": cfg}},
		Getenv: func(string) string { return key }})
	if err != nil {
		t.Fatalf("a key that is not set yet: %v", err)
	}
	_, err = c.Token("s").Get(t.Context())
	if !errors.Is(err, fresh.Misconfigured) || !strings.Contains(err.Error(), "SIGN_KEY is empty or not set") {
		t.Errorf("without the key: %v", err)
	}
	key = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if c, err = New(Config{Agent: c.cfg.Agent, Getenv: c.cfg.Getenv}); err != nil {
		t.Fatal(err)
	}
	if lease, err := c.Token("s").Get(t.Context()); err != nil || strings.Count(lease.Value.Value, ".") != 2 {
		t.Errorf("with the key: %v", err)
	}
	cfg.Audience = "*"
	if _, err = New(Config{Agent: c.cfg.Agent, Getenv: c.cfg.Getenv}); err == nil || !strings.Contains(err.Error(), "one callee, not a pattern") {
		t.Errorf("what is wrong besides the key: %v", err)
	}
}

func TestTheFileSaysHowLongALostAnswerMayBeRepeated(t *testing.T) {
	for _, grace := range []time.Duration{0, 30 * time.Second, -1} {
		if s := (&Chains{}).state(&link{cfg: &config.Credential{State: "s", Grace: grace}}); s.Grace != grace {
			t.Errorf("grace %v becomes %v", grace, s.Grace)
		}
	}
}

func TestIDTokensAreBounded(t *testing.T) {
	cfg := &config.Credential{Kind: "gce-metadata"}
	l := &link{cfg: cfg}
	if err := gceMetadata(l, (&Chains{}).policy("vm", config.Refresh{})); err != nil {
		t.Fatal(err)
	}
	first := l.id.layer("https://a0.example.com")
	for i := range maxAudiences + 10 {
		l.id.layer("https://b" + strings.Repeat("x", i) + ".example.com")
		if l.id.layer("https://a0.example.com") != first {
			t.Fatal("the one asked for again and again was forgotten")
		}
	}
	if n := len(l.id.layers); n > maxAudiences {
		t.Errorf("%d layers, at most %d", n, maxAudiences)
	}
}
