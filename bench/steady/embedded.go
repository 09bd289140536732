package steady

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/longcase/longcase/store/embedded"
)

// lazy is the disk without its fsync: what is written takes the same blocks,
// sooner.
type lazy struct{ vfs.FS }

type lazyFile struct{ vfs.File }

func (lazyFile) Sync() error                             { return nil }
func (lazyFile) SyncData() error                         { return nil }
func (lazyFile) SyncTo(int64) (fullSync bool, err error) { return false, nil }

func (l lazy) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := l.FS.Create(name, c)
	return lazyFile{f}, err
}

func (l lazy) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := l.FS.ReuseForWrite(old, name, c)
	return lazyFile{f}, err
}

func (l lazy) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	f, err := l.FS.OpenReadWrite(name, c, o...)
	return lazyFile{f}, err
}

// openEmbedded opens the engine in dir with c as its clock.
func openEmbedded(dir string, c *clock) (*embedded.Engine, error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return nil, err
	}
	return embedded.Open(embedded.Config{Dir: dir, FS: lazy{vfs.Default}, Now: c.now, Log: slog.New(slog.DiscardHandler), MaxMarks: 100_000_000})
}

// Embedded measures the embedded engine in a new directory.
func (r Run) Embedded(ctx context.Context, dir string) (result Result, err error) {
	c := newClock(start())
	e, err := openEmbedded(dir, c) //nolint:contextcheck // the engine opens without one
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	disk := func(ctx context.Context) (Sample, error) {
		n, err := settled(ctx, func() (int64, error) { return blocks(dir) })
		return Sample{Disk: n}, err
	}
	return r.measure(ctx, rig{engine: e, clock: c, writers: 64, disk: disk})
}
