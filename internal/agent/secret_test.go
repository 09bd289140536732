package agent

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestASecretStandsWhereItsClientsLook(t *testing.T) {
	dir := t.TempDir()
	placed := filepath.Join(t.TempDir(), "deeper", "token")
	a := prepared(t, Config{Dir: dir, Publish: []Publication{
		{Form: AWSContainer, Name: "a", Listen: listen, Keys: someKeys},
		{Form: AWSContainer, Name: "b", Listen: listen, Keys: someKeys, TokenFile: placed, Mode: 0o640},
		{Form: AzureAppService, Name: "c", Listen: listen, Bearer: someToken, Resource: "r"},
		{Form: IMDS, Name: "d", Listen: listen, Keys: someKeys},
	}})
	for path, mode := range map[string]os.FileMode{
		filepath.Join(dir, "container", "a.token"): 0o600,
		placed: 0o640,
		filepath.Join(dir, "identity", "c.token"): 0o600,
		filepath.Join(dir, "imds", "d.token"):     0o600,
	} {
		info, err := os.Stat(path)
		if err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v", path, info, err)
		}
		if said := read(t, path); !secretShape.MatchString(said) {
			t.Errorf("%s holds %d bytes of another shape", path, len(said))
		}
	}
	resp := ask(a, "GET", "/container/b", "Authorization", read(t, placed))
	if resp.StatusCode != 200 {
		t.Errorf("what the file holds is answered with %d", resp.StatusCode)
	}
}

// Clients that have read a secret keep working when the agent is started again;
// a file that anybody else may have written or read is replaced.
func TestWhichSecretIsTakenOver(t *testing.T) {
	const old = "lc_agent_ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	plain := func(path string) error { return os.WriteFile(path, []byte(old), 0o600) }
	tests := []struct {
		name string
		left func(path string) error
		kept bool
	}{
		{"ours", plain, true},
		{"none", func(string) error { return nil }, false},
		{"readable by all", func(p string) error { return errors.Join(plain(p), os.Chmod(p, 0o644)) }, false},
		{"writable by all", func(p string) error { return errors.Join(plain(p), os.Chmod(p, 0o666)) }, false},
		{"somebody else's", func(p string) error { return errors.Join(plain(p), os.Chown(p, nobody, nobody)) }, false},
		{"a link to one", func(p string) error { return errors.Join(plain(p+"2"), os.Symlink(p+"2", p)) }, false},
		{"empty", func(p string) error { return os.WriteFile(p, nil, 0o600) }, false},
		{"short", func(p string) error { return os.WriteFile(p, []byte("lc_agent_A"), 0o600) }, false},
		{"long", func(p string) error { return os.WriteFile(p, []byte(old+"A"), 0o600) }, false},
		{"with a line break", func(p string) error { return os.WriteFile(p, []byte(old+"\n"), 0o600) }, false},
		{"huge", func(p string) error { return os.WriteFile(p, []byte(strings.Repeat(old, 1000)), 0o600) }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "token")
			if err := tt.left(path); err != nil {
				t.Fatal(err)
			}
			prepared(t, Config{Publish: []Publication{{Form: AWSContainer, Name: "a", Listen: listen, Keys: someKeys, TokenFile: path}}})
			info, err := os.Lstat(path)
			if err != nil || info.Mode() != 0o600 {
				t.Errorf("the file has mode %v, %v", info.Mode(), err)
			}
			if said := read(t, path); (said == old) != tt.kept || !secretShape.MatchString(said) {
				t.Errorf("the secret is kept: %v, want %v", said == old, tt.kept)
			}
		})
	}
}

func TestASecretThatCannotBeWrittenIsTold(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := New(Config{Publish: []Publication{{Form: AWSContainer, Name: "a", Listen: listen, Keys: someKeys, TokenFile: filepath.Join(file, "token")}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Prepare(); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("Prepare = %v", err)
	}
}
