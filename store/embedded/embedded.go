// Package embedded is the default engine: one directory on this machine's disk,
// kept by Pebble, durable and crash safe. One process at a time may use it.
//
//	e, err := embedded.Open(embedded.Config{Dir: "longcase-data/store"})
//
// # Durability
//
// A write returns after its record is in the log on disk. Writers that wait at
// the same time share one fsync (Pebble's group commit), so many clients are
// faster than the disk's own rate.
//
// # Compare-and-set
//
// A writer holds its key, and only its key, from the read that decides until
// the write is durable. So two writers of one key follow one another, the
// second sees what the first made durable, and writers of different keys never
// wait for each other but share fsyncs.
//
// Pebble shows a write to readers before it is durable. A reader therefore
// reads first and then, if some writer holds the key, waits until it has let go:
// what was read is durable by then (a writer that came later does no harm, its
// wait only costs time). Without that a reader could hand out the successor of
// a generation that a crash takes back. A record's place in the order is the
// moment Pebble shows it; the crash may only take back what no call has
// returned.
//
// Session lists are for administration and do not wait.
//
// # A full disk
//
// With less than Config.Spare left, writes are ErrUnavailable before they begin;
// reads and Retire go on, and compaction gives room back. Where the disk is full
// nevertheless, what Pebble writes waits for room, the calls that wait with it
// are ErrUnknown and those behind them ErrUnavailable; all goes on by itself once
// there is room. A sync that fails, for want of room or otherwise, ends the
// process: nobody knows what of it is on disk, and opening again finds every
// acknowledged write.
//
// # Damage
//
// Every block and every log entry has a checksum. A read that meets damage is
// ErrCorrupt with the file, as is Open where the list of files or a log is
// damaged. One thing can not be told from a power cut: damage to the very last
// entry of the log of a process that was killed.
//
// # Ends
//
// A key is a kind and an id, and an id begins with the end of its bucket, so
// what is over is one range per kind from its beginning. Retire deletes these
// ranges and the watermark, the newest end it dropped, in one synced batch.
// Below the watermark nothing is read or written any more, so a clock that is
// set back brings nothing back. A write that had passed the watermark's check
// before it rose can still land below it; nobody reads it and the next Retire,
// which deletes from the beginning again, takes it along.
package embedded

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/store/internal/node"
)

const defaultMaxMarks = 4_000_000

// Config is what an Engine needs.
type Config struct {
	Dir string // required; made with mode 0700 if it does not exist
	FS  vfs.FS // default the disk

	Now      func() time.Time // the store's clock; default time.Now
	Log      *slog.Logger     // default slog.Default()
	MaxMarks int              // live marks at most; default 4,000,000 (about 30 bytes each)
	Spare    int64            // bytes of disk left to retiring and compaction: with less, writes are refused; default 64 MiB
}

// Engine is one open directory. It implements store.Movable.
type Engine struct {
	cfg      Config
	db       *pebble.DB
	lock     *pebble.Lock
	durably  *pebble.WriteOptions
	room     *room
	late     sync.WaitGroup // writes that go on without their callers
	backups  sync.WaitGroup
	broken   damage
	flights  flights
	feed     feed
	marks    markCount
	watchers store.Watchers

	retired  node.Watermark
	readOnly atomic.Pointer[string] // why; nil: the store takes writes
	door     *node.Door
}

// Open opens the directory, or makes it. Another process that has it open is
// store.ErrLocked. It reads the marks to count them, a second for four million.
func Open(cfg Config) (*Engine, error) { return open(cfg, pebble.Sync) }

func open(cfg Config, durably *pebble.WriteOptions) (*Engine, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if cfg.Dir, err = ownDir(cfg); err != nil {
		return nil, err
	}
	lock, err := lockDir(cfg)
	if err != nil {
		return nil, err
	}
	e := &Engine{cfg: cfg, lock: lock, durably: durably, door: node.NewDoor()}
	e.flights.init()
	e.feed.epoch = rand.Text()
	e.feed.pending = map[uint64]struct{}{}
	e.marks.buckets = map[int64]int{}
	if err := e.openDB(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	if err := e.load(); err != nil {
		return nil, errors.Join(e.openError(err), e.Close())
	}
	return e, nil
}

func (cfg Config) withDefaults() (Config, error) {
	var errs []error
	if cfg.Dir == "" {
		errs = append(errs, errors.New("embedded: Config.Dir is empty: name the directory of the store"))
	}
	if cfg.MaxMarks < 0 {
		errs = append(errs, fmt.Errorf("embedded: Config.MaxMarks is %d: give a positive number, or 0 for %d", cfg.MaxMarks, defaultMaxMarks))
	}
	if cfg.Spare < 0 {
		errs = append(errs, fmt.Errorf("embedded: Config.Spare is %d: give a positive number of bytes, or 0 for %d", cfg.Spare, defaultSpare))
	}
	if cfg.Spare == 0 {
		cfg.Spare = defaultSpare
	}
	if cfg.MaxMarks == 0 {
		cfg.MaxMarks = defaultMaxMarks
	}
	if cfg.FS == nil && cfg.Dir != "" {
		dir, err := filepath.Abs(cfg.Dir)
		errs = append(errs, err)
		cfg.Dir = dir
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	return cfg, errors.Join(errs...)
}

// load reads what must be known before the first call.
func (e *Engine) load() error {
	if err := e.checkFormat(); err != nil {
		return err
	}
	if err := errors.Join(e.loadRetired(), e.loadReadOnly()); err != nil {
		return err
	}
	if err := e.loadSequence(); err != nil {
		return err
	}
	return e.countMarks()
}

// Sessions implements store.Engine.
func (e *Engine) Sessions() store.Sessions { return sessions{e} }

// Documents implements store.Engine.
func (e *Engine) Documents() store.Documents { return documents{e} }

// Marks implements store.Engine.
func (e *Engine) Marks() store.Marks { return marks{e} }

// Revocations implements store.Engine.
func (e *Engine) Revocations() store.Revocations { return revocations{e} }

// Registry implements store.Engine.
func (e *Engine) Registry() store.Registry { return registry{e} }

// Clock implements store.Engine: this host's clock is the store's.
func (e *Engine) Clock(ctx context.Context) (time.Time, error) {
	if err := e.door.Enter(ctx); err != nil {
		return time.Time{}, err
	}
	defer e.door.Leave()
	return e.cfg.Now(), nil
}

// Ready reports why the store should not be given work although it answers:
// store.ErrUnavailable while the disk is full or nearly so, ErrCorrupt once a
// file was found damaged.
func (e *Engine) Ready(ctx context.Context) error {
	if err := e.door.Enter(ctx); err != nil {
		return err
	}
	defer e.door.Leave()
	if err := e.broken.found(); err != nil {
		return err
	}
	if e.room.isFull() {
		return e.room.errFull()
	}
	return e.room.look()
}

// Close implements store.Engine. Closing twice is once. While the disk is full
// it leaves the store as a crash would, and the directory locked until the
// process ends: nothing that was acknowledged is lost.
func (e *Engine) Close() error {
	return e.door.Close(e.shut)
}

func (e *Engine) shut() error {
	if !e.unlessFull(&e.backups) || !e.drained() {
		return fmt.Errorf("embedded: close %s: %w", e.cfg.Dir, e.room.errFull())
	}
	// An entry of a log vouches for those before it; this one for the last.
	last := e.db.LogData([]byte("closed"), e.durably)
	return errors.Join(last, e.db.Close(), e.lock.Close())
}

// get returns a copy of the value of key, nil if there is none. The value may
// not be durable yet: a reader calls settle next, a writer holds key.
func (e *Engine) get(key []byte) ([]byte, error) {
	value, closer, err := e.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, e.readError(keyName(key), err)
	}
	own := append([]byte{}, value...)
	return own, closer.Close()
}

// read returns the durable value of key, nil if there is none.
func (e *Engine) read(ctx context.Context, key []byte) ([]byte, error) {
	value, err := e.get(key)
	if err != nil {
		return nil, err
	}
	return value, e.flights.settle(ctx, key)
}
