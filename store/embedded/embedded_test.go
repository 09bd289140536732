package embedded

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/longcase/longcase/store"
)

// at is a clock that stands where the test puts it.
type at struct {
	mu sync.Mutex
	t  time.Time
}

func (a *at) now() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.t
}

func (a *at) set(t time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.t = t
}

func newAt() *at { return &at{t: time.Date(2026, 3, 1, 10, 1, 7, 0, time.UTC)} }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// reopen opens cfg, lets f use it and closes it.
func reopen(t *testing.T, cfg Config, f func(*Engine)) {
	t.Helper()
	e, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, e)
	f(e)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newSession(now time.Time, life time.Duration) store.Session {
	end := now.Add(life)
	return store.Session{ID: store.NewID(now, end), End: end, Generation: 1, Client: "web", Subject: "alice", Data: []byte("data")}
}

// free is a flight that holds nothing.
func free() *flight { return &flight{free: func() {}} }

func TestAWrongConfigIsRefusedWhole(t *testing.T) {
	_, err := Open(Config{MaxMarks: -1})
	if err == nil || !strings.Contains(err.Error(), "Dir") || !strings.Contains(err.Error(), "MaxMarks") {
		t.Errorf("Open = %v, want both fields named", err)
	}
}

func TestTheDirectoryIsOnesOwn(t *testing.T) {
	top := t.TempDir()
	dir, link := filepath.Join(top, "new", "store"), filepath.Join(top, "link")
	must(t, os.Symlink(dir, link))
	reopen(t, Config{Dir: dir, Log: quiet()}, func(e *Engine) {
		info, err := os.Stat(dir)
		must(t, err)
		if info.Mode().Perm() != 0o700 {
			t.Errorf("mode %v, want 0700", info.Mode().Perm())
		}
		for _, spelling := range []string{dir, dir + "/../store", link} {
			_, err = Open(Config{Dir: spelling, Log: quiet()})
			if !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), dir) {
				t.Errorf("second Open of %s = %v, want ErrLocked with the directory", spelling, err)
			}
		}
		must(t, e.Sessions().Create(context.Background(), newSession(time.Now(), time.Hour)))
	})
}

func TestAFileInTheWayIsNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	_, err := Open(Config{Dir: filepath.Join(file, "store"), Log: quiet()})
	if err == nil || errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), file) {
		t.Errorf("Open = %v, want the path and not ErrLocked", err)
	}
}

func TestEverythingIsThereAfterReopening(t *testing.T) {
	ctx, clock := context.Background(), newAt()
	cfg := Config{Dir: "store", FS: vfs.NewMem(), Now: clock.now, Log: quiet(), MaxMarks: 3}
	one, over := newSession(clock.now(), 12*time.Hour), newSession(clock.now(), time.Minute)
	mark := func(v string) store.Mark {
		return store.Mark{Kind: "assertion", Value: v, End: one.End.Add(-time.Hour)}
	}
	var cursor store.Cursor
	reopen(t, cfg, func(e *Engine) {
		must(t, e.Sessions().Create(ctx, one))
		must(t, e.Sessions().Create(ctx, over))
		must(t, e.Registry().Put(ctx, "ring", []byte("keys"), 0))
		for _, v := range []string{"a", "b"} {
			_, err := e.Marks().First(ctx, mark(v))
			must(t, err)
			must(t, e.Revocations().Add(ctx, store.Revocation{Kind: store.RevokedToken, Value: v, End: one.End}))
		}
		_, c, err := e.Revocations().Since(ctx, "")
		must(t, err)
		cursor = c
		clock.set(over.ID.Bucket())
		n, err := e.Retire(ctx, clock.now())
		if err != nil || n != 1 {
			t.Errorf("Retire = %d, %v; want 1 bucket", n, err)
		}
	})
	clock.set(over.End.Add(-time.Second)) // set back
	reopen(t, cfg, func(e *Engine) {
		if _, err := e.Sessions().Load(ctx, one.ID); err != nil {
			t.Error(err)
		}
		if err := e.Sessions().Create(ctx, over); !errors.Is(err, store.ErrEnded) {
			t.Errorf("Create in a retired bucket = %v, want ErrEnded", err)
		}
		must(t, e.Registry().Put(ctx, "ring", []byte("keys"), 1))
		must(t, e.Revocations().Add(ctx, store.Revocation{Kind: store.RevokedToken, Value: "c", End: one.End}))
		all, _, err := e.Revocations().Since(ctx, cursor)
		if err != nil || len(all) != 3 {
			t.Errorf("Since an old cursor = %v, %v; want all three", all, err)
		}
		again, err := e.Marks().First(ctx, mark("a"))
		third, err2 := e.Marks().First(ctx, mark("c"))
		_, full := e.Marks().First(ctx, mark("d"))
		if again || !third || err != nil || err2 != nil || !errors.Is(full, store.ErrFull) {
			t.Errorf("First = %v, %v, then %v; %v %v; want false, true, ErrFull", again, third, full, err, err2)
		}
	})
}

func TestACorruptRecordIsNamedAndNothingElseIsLost(t *testing.T) {
	ctx := context.Background()
	good, bad, newer := newSession(time.Now(), time.Hour), newSession(time.Now(), time.Hour), newSession(time.Now(), time.Hour)
	reopen(t, Config{Dir: "store", FS: vfs.NewMem(), Log: quiet()}, func(e *Engine) {
		must(t, e.Sessions().Create(ctx, good))
		must(t, e.set(free(), idKey(kindSession, bad.ID), []byte{recordVersion, 0xff}))
		must(t, e.set(free(), idKey(kindSession, newer.ID), append([]byte{recordVersion + 1}, encodeSession(newer)[1:]...)))
		for _, id := range []store.ID{bad.ID, newer.ID} {
			_, err := e.Sessions().Load(ctx, id)
			if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "session "+id.String()) {
				t.Errorf("Load = %v, want ErrCorrupt with kind and id", err)
			}
			if err := e.Sessions().Revoke(ctx, id); !errors.Is(err, ErrCorrupt) {
				t.Errorf("Revoke = %v, want ErrCorrupt", err)
			}
		}
		if _, err := e.Sessions().Load(ctx, good.ID); err != nil {
			t.Error(err)
		}
	})
}

func TestAStoreOfANewerFormatIsRefused(t *testing.T) {
	cfg := Config{Dir: "store", FS: vfs.NewMem(), Log: quiet()}
	reopen(t, cfg, func(e *Engine) { must(t, e.set(free(), metaKey("format"), []byte{recordVersion + 1})) })
	if _, err := Open(cfg); !errors.Is(err, store.ErrSchema) || !strings.Contains(err.Error(), "format 2, this program knows 1") {
		t.Errorf("Open = %v, want the format named", err)
	}
}

// stuck is a disk whose syncs wait while it is held.
type stuck struct {
	vfs.FS
	mu sync.RWMutex
}

type stuckFile struct {
	vfs.File
	disk *stuck
}

func (s *stuck) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := s.FS.Create(name, c)
	return stuckFile{f, s}, err
}

func (f stuckFile) wait() {
	f.disk.mu.RLock()
	defer f.disk.mu.RUnlock()
}

func (f stuckFile) Sync() error     { f.wait(); return f.File.Sync() }
func (f stuckFile) SyncData() error { f.wait(); return f.File.SyncData() }

func TestNothingIsSeenBeforeItIsDurable(t *testing.T) {
	ctx, disk := context.Background(), &stuck{FS: vfs.NewMem()}
	reopen(t, Config{Dir: "store", FS: disk, Log: quiet()}, func(e *Engine) {
		one, other := newSession(time.Now(), time.Hour), newSession(time.Now(), time.Hour)
		must(t, e.Sessions().Create(ctx, one))
		must(t, e.Sessions().Create(ctx, other))
		next := one
		next.Generation = 2
		disk.mu.Lock()
		written := make(chan error)
		go func() { written <- e.Sessions().Replace(ctx, next, 1) }()
		awaitVisible(t, e, one.ID)

		short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		if got, err := e.Sessions().Load(short, one.ID); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Load while the write is not durable = generation %d, %v; want to wait", got.Generation, err)
		}
		if err := e.Sessions().Replace(short, next, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Replace while the write is not durable = %v, want to wait", err)
		}
		if _, err := e.Sessions().Load(ctx, other.ID); err != nil {
			t.Errorf("Load of another session: %v", err)
		}
		disk.mu.Unlock()
		must(t, <-written)
		if got, err := e.Sessions().Load(ctx, one.ID); err != nil || got.Generation != 2 {
			t.Errorf("Load = %d, %v; want generation 2", got.Generation, err)
		}
	})
}

// awaitVisible waits until Pebble shows generation 2.
func awaitVisible(t *testing.T, e *Engine, id store.ID) {
	t.Helper()
	for {
		value, err := e.get(idKey(kindSession, id))
		must(t, err)
		if s, err := decodeSession(idKey(kindSession, id), value); err != nil || s.Generation == 2 {
			must(t, err)
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func TestRetiringGivesTheBytesBack(t *testing.T) {
	ctx, clock, dir := context.Background(), newAt(), t.TempDir()
	reopen(t, Config{Dir: dir, Now: clock.now, Log: quiet()}, func(e *Engine) {
		kept := newSession(clock.now(), 12*time.Hour)
		must(t, e.Sessions().Create(ctx, kept))
		fill(t, e, clock.now(), 30_000)
		// Old enough to have left the newest level, whose few memtables wait for
		// the next ones.
		must(t, e.db.Compact(ctx, []byte{0}, []byte{0xff}, false))
		before := size(t, dir)
		clock.set(clock.now().Add(2 * time.Hour))
		_, err := e.Retire(ctx, clock.now())
		must(t, err)
		deadline := time.Now().Add(time.Minute)
		for size(t, dir) > before/4 { // the file that the kept session lies in stays
			if time.Now().After(deadline) {
				t.Fatalf("%d of %d bytes are still there", size(t, dir), before)
			}
			time.Sleep(50 * time.Millisecond)
		}
		if _, err := e.Sessions().Load(ctx, kept.ID); err != nil {
			t.Error(err)
		}
	})
}

// fill creates n sessions that end within the hour.
func fill(t *testing.T, e *Engine, now time.Time, n int) {
	t.Helper()
	var wg sync.WaitGroup
	const writers = 64
	for w := range writers {
		wg.Go(func() {
			for i := w; i < n; i += writers {
				s := newSession(now, time.Duration(1+i%59)*time.Minute)
				s.Data = make([]byte, 400)
				_, _ = rand.Read(s.Data) // compresses to nothing less
				if err := e.Sessions().Create(context.Background(), s); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// size counts the bytes of tables; logs are recycled and have their own bound.
func size(t *testing.T, dir string) (n int64) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".sst") {
			if info, err := d.Info(); err == nil {
				n += info.Size()
			}
		}
		if errors.Is(err, fs.ErrNotExist) { // dropped meanwhile
			return nil
		}
		return err
	}))
	return n
}
