package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/longcase/longcase/store"
)

const (
	defaultSpare = 64 << 20
	lookEach     = 64 // writes: so many of the largest are 4 MiB
	tryEach      = 100 * time.Millisecond
)

// room watches how much of the disk is left.
//
// With less than spare, new writes are refused before they begin, while
// retiring and compaction go on: what is left is theirs, and they give it back.
// Where the disk is full nevertheless, because others filled it, what Pebble
// writes waits until there is room: Pebble would have to end the process
// otherwise. Calls do not wait with it.
type room struct {
	dir   string
	spare uint64
	disk  vfs.FS
	log   *slog.Logger

	writes atomic.Uint32
	low    atomic.Bool

	mu      sync.Mutex
	waiting int
	full    atomic.Pointer[chan struct{}] // closed while something waits
}

func newRoom(cfg Config, disk vfs.FS) *room {
	r := &room{dir: cfg.Dir, spare: uint64(cfg.Spare), disk: disk, log: cfg.Log}
	r.roomy()
	return r
}

func (r *room) roomy() {
	full := make(chan struct{})
	r.full.Store(&full)
}

// open refuses to open a store that could not even write its logs into tables:
// Pebble would never come back. It takes a part of the spare, so that a store
// which is nearly full opens and can retire.
func (r *room) open() error {
	if usage, err := r.disk.GetDiskUsage(r.dir); err == nil && usage.AvailBytes < r.spare/4 {
		return r.short(usage.AvailBytes, r.spare/4)
	}
	return nil
}

// check refuses a write that should not begin. It looks at the disk now and
// then, and each time while there is too little.
func (r *room) check() error {
	if r.isFull() {
		return r.errFull()
	}
	if !r.low.Load() && r.writes.Add(1)%lookEach != 1 {
		return nil
	}
	return r.look()
}

// look asks the disk.
func (r *room) look() error {
	usage, err := r.disk.GetDiskUsage(r.dir)
	low := err == nil && usage.AvailBytes < r.spare
	if r.low.Swap(low) != low {
		if low {
			r.log.Error("the store takes no writes: the disk is nearly full", "dir", r.dir, "left", usage.AvailBytes, "spare", r.spare)
		} else {
			r.log.Info("the store takes writes again", "dir", r.dir)
		}
	}
	if !low {
		return nil
	}
	return r.short(usage.AvailBytes, r.spare)
}

func (r *room) short(left, need uint64) error {
	return fmt.Errorf("embedded: the disk of %s is full: %d KiB are left, less than the %d KiB that are needed; free some, and it goes on by itself: %w",
		r.dir, left>>10, need>>10, store.ErrUnavailable)
}

func (r *room) errFull() error {
	return fmt.Errorf("embedded: the disk of %s is full; free some, and it goes on by itself: %w", r.dir, store.ErrUnavailable)
}

// filled is closed while the disk is full.
func (r *room) filled() <-chan struct{} { return *r.full.Load() }

func (r *room) isFull() bool {
	select {
	case <-r.filled():
		return true
	default:
		return false
	}
}

// begin and end stand around a wait for room.
func (r *room) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting++; r.waiting == 1 {
		r.log.Error("the disk is full: writes wait until there is room", "dir", r.dir)
		close(*r.full.Load())
	}
}

func (r *room) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting--; r.waiting == 0 {
		r.log.Info("the disk has room again: writes go on", "dir", r.dir)
		r.roomy()
	}
}

// try calls do until it does not lack room.
func (r *room) try(do func() error) error {
	err := do()
	if !lacksRoom(err) {
		return err
	}
	r.begin()
	defer r.end()
	tick := time.NewTicker(tryEach)
	defer tick.Stop()
	for lacksRoom(err) {
		<-tick.C
		err = do()
	}
	return err
}

func lacksRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// patient is a disk whose writes wait for room. A sync that fails for want of it
// is not tried again: what it should have written may be gone by then.
type patient struct {
	vfs.FS
	room *room
}

type patientFile struct {
	vfs.File
	room *room
}

// try waits for room in the store's own directory only: a backup may fill
// another disk.
func (p patient) try(name string, do func() error) error {
	if !strings.HasPrefix(name, p.room.dir+"/") {
		return do()
	}
	return p.room.try(do)
}

func (p patient) file(name string, do func() (vfs.File, error)) (f vfs.File, err error) {
	err = p.try(name, func() error { f, err = do(); return err })
	if err != nil || !strings.HasPrefix(name, p.room.dir+"/") {
		return f, err
	}
	return patientFile{f, p.room}, nil
}

func (p patient) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return p.file(name, func() (vfs.File, error) { return p.FS.Create(name, c) })
}

func (p patient) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return p.file(name, func() (vfs.File, error) { return p.FS.OpenReadWrite(name, c, o...) })
}

func (p patient) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return p.file(name, func() (vfs.File, error) { return p.FS.ReuseForWrite(old, name, c) })
}

func (p patient) Link(old, name string) error {
	return p.try(name, func() error { return p.FS.Link(old, name) })
}

func (p patient) Rename(old, name string) error {
	return p.try(name, func() error { return p.FS.Rename(old, name) })
}

func (p patient) MkdirAll(dir string, perm os.FileMode) error {
	return p.try(dir, func() error { return p.FS.MkdirAll(dir, perm) })
}

func (p patient) Unwrap() vfs.FS { return p.FS }

func (f patientFile) Write(b []byte) (n int, err error) {
	err = f.room.try(func() error {
		m, err := f.File.Write(b[n:])
		n += m
		return err
	})
	return n, err
}

func (f patientFile) WriteAt(b []byte, at int64) (n int, err error) {
	err = f.room.try(func() error {
		m, err := f.File.WriteAt(b[n:], at+int64(n))
		n += m
		return err
	})
	return n, err
}
