package app

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/longcase/longcase/internal/config"
)

// StoreDir is where the embedded engine lies, below the data directory.
const StoreDir = "store"

const kekBytes = 32

// openData makes the data directory, for its owner alone. One that is there
// already may be open to others: what lies in it is not (the key and the socket
// have mode 0600, the store 0700), so they only see names.
func openData(dir string, log *slog.Logger) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("data: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("data: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		log.Warn("the data directory is open to others: run chmod 700", "directory", dir, "mode", fmt.Sprintf("%04o", info.Mode().Perm()))
	}
	return nil
}

// loadKEK returns the key-encryption key: the one the file names, else DIR/kek,
// which is made at first start.
func loadKEK(where config.Secret, dir string, getenv func(string) string) ([]byte, error) {
	if where.Env != "" {
		text, err := where.Read(getenv)
		if err != nil {
			return nil, fmt.Errorf("keys.encrypt_with: %w", err)
		}
		return parseKEK(string(text), "$"+where.Env)
	}
	path := where.File
	if path == "" {
		path = filepath.Join(dir, "kek")
		if err := makeKEK(path, filepath.Join(dir, StoreDir)); err != nil {
			return nil, err
		}
	}
	return readKEK(path)
}

// readKEK reads a key file, which must be for its owner alone.
func readKEK(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("keys.encrypt_with: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("keys.encrypt_with: %s is open to others (mode %04o): run chmod 600 %s", path, info.Mode().Perm(), path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("keys.encrypt_with: %w", err)
	}
	return parseKEK(string(text), path)
}

// parseKEK takes 32 bytes as they are, as base64 or as hex.
func parseKEK(text, where string) ([]byte, error) {
	if len(text) == kekBytes {
		return []byte(text), nil
	}
	text = strings.TrimSpace(text)
	for _, decode := range []func(string) ([]byte, error){hex.DecodeString, base64.StdEncoding.DecodeString} {
		if kek, err := decode(text); err == nil && len(kek) == kekBytes {
			return kek, nil
		}
	}
	return nil, fmt.Errorf("keys.encrypt_with: %s should hold %d bytes, as they are, as base64 or as hex: make one with: openssl rand -base64 %d", where, kekBytes, kekBytes)
}

// makeKEK writes a fresh key unless there is one. Where there is a store and no
// key, the key is lost, and a fresh one would open nothing.
func makeKEK(path, store string) error {
	if _, err := os.Stat(store); err == nil {
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("keys.encrypt_with: %w", err)
	}
	kek := make([]byte, kekBytes)
	rand.Read(kek) // crypto/rand does not fail
	_, err = fmt.Fprintln(f, base64.StdEncoding.EncodeToString(kek))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("keys.encrypt_with: %w", err)
	}
	return nil
}
