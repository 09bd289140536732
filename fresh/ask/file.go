package ask

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/longcase/longcase/fresh"
)

// File is what the regular file at path holds, at most 1 MiB. It waits for
// nobody: a FIFO is refused. The error is a *fresh.Error and names the path.
func File(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, unreadable(path, err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, unreadable(path, err)
	case !info.Mode().IsRegular():
		return nil, fresh.Fail(fresh.Misconfigured, "%s is not a regular file", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxBody+1))
	switch {
	case err != nil:
		return nil, unreadable(path, err)
	case len(data) > maxBody:
		return nil, fresh.Fail(fresh.Malformed, "%s has more than %d bytes", path, maxBody)
	}
	return data, nil
}

func unreadable(path string, err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return &fresh.Error{Reason: fresh.Unavailable, Detail: path + " cannot be read", Err: err}
}
