package embedded

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/longcase/longcase/store"
)

func TestABackupUnderLoadHasEverythingAcknowledged(t *testing.T) {
	root := t.TempDir()
	reopen(t, Config{Dir: filepath.Join(root, "store"), Log: quiet()}, func(e *Engine) {
		l := newLoad(e, 8)
		var writers sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		for i := range l.sessions {
			writers.Go(func() { l.write(ctx, t, i) })
		}
		for _, name := range []string{"first", filepath.Join("below", "second"), "third"} {
			time.Sleep(20 * time.Millisecond)
			acked := l.acknowledged()
			dir := filepath.Join(root, name)
			if name == "third" {
				must(t, os.Mkdir(dir, 0o755)) // one that is there and empty
			}
			must(t, e.Backup(ctx, dir))
			info, err := os.Stat(dir)
			must(t, err)
			if info.Mode().Perm() != 0o700 {
				t.Errorf("mode %v, want 0700", info.Mode().Perm())
			}
			restored, err := Open(Config{Dir: dir, Log: quiet()})
			must(t, err)
			if lost := l.missing(t, restored, acked); lost > 0 {
				t.Errorf("%d acknowledged writes are missing in the backup %s", lost, name)
			}
		}
		cancel()
		writers.Wait()
	})
}

func TestABackupOverwritesNothing(t *testing.T) {
	ctx, cfg := context.Background(), Config{Dir: "store", FS: vfs.NewMem(), Log: quiet()}
	reopen(t, cfg, func(e *Engine) {
		must(t, e.Backup(ctx, "backups/monday"))
		for _, dir := range []string{"backups/monday", "store"} {
			err := e.Backup(ctx, dir)
			if err == nil || !strings.Contains(err.Error(), dir+": the directory is not empty") {
				t.Errorf("Backup to %s = %v, want the directory and why", dir, err)
			}
		}
		must(t, e.Sessions().Create(ctx, newSession(time.Now(), time.Hour)))
	})
}

// TestABackupThatWasInterruptedIsNotThere: what a crash leaves has another name
// and is in nobody's way.
func TestABackupThatWasInterruptedIsNotThere(t *testing.T) {
	ctx, disk := context.Background(), vfs.NewMem()
	must(t, disk.MkdirAll("backup.unfinished", 0o700))
	f, err := disk.Create("backup.unfinished/MANIFEST-000001", vfs.WriteCategoryUnspecified)
	must(t, err)
	must(t, f.Close())
	reopen(t, Config{Dir: "store", FS: disk, Log: quiet()}, func(e *Engine) { must(t, e.Backup(ctx, "backup")) })
	reopen(t, Config{Dir: "backup", FS: disk, Log: quiet()}, func(*Engine) {})
	if left, err := disk.List("backup.unfinished"); err == nil {
		t.Errorf("backup.unfinished still holds %q", left)
	}
}

func TestABackupThatFillsItsDiskStopsNobody(t *testing.T) {
	ctx, disk := context.Background(), newQuota()
	reopen(t, disk.config(), func(e *Engine) {
		fill(t, e, time.Now(), 20)
		disk.fill(t, 100)
		if err := e.backup("elsewhere/backup"); err == nil {
			t.Error("a backup without room succeeded")
		}
		if e.room.isFull() {
			t.Error("the store takes its own disk for full")
		}
		disk.fill(t, plenty)
		must(t, e.Backup(ctx, "elsewhere/backup"))
	})
}

func TestStatsCountWhatIsThere(t *testing.T) {
	ctx, clock := context.Background(), newAt()
	reopen(t, Config{Dir: "store", FS: vfs.NewMem(), Now: clock.now, Log: quiet()}, func(e *Engine) {
		for i := range statsPage + 50 {
			must(t, e.Sessions().Create(ctx, newSession(clock.now(), time.Duration(1+i%2)*time.Hour)))
		}
		for _, v := range []string{"a", "b"} {
			_, err := e.Marks().First(ctx, store.Mark{Kind: "assertion", Value: v, End: clock.now().Add(time.Minute)})
			must(t, err)
		}
		must(t, e.Registry().Put(ctx, "ring", []byte("keys"), 0))
		clock.set(clock.now().Add(90 * time.Minute))
		got, err := e.Stats(ctx)
		must(t, err)
		half := int64(statsPage+50) / 2
		if got.Sessions.Live != half || got.Sessions.Over != half || got.Marks != (Rows{Over: 2, Bytes: got.Marks.Bytes}) || got.Entries.Live != 1 {
			t.Errorf("Stats = %+v, want %d sessions live and as many over, 2 marks over, an entry", got, half)
		}
		if each := got.Sessions.Bytes / (2 * half); each < 40 || each > 60 || got.Disk <= 0 {
			t.Errorf("%d bytes a session, %d on the disk; want 40 to 60, and some", each, got.Disk)
		}
		_, err = e.Retire(ctx, clock.now())
		must(t, err)
		if got, err := e.Stats(ctx); err != nil || got.Sessions.Live != half || got.Sessions.Over != 0 || got.Marks.Over != 0 {
			t.Errorf("Stats after retiring = %+v, %v; want nothing over", got, err)
		}
	})
}
