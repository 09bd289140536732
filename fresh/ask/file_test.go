//go:build unix

package ask

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/longcase/longcase/fresh"
)

func TestAFileIsReadUnderBounds(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, size int) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, bytes.Repeat([]byte("x"), size), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, path string
		size       int
		want       error
	}{
		{"a file", file("small", 7), 7, nil},
		{"the largest", file("large", maxBody), maxBody, nil},
		{"larger", file("larger", maxBody+1), 0, fresh.Malformed},
		{"none", filepath.Join(dir, "none"), 0, fs.ErrNotExist},
		{"a FIFO that nobody writes", fifo, 0, fresh.Misconfigured},
		{"a device without an end", "/dev/zero", 0, fresh.Misconfigured},
		{"a directory", dir, 0, fresh.Misconfigured},
	} {
		data, err := File(tt.path)
		var e *fresh.Error
		switch {
		case len(data) != tt.size || !errors.Is(err, tt.want):
			t.Errorf("%s: %d bytes, %v", tt.name, len(data), err)
		case err != nil && (!errors.As(err, &e) || strings.Count(err.Error(), tt.path) != 1):
			t.Errorf("%s: %v does not name its path once", tt.name, err)
		}
	}
}
