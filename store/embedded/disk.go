package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/longcase/longcase/store"
)

// options tunes Pebble for small records that are rewritten often and end
// soon. The memtable is small because the log that is kept for it, and what
// has ended but not been written over, grows with it.
func (e *Engine) options() *pebble.Options {
	o := &pebble.Options{
		FS:                          patient{e.room.disk, e.room},
		Lock:                        e.lock,
		Logger:                      logger{e.cfg.Log},
		EventListener:               &pebble.EventListener{DataCorruption: e.broken.note},
		FormatMajorVersion:          pebble.FormatValueSeparation,
		CacheSize:                   32 << 20, // filled by use: a store at rest holds what it read
		MemTableSize:                4 << 20,
		MemTableStopWritesThreshold: 3,           // as many logs and one more are kept for reuse
		FlushDelayDeleteRange:       time.Second, // no bytes come back before
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10) // a new mark or id is looked for in vain
	}
	return o
}

func (cfg Config) disk() vfs.FS {
	if cfg.FS == nil {
		return vfs.Default
	}
	return cfg.FS
}

// ownDir makes the directory, if need be, and returns its one name: within this
// process the lock knows a directory by its spelling.
func ownDir(cfg Config) (string, error) {
	if err := makeDir(cfg.disk(), cfg.Dir); err != nil {
		return "", dirError("make", cfg.Dir, err)
	}
	if cfg.FS != nil {
		return cfg.Dir, nil
	}
	dir, err := filepath.EvalSymlinks(cfg.Dir)
	if err != nil {
		return "", dirError("follow", cfg.Dir, err)
	}
	return dir, nil
}

// lockDir takes the directory for this process.
func lockDir(cfg Config) (*pebble.Lock, error) {
	warnOpenDir(cfg)
	lock, err := pebble.LockDirectory(cfg.Dir, cfg.disk())
	switch {
	case err == nil:
		return lock, nil
	case isHeld(err):
		return nil, fmt.Errorf("embedded: the directory %s is open in another process; stop that one or name another directory: %w", cfg.Dir, store.ErrLocked)
	default:
		return nil, dirError("lock", cfg.Dir, err)
	}
}

func dirError(verb, dir string, err error) error {
	switch {
	case lacksRoom(err):
		return fmt.Errorf("embedded: %s the directory %s: the disk is full; free some: %w: %w", verb, dir, store.ErrUnavailable, err)
	case errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS):
		return fmt.Errorf("embedded: %s the directory %s: this process may not write there; give it the directory or name another: %w", verb, dir, err)
	default:
		return fmt.Errorf("embedded: %s the directory %s: %w", verb, dir, err)
	}
}

// isHeld reports whether the lock belongs to someone else. For another user of
// the same process Pebble has only a text.
func isHeld(err error) bool {
	return errors.Is(err, syscall.EAGAIN) || err.Error() == "lock held by current process"
}

// makeDir makes dir and what is missing above it, each name durable in its
// parent: a store whose name is lost is lost.
func makeDir(disk vfs.FS, dir string) error {
	if _, err := disk.Stat(dir); err == nil {
		return nil
	}
	parent := disk.PathDir(dir)
	if parent != dir {
		if err := makeDir(disk, parent); err != nil {
			return err
		}
	}
	if err := disk.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncDir(disk, parent)
}

func syncDir(disk vfs.FS, dir string) error {
	f, err := disk.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// warnOpenDir tells when others may read the store. It does not change what the
// operator has set.
func warnOpenDir(cfg Config) {
	if cfg.FS != nil {
		return
	}
	if info, err := os.Stat(cfg.Dir); err == nil && info.Mode().Perm()&0o077 != 0 {
		cfg.Log.Warn("others may enter the store's directory; chmod 700 it",
			slog.String("dir", cfg.Dir), slog.String("mode", info.Mode().Perm().String()))
	}
}

// logger passes Pebble's words on.
type logger struct{ log *slog.Logger }

func (l logger) Infof(format string, args ...any) {
	l.log.Debug("pebble: " + fmt.Sprintf(format, args...))
}

func (l logger) Errorf(format string, args ...any) {
	l.log.Error("pebble: " + fmt.Sprintf(format, args...))
}

// Fatalf ends the process: the log can no longer be written, so no write can be
// acknowledged and nobody knows which were. Opening again finds every
// acknowledged one.
func (l logger) Fatalf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	l.log.Error("the store cannot go on; check the disk, then start again: " + text)
	panic("embedded: the store cannot go on: " + text)
}
