package embedded

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/longcase/longcase/store"
)

// small is a disk that can be filled: fill leaves so many bytes on it.
type small interface {
	config() Config
	fill(t *testing.T, left int64)
}

// quota is a disk in memory with a bound. It counts what is written, which
// never shrinks, so fill is the only thing that makes room.
type quota struct {
	vfs.FS
	left atomic.Int64
}

type quotaFile struct {
	vfs.File
	disk *quota
}

func newQuota() *quota {
	q := &quota{FS: vfs.NewMem()}
	q.left.Store(1 << 40)
	return q
}

func (q *quota) config() Config             { return Config{Dir: "store", FS: q, Log: quiet(), Spare: 1 << 20} }
func (q *quota) fill(_ *testing.T, n int64) { q.left.Store(n) }
func (q *quota) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: uint64(max(q.left.Load(), 0))}, nil
}

func (q *quota) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if q.left.Load() <= 0 {
		return nil, &os.PathError{Op: "open", Path: name, Err: syscall.ENOSPC}
	}
	f, err := q.FS.Create(name, c)
	return quotaFile{f, q}, err
}

func (q *quota) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := q.FS.ReuseForWrite(old, name, c)
	return quotaFile{f, q}, err
}

func (f quotaFile) Write(b []byte) (int, error) {
	room := max(min(f.disk.left.Add(-int64(len(b)))+int64(len(b)), int64(len(b))), 0)
	n, err := f.File.Write(b[:room])
	if err == nil && n < len(b) {
		f.disk.left.Store(0)
		err = &os.PathError{Op: "write", Path: "quota", Err: syscall.EDQUOT}
	}
	return n, err
}

// tmpfs is a real file system of 32 MiB and a file that fills it.
type tmpfs struct{ dir string }

func newTmpfs(t *testing.T) tmpfs {
	t.Helper()
	dir := t.TempDir()
	must(t, syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=32m"))
	t.Cleanup(func() { must(t, syscall.Unmount(dir, 0)) })
	return tmpfs{dir}
}

func (d tmpfs) config() Config {
	return Config{Dir: filepath.Join(d.dir, "store"), Log: quiet(), Spare: 1 << 20}
}

func (d tmpfs) fill(t *testing.T, left int64) {
	t.Helper()
	path := filepath.Join(d.dir, "ballast")
	must(t, os.RemoveAll(path))
	if left > 32<<20 {
		return
	}
	usage, err := vfs.Default.GetDiskUsage(d.dir)
	must(t, err)
	f, err := os.Create(path)
	must(t, err)
	_, err = f.Write(make([]byte, max(int64(usage.AvailBytes)-left, 0)))
	must(t, errors.Join(err, f.Close()))
}

const plenty = 1 << 40

// disks are those that can be filled here: a mount takes root.
func disks(t *testing.T) map[string]small {
	all := map[string]small{"a quota": newQuota()}
	if os.Geteuid() == 0 {
		all["a tmpfs"] = newTmpfs(t)
	}
	return all
}

func TestANearlyFullDiskTakesNoWritesUntilThereIsRoom(t *testing.T) {
	for name, disk := range disks(t) {
		t.Run(name, func(t *testing.T) {
			ctx, clock := context.Background(), newAt()
			cfg := disk.config()
			cfg.Now = clock.now
			reopen(t, cfg, func(e *Engine) {
				over, one := newSession(clock.now(), time.Minute), newSession(clock.now(), 12*time.Hour)
				must(t, e.Sessions().Create(ctx, over))
				must(t, e.Sessions().Create(ctx, one))
				must(t, e.Ready(ctx))
				disk.fill(t, cfg.Spare/2)
				err := e.Ready(ctx)
				if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), cfg.Dir) {
					t.Errorf("Ready = %v, want ErrUnavailable with the directory", err)
				}
				one.Generation = 2
				if err := e.Sessions().Replace(ctx, one, 1); !errors.Is(err, store.ErrUnavailable) {
					t.Errorf("Replace = %v, want ErrUnavailable", err)
				}
				if got, err := e.Sessions().Load(ctx, one.ID); err != nil || got.Generation != 1 {
					t.Errorf("Load = generation %d, %v; want 1: nothing was written", got.Generation, err)
				}
				clock.set(clock.now().Add(time.Hour))
				if n, err := e.Retire(ctx, clock.now()); n != 1 || err != nil {
					t.Errorf("Retire = %d, %v; want 1 bucket", n, err)
				}
				disk.fill(t, plenty)
				must(t, e.Sessions().Replace(ctx, one, 1))
				must(t, e.Ready(ctx))
			})
		})
	}
}

func TestAFullDiskLosesNothingAndEndsByItself(t *testing.T) {
	for name, disk := range disks(t) {
		t.Run(name, func(t *testing.T) {
			ctx, cfg := context.Background(), disk.config()
			acked := &ackedSessions{all: map[store.ID]store.Generation{}}
			var unknown store.Session
			reopen(t, cfg, func(e *Engine) {
				must(t, acked.create(e))
				disk.fill(t, 0)
				unknown = acked.untilFull(t, e)
				if err := e.Ready(ctx); !errors.Is(err, store.ErrUnavailable) {
					t.Errorf("Ready = %v, want ErrUnavailable", err)
				}
				if err := acked.create(e); !errors.Is(err, store.ErrUnavailable) {
					t.Errorf("Create on a full disk = %v, want ErrUnavailable", err)
				}
				acked.check(t, e)
				short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
				defer cancel()
				if _, err := e.Sessions().Load(short, unknown.ID); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Load of what is being written = %v, want to wait", err)
				}
				disk.fill(t, plenty)
				if _, err := e.Sessions().Load(ctx, unknown.ID); err != nil {
					t.Errorf("Load once there is room: %v", err)
				}
				must(t, acked.create(e))
				must(t, e.Ready(ctx))
			})
			reopen(t, cfg, func(e *Engine) {
				acked.check(t, e)
				if _, err := e.Sessions().Load(ctx, unknown.ID); err != nil {
					t.Errorf("what was read before is gone: %v", err)
				}
			})
		})
	}
}

// ackedSessions are those whose Create returned no error.
type ackedSessions struct {
	mu  sync.Mutex
	all map[store.ID]store.Generation
}

func (a *ackedSessions) create(e *Engine) error {
	_, err := a.next(e)
	return err
}

func (a *ackedSessions) next(e *Engine) (store.Session, error) {
	one := newSession(time.Now(), time.Hour)
	one.Data = make([]byte, 30_000)
	err := e.Sessions().Create(context.Background(), one)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err == nil {
		a.all[one.ID] = 1
	}
	return one, err
}

// untilFull writes until a write does not end and returns that one. It hides
// that the disk is nearly full, as if others filled it between two looks.
func (a *ackedSessions) untilFull(t *testing.T, e *Engine) store.Session {
	t.Helper()
	for {
		e.room.writes.Store(1)
		one, err := a.next(e)
		if errors.Is(err, store.ErrUnknown) {
			return one
		}
		must(t, err)
	}
}

func (a *ackedSessions) check(t *testing.T, e *Engine) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	for id := range a.all {
		if _, err := e.Sessions().Load(context.Background(), id); err != nil {
			t.Errorf("an acknowledged session is lost: %v", err)
		}
	}
}

func TestAFullDiskIsLeftAtCloseAsACrashWould(t *testing.T) {
	disk := newQuota()
	acked := &ackedSessions{all: map[store.ID]store.Generation{}}
	e, err := Open(disk.config())
	must(t, err)
	must(t, acked.create(e))
	disk.fill(t, 0)
	acked.untilFull(t, e)
	if err := e.SetReadOnly(context.Background(), "moving"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("SetReadOnly on a full disk = %v, want ErrUnavailable", err)
	}
	backup := backupBegun(e)
	closed := make(chan error, 1)
	go func() { closed <- e.Close() }()
	select {
	case err := <-closed:
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("Close on a full disk = %v, want to say so", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("Close waits for the backup, which waits for room")
	}
	if _, err := Open(disk.config()); !errors.Is(err, store.ErrLocked) {
		t.Errorf("Open behind it = %v, want ErrLocked until the process ends", err)
	}
	disk.fill(t, plenty)
	must(t, <-backup)
	e.late.Wait() // what the end of the process would do
	must(t, errors.Join(e.db.Close(), e.lock.Close()))
	reopen(t, disk.config(), func(e *Engine) { acked.check(t, e) })
}

// backupBegun returns when a backup is under way.
func backupBegun(e *Engine) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- e.Backup(context.Background(), "backup") }()
	key := metaKey("backup")
	for s, begun := e.flights.shard(key), false; !begun; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		_, begun = s.held[string(key)]
		s.mu.Unlock()
	}
	return ended
}

func TestOpeningOnAFullDiskIsWorthAnotherTry(t *testing.T) {
	for name, disk := range disks(t) {
		t.Run(name, func(t *testing.T) {
			acked := &ackedSessions{all: map[store.ID]store.Generation{}}
			reopen(t, disk.config(), func(e *Engine) { must(t, acked.create(e)) })
			disk.fill(t, 0)
			_, err := Open(disk.config())
			if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "full") {
				t.Errorf("Open on a full disk = %v, want ErrUnavailable and the reason", err)
			}
			disk.fill(t, plenty)
			reopen(t, disk.config(), func(e *Engine) { acked.check(t, e) })
		})
	}
}

// TestADirectoryThatCanNotBeWrittenIsNamed: root may write anywhere, so a read
// only mount stands for a directory without permission.
func TestADirectoryThatCanNotBeWrittenIsNamed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	reopen(t, Config{Dir: dir, Log: quiet()}, func(*Engine) {})
	if os.Geteuid() == 0 {
		must(t, syscall.Mount(dir, dir, "", syscall.MS_BIND, ""))
		t.Cleanup(func() { must(t, syscall.Unmount(dir, 0)) })
		must(t, syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, ""))
	} else {
		must(t, os.Chmod(dir, 0o500))
		t.Cleanup(func() { must(t, os.Chmod(dir, 0o700)) })
	}
	_, err := Open(Config{Dir: dir, Log: quiet()})
	if err == nil || errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), dir+": this process may not write there") {
		t.Errorf("Open = %v, want the directory, what is wrong and not ErrLocked", err)
	}
}
