package app

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	execPrefix = "longcase-exec-"
	justMade   = time.Minute // how long a folder may have no lock yet
)

// execDir makes a folder for one exec in temp: the secrets of its endpoints, its
// token files. It is removed by release; and where the process is killed before
// that, by the next exec of the same user, since a lock on it ends with whoever
// made it.
func execDir(temp string) (dir string, release func(), err error) {
	sweep(temp)
	if dir, err = os.MkdirTemp(temp, execPrefix); err != nil {
		return "", nil, err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	return dir, func() { _, _ = os.RemoveAll(dir), lock.Close() }, nil
}

// sweep removes our own folders in temp that nobody holds any more.
func sweep(temp string) {
	left, _ := filepath.Glob(filepath.Join(temp, execPrefix+"*"))
	for _, dir := range left {
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() || time.Since(info.ModTime()) < justMade {
			continue
		}
		if st, ok := info.Sys().(*syscall.Stat_t); !ok || st.Uid != uint32(os.Geteuid()) {
			continue
		}
		if lock, err := lockDir(dir); err == nil {
			_, _ = os.RemoveAll(dir), lock.Close()
		}
	}
}

// lockDir takes the lock on a folder, for as long as the file is open. The error
// is the other holder's.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
