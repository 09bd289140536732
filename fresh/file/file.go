package file

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/longcase/longcase/fresh"
)

const (
	maxSize = 64 << 10
	recheck = 5 * time.Second
)

// JWTConfig is a file with one token.
type JWTConfig struct {
	Path    string
	Recheck time.Duration // how often it is read again; default 5 s
}

// Check says what cannot work.
func (c JWTConfig) Check() error {
	switch {
	case c.Path == "":
		return fresh.Fail(fresh.Misconfigured, "a token file needs a path")
	case strings.ContainsRune(c.Path, 0):
		return fresh.Fail(fresh.Misconfigured, "path %.200q is not a file's", c.Path)
	case c.Recheck < 0:
		return fresh.Fail(fresh.Misconfigured, "recheck is %s: it must not be negative", c.Recheck)
	}
	return nil
}

// JWT reads the file's one token, less the white space around it. A JWT ends
// with its "exp"; a JWT without one, and any other token, has no end and is read
// again and again. At most 64 KiB are read, and from a regular file only.
func JWT(c JWTConfig) fresh.Root[fresh.Token] {
	wrong := c.Check()
	if c.Recheck == 0 {
		c.Recheck = recheck
	}
	return func(_ context.Context, now time.Time) (fresh.Credential[fresh.Token], error) {
		if wrong != nil {
			return fresh.Credential[fresh.Token]{}, wrong
		}
		data, err := read(c.Path)
		if err != nil {
			return fresh.Credential[fresh.Token]{}, err
		}
		return c.credential(data, now)
	}
}

func (c JWTConfig) credential(data []byte, now time.Time) (fresh.Credential[fresh.Token], error) {
	text, err := tokenOf(data)
	if err != nil {
		return fresh.Credential[fresh.Token]{}, fresh.Fail(fresh.Malformed, "%s holds %s", c.Path, err)
	}
	w, err := windowOf(text)
	if err != nil {
		return fresh.Credential[fresh.Token]{}, fresh.Fail(fresh.Malformed, "%s holds %s", c.Path, err)
	}
	if !w.Expires.IsZero() && !now.Before(w.Expires) {
		return fresh.Credential[fresh.Token]{}, fresh.Fail(fresh.Ended,
			"the JWT in %s ended %s ago: whoever writes the file is late", c.Path, now.Sub(w.Expires).Round(time.Second))
	}
	return fresh.Credential[fresh.Token]{
		Value:     fresh.Token{Value: text, Type: "Bearer"},
		NotBefore: w.NotBefore, Expires: w.Expires, Recheck: c.Recheck,
	}, nil
}

// read returns what the regular file at path holds. It waits for nobody: a FIFO
// is refused, not opened until someone writes.
func read(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, unreadable(path, err)
	}
	defer func() { _ = f.Close() }()
	before, err := f.Stat()
	switch {
	case err != nil:
		return nil, unreadable(path, err)
	case before.IsDir():
		return nil, fresh.Fail(fresh.Misconfigured, "%s is a directory, not a file with a token", path)
	case !before.Mode().IsRegular():
		return nil, fresh.Fail(fresh.Misconfigured, "%s is not a regular file", path)
	}
	return readAll(f, before)
}

// readAll reads f in one piece, so that what is written meanwhile is not mixed
// with what was there, and refuses what it sees being written.
func readAll(f *os.File, before fs.FileInfo) ([]byte, error) {
	size := before.Size()
	if size == 0 { // some file systems do not know
		size = maxSize
	}
	data := make([]byte, min(size, maxSize)+1)
	n, err := io.ReadFull(f, data)
	switch {
	case n > maxSize:
		return nil, fresh.Fail(fresh.Malformed, "%s has more than %d bytes", f.Name(), maxSize)
	case err == nil:
		return nil, fresh.Fail(fresh.Malformed, "%s is being written", f.Name())
	case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return nil, unreadable(f.Name(), err)
	}
	after, err := f.Stat()
	if err != nil {
		return nil, unreadable(f.Name(), err)
	}
	if after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) {
		return nil, fresh.Fail(fresh.Malformed, "%s is being written", f.Name())
	}
	return data[:n], nil
}

func unreadable(path string, err error) error {
	e := &fresh.Error{Reason: fresh.Unavailable, Detail: path + " cannot be read", Err: err}
	if errors.Is(err, fs.ErrPermission) {
		e.Reason = fresh.Misconfigured
	}
	var p *fs.PathError
	if errors.As(err, &p) {
		e.Err = p.Err
	}
	return e
}
