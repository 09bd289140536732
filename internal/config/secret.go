package config

import (
	"bytes"
	"fmt"
	"io"
	"os"
)

// maxSecret bounds a secret's file, in bytes; a PEM key of RSA 16384 fits.
const maxSecret = 64 << 10

// Secret is where a secret is, never the secret: a file, or a variable of the
// environment. The zero Secret is none.
type Secret struct {
	File string // from {file: PATH}
	Env  string // from ${NAME}
}

// Given reports whether the file names a secret here.
func (s Secret) Given() bool { return s != Secret{} }

// String says where the secret is.
func (s Secret) String() string {
	if s.Env != "" {
		return "${" + s.Env + "}"
	}
	return s.File
}

// Read returns the secret: the file's bytes less one final newline, or the
// variable's value. An empty secret is an error.
func (s Secret) Read(getenv func(string) string) ([]byte, error) {
	if s.Env != "" {
		if v := getenv(s.Env); v != "" {
			return []byte(v), nil
		}
		return nil, fmt.Errorf("the environment variable %s is empty or not set", s.Env)
	}
	data, err := readBounded(s.File, maxSecret)
	if err != nil {
		return nil, err
	}
	data = bytes.TrimSuffix(data, []byte("\n"))
	if len(data) == 0 {
		return nil, fmt.Errorf("%s is empty: it should hold a secret", s.File)
	}
	return data, nil
}

// readBounded reads a whole file of at most limit bytes.
func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	return data, nil
}
