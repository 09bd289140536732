package app

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/longcase/longcase/internal/config"
	"github.com/longcase/longcase/issuer/password"
)

func TestKeyEncryptionKeyIsReadInEveryForm(t *testing.T) {
	kek := bytes.Repeat([]byte{0xA7}, kekBytes)
	tests := []struct {
		name, text string
		ok         bool
	}{
		{"raw bytes", string(kek), true},
		{"base64 with a final newline", base64.StdEncoding.EncodeToString(kek) + "\n", true},
		{"hex", hex.EncodeToString(kek), true},
		{"one byte short", base64.StdEncoding.EncodeToString(kek[1:]), false},
		{"a password", "correct horse battery staple", false},
		{"nothing", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "kek")
			write(t, path, tt.text, 0o600)
			got, err := loadKEK(config.Secret{File: path}, "", os.Getenv)
			if ok := err == nil && bytes.Equal(got, kek); ok != tt.ok {
				t.Errorf("loadKEK = %x, %v; want it taken: %t", got, err, tt.ok)
			}
		})
	}
}

func TestKeyEncryptionKeyIsForItsOwnerAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kek")
	write(t, path, string(bytes.Repeat([]byte{1}, kekBytes)), 0o640)
	if _, err := loadKEK(config.Secret{File: path}, "", os.Getenv); err == nil {
		t.Error("a key file that the group may read was taken")
	}
}

func TestKeyEncryptionKeyIsMadeOnceAndNeverBesideAStore(t *testing.T) {
	dir := t.TempDir()
	first, err := loadKEK(config.Secret{}, dir, os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := loadKEK(config.Secret{}, dir, os.Getenv); err != nil || !bytes.Equal(first, again) {
		t.Errorf("second start: %x, %v; want the key of the first, %x", again, err, first)
	}
	if err := os.Mkdir(filepath.Join(dir, StoreDir), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "kek")); err != nil {
		t.Fatal(err)
	}
	if _, err := loadKEK(config.Secret{}, dir, os.Getenv); err == nil {
		t.Error("a store whose key is lost got a fresh key, which opens nothing")
	}
}

func TestWhatLiesInTheDataDirectoryIsForItsOwnerAlone(t *testing.T) {
	dir := t.TempDir()
	file, data := filepath.Join(dir, "longcase.yaml"), filepath.Join(dir, "data")
	write(t, file, configOf("a", password.NewSecret(), 5), 0o600)
	if err := os.Mkdir(data, 0o755); err != nil { // somebody made it, open to all
		t.Fatal(err)
	}
	s := start(t, file)
	defer s.stop(t)
	if !strings.Contains(s.log.String(), "the data directory is open to others") {
		t.Error("nobody was warned")
	}
	entries, err := os.ReadDir(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %04o", e.Name(), info.Mode().Perm())
		}
	}
	if len(entries) != 3 {
		t.Errorf("%d entries, want the key, the store and the socket", len(entries))
	}
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}
