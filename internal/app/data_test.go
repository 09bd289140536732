package app

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"

	"github.com/longcase/longcase/internal/config"
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
	if err := os.Mkdir(filepath.Join(dir, storeDir), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "kek")); err != nil {
		t.Fatal(err)
	}
	if _, err := loadKEK(config.Secret{}, dir, os.Getenv); err == nil {
		t.Error("a store whose key is lost got a fresh key, which opens nothing")
	}
}

func TestDataDirectoryOpenToOthersIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := openData(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := openData(dir); err == nil {
		t.Error("a directory that everybody may read was taken")
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
