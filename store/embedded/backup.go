package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/cockroachdb/pebble/v2"
)

// Backup writes the store as it is now into dir, a complete directory that Open
// opens: every write that was acknowledged before the call is in it, some of
// those made meanwhile may be. It is durable when Backup returns, and dir is
// there whole or not at all. dir may be there if it is empty; what is missing
// above it is made. Calls go on beside it.
//
// On the same file system the tables are hard links, so the backup takes little
// room at first and shares the fate of the disk: copy it elsewhere.
//
// Sessions that were revoked or rotated after the backup are as before in it:
// revoke those from before it once it is restored.
func (e *Engine) Backup(ctx context.Context, dir string) error {
	if err := e.door.Enter(ctx); err != nil {
		return err
	}
	e.backups.Add(1) // not the door: a backup may take long
	e.door.Leave()
	defer e.backups.Done()
	held, err := e.flights.hold(ctx, metaKey("backup")) // one at a time
	if err != nil {
		return err
	}
	defer held.release()
	if err := e.backup(dir); err != nil {
		return fmt.Errorf("embedded: back up %s to %s: %w", e.cfg.Dir, dir, err)
	}
	return nil
}

func (e *Engine) backup(dir string) error {
	disk := e.room.disk
	there, err := disk.List(dir)
	switch {
	case err == nil && len(there) > 0:
		return errors.New("the directory is not empty: name one that is, or that does not exist")
	case err == nil:
		err = disk.Remove(dir)
	case errors.Is(err, fs.ErrNotExist):
		err = nil
	}
	if err != nil {
		return err
	}
	unfinished := dir + ".unfinished"
	if err := disk.RemoveAll(unfinished); err != nil { // of one that was interrupted
		return err
	}
	if err := makeDir(disk, disk.PathDir(dir)); err != nil {
		return err
	}
	if err := e.db.Checkpoint(unfinished, pebble.WithFlushedWAL()); err != nil {
		return err
	}
	return e.finish(unfinished, dir)
}

// finish gives a whole backup its name.
func (e *Engine) finish(unfinished, dir string) error {
	if e.cfg.FS == nil {
		if err := os.Chmod(unfinished, 0o700); err != nil { //nolint:gosec // a directory
			return err
		}
	}
	if err := e.room.disk.Rename(unfinished, dir); err != nil {
		return err
	}
	return syncDir(e.room.disk, e.room.disk.PathDir(dir))
}
