package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/longcase/longcase/internal/chains"
	"github.com/longcase/longcase/internal/config"
)

// TestTheExamplesCredentialsAreThoseThatProvidersTake holds each credential of
// the example against the provider that would make it.
func TestTheExamplesCredentialsAreThoseThatProvidersTake(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"longcase.yaml": config.Example,
		"external-account.json": `{"type": "external_account", "audience": "//iam.googleapis.com/x", "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
			"token_url": "https://sts.googleapis.com/v1/token", "credential_source": {"file": "/var/run/secrets/token"}}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := config.Load(filepath.Join(dir, "longcase.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range cfg.Agent.Credentials {
		made, err := chains.New(chains.Config{Agent: cfg.Agent, Names: []string{name}, Getenv: func(string) string { return "" }})
		if err != nil {
			t.Errorf("%s is refused: %v", c.Kind, err)
			continue
		}
		if keys := c.Gives() == config.AWSKeys; keys != (made.Keys(name) != nil) || keys == (made.Token(name) != nil) {
			t.Errorf("%s (%s) gives something else than %s", name, c.Kind, c.Gives())
		}
	}
	for _, kind := range config.Kinds() {
		if !strings.Contains(config.Example, "kind: "+kind) {
			t.Errorf("the example shows no %s", kind)
		}
	}
}
