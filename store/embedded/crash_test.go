package embedded

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/store/storetest"
)

// TestNoAcknowledgedWriteIsLostInACrash takes the power away at random moments
// under load. The control, the same load without sync, must lose writes: else
// the checker sees nothing.
func TestNoAcknowledgedWriteIsLostInACrash(t *testing.T) {
	images := storetest.Count(1000)
	if lost := crashes(t, images, pebble.Sync); lost > 0 {
		t.Errorf("%d acknowledged writes lost in %d crash images, want 0", lost, images)
	}
	if lost := crashes(t, max(images/10, 5), pebble.NoSync); lost == 0 {
		t.Error("without sync no write was lost: this test can not see a loss")
	}
}

// crashes returns how many acknowledged writes are missing over all images.
func crashes(t *testing.T, images int, write *pebble.WriteOptions) (lost int) {
	const perRun = 25
	for seed := uint64(0); images > 0; seed++ {
		n := min(images, perRun)
		lost += crashRun(t, n, seed, write)
		images -= n
	}
	return lost
}

// crashRun writes from several goroutines while it takes images, then opens
// each image.
func crashRun(t *testing.T, images int, seed uint64, write *pebble.WriteOptions) (lost int) {
	disk := vfs.NewCrashableMem()
	e := openOn(t, disk, write)
	defer closed(t, e)
	l := newLoad(e, 8)
	var writers sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	for i := range l.sessions {
		writers.Go(func() { l.write(ctx, t, i) })
	}
	rng := rand.New(rand.NewPCG(seed, 1))
	for range images {
		time.Sleep(time.Duration(rng.IntN(2000)) * time.Microsecond)
		acked := l.acknowledged()
		image := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
		l.rest.Lock() // a slow check would have more and more to check
		lost += l.missing(t, openImage(t, image, write), acked)
		l.rest.Unlock()
	}
	cancel()
	writers.Wait()
	return lost
}

func openOn(t *testing.T, disk vfs.FS, write *pebble.WriteOptions) *Engine {
	t.Helper()
	e, err := open(Config{Dir: "data/store", FS: disk, Log: slog.New(slog.DiscardHandler)}, write)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// openImage opens what a crash left; nil if there is no store in it, which only
// a run without sync may cause.
func openImage(t *testing.T, disk vfs.FS, write *pebble.WriteOptions) *Engine {
	t.Helper()
	e, err := open(Config{Dir: "data/store", FS: disk, Log: slog.New(slog.DiscardHandler)}, write)
	if err != nil && write.Sync {
		t.Fatalf("open after a crash: %v", err)
	}
	return e
}

func closed(t *testing.T, e *Engine) {
	t.Helper()
	if err := e.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// load rotates sessions and writes marks and revocations, and remembers what
// was acknowledged.
type load struct {
	e        *Engine
	begin    time.Time
	sessions []store.Session
	acked    []progress
	rest     sync.RWMutex // writers hold it for reading, a turn each
}

type progress struct{ generation, marks, revocations atomic.Uint64 }

// counts is a progress at one moment.
type counts struct{ generation, marks, revocations uint64 }

func newLoad(e *Engine, n int) *load {
	l := &load{e: e, begin: time.Now(), acked: make([]progress, n)}
	end := l.begin.Add(time.Hour)
	for i := range n {
		l.sessions = append(l.sessions, store.Session{ID: store.NewID(l.begin, end), End: end, Subject: string(rune('a' + i))})
	}
	return l
}

// data is long and follows from the generation, so that half a record shows.
func data(g uint64) []byte {
	var b []byte
	for range 40 {
		b = binary.BigEndian.AppendUint64(b, g)
	}
	return b
}

func (l *load) write(ctx context.Context, t *testing.T, i int) {
	s := l.sessions[i]
	s.Data = data(1)
	if err := l.e.Sessions().Create(context.Background(), s); err != nil {
		t.Error(err)
	}
	l.acked[i].generation.Store(1)
	for g := uint64(1); ctx.Err() == nil; g++ {
		s.Generation, s.Data = store.Generation(g+1), data(g+1)
		l.turn(t, i, g, s)
	}
}

func (l *load) turn(t *testing.T, i int, g uint64, s store.Session) {
	l.rest.RLock()
	defer l.rest.RUnlock()
	ctx := context.Background()
	if err := l.e.Sessions().Replace(ctx, s, store.Generation(g)); err != nil {
		t.Error(err)
	}
	l.acked[i].generation.Store(g + 1)
	if _, err := l.e.Marks().First(ctx, l.mark(i, g)); err != nil {
		t.Error(err)
	}
	l.acked[i].marks.Store(g)
	if err := l.e.Revocations().Add(ctx, l.revocation(i, g)); err != nil {
		t.Error(err)
	}
	l.acked[i].revocations.Store(g)
}

func (l *load) mark(i int, n uint64) store.Mark {
	return store.Mark{Kind: "assertion", Scope: l.sessions[i].Subject, Value: string(data(n)), End: l.begin.Add(time.Hour)}
}

func (l *load) revocation(i int, n uint64) store.Revocation {
	return store.Revocation{Kind: store.RevokedToken, Value: l.sessions[i].Subject + string(data(n)), End: l.begin.Add(time.Hour)}
}

func (l *load) acknowledged() (all []counts) {
	for i := range l.acked {
		a := &l.acked[i]
		all = append(all, counts{a.generation.Load(), a.marks.Load(), a.revocations.Load()})
	}
	return all
}

// missing counts what was acknowledged and is not in the reopened store.
func (l *load) missing(t *testing.T, e *Engine, acked []counts) (lost int) {
	if e == nil {
		return 1
	}
	defer closed(t, e)
	ctx := context.Background()
	seen := map[string]bool{}
	all, _, err := e.Revocations().Since(ctx, "")
	if err != nil {
		t.Error(err)
	}
	for _, r := range all {
		seen[r.Value] = true
	}
	for i, want := range acked {
		lost += l.missingSession(t, e, i, want.generation)
		for n := uint64(1); n <= want.revocations; n++ {
			if !seen[l.revocation(i, n).Value] {
				lost++
			}
		}
		if want.marks == 0 {
			continue
		}
		if first, err := e.Marks().First(ctx, l.mark(i, want.marks)); err != nil || first {
			lost++
		}
	}
	return lost
}

func (l *load) missingSession(t *testing.T, e *Engine, i int, generation uint64) int {
	if generation == 0 {
		return 0
	}
	got, err := e.Sessions().Load(context.Background(), l.sessions[i].ID)
	if err != nil || uint64(got.Generation) < generation {
		return 1
	}
	if string(got.Data) != string(data(uint64(got.Generation))) {
		t.Errorf("generation %d is half written", got.Generation)
	}
	return 0
}

// TestARetiredBucketStaysRetiredThroughACrash: the range deletion and the
// watermark are one write.
func TestARetiredBucketStaysRetiredThroughACrash(t *testing.T) {
	ctx, clock := context.Background(), newAt()
	begin := clock.now()
	rng := rand.New(rand.NewPCG(1, 2))
	for range storetest.Count(200) {
		clock.set(begin)
		disk := vfs.NewCrashableMem()
		cfg := Config{Dir: "store", FS: disk, Now: clock.now, Log: quiet()}
		over, kept := newSession(begin, time.Minute), newSession(begin, 12*time.Hour)
		var image *vfs.MemFS
		reopen(t, cfg, func(e *Engine) {
			must(t, e.Sessions().Create(ctx, over))
			must(t, e.Sessions().Create(ctx, kept))
			clock.set(over.ID.Bucket())
			_, err := e.Retire(ctx, clock.now())
			must(t, err)
			image = disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
		})
		clock.set(begin)
		cfg.FS = image
		reopen(t, cfg, func(e *Engine) {
			if _, err := e.Sessions().Load(ctx, over.ID); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("Load of what was retired = %v, want ErrNotFound", err)
			}
			if err := e.Sessions().Create(ctx, over); !errors.Is(err, store.ErrEnded) {
				t.Errorf("Create in the retired bucket = %v, want ErrEnded", err)
			}
			_, err := e.Sessions().Load(ctx, kept.ID)
			must(t, err)
		})
	}
}
