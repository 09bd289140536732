package storetest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/store/memory"
)

// TestTheSuiteCanFail runs the suite against engines that are broken on
// purpose: each must fail the facts it breaks, and the sound one none.
func TestTheSuiteCanFail(t *testing.T) {
	if err := flag.Set("rapid.nofailfile", "true"); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		open  Open
		fails []string
	}{
		{"a sound engine", openSound, nil},
		{"a compare-and-set that checks, then writes", openRacy, []string{
			"of 64 rotations of one generation one wins",
			"no rotation is lost among many",
		}},
		{"a retire that drops a bucket early", openEager, []string{
			"retiring drops what is over and nothing else",
			"any sequence of calls does what the model does",
		}},
		{"a retire that believes a time in the future", openGullible, []string{
			"retiring before a time in the future counts as now",
		}},
		{"reads that leave the end to the retiring", openLate, []string{
			"a session can be rotated in its last second and not at its end",
			"any sequence of calls does what the model does",
		}},
		{"marks that make room", openForgetful, []string{
			"a full store refuses and evicts no live mark",
		}},
		{"a feed whose cursor runs ahead of slow writers", openSkipping, []string{
			"a follower may see twice and never misses",
		}},
		{"a feed that judges ends by the store's clock", openJudging, []string{
			"a revocation is seen until it is retired, over or not",
			"a clock that leaps ahead and back hides no revocation",
		}},
		{"a revocation that a rotation undoes", openUndoing, []string{
			"a revoked session is loaded as ended and never replaced again",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			failed := failures(t, tt.open, Traits{OwnClock: true, Again: again})
			for _, name := range tt.fails {
				if !slices.Contains(failed, name) {
					t.Errorf("the suite did not notice: %q passed", name)
				}
			}
			if tt.fails == nil && len(failed) > 0 {
				t.Errorf("a sound engine failed %q", failed)
			}
		})
	}
}

// failures runs each fact that some names, or all, against a recorder and
// returns those that failed.
func failures(t *testing.T, open Open, traits Traits, some ...string) (failed []string) {
	for _, f := range facts() {
		if !f.applies(traits) || len(some) > 0 && !slices.Contains(some, f.name) {
			continue
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second) // for what never comes
		r := &recorder{TB: t, context: func() context.Context { return ctx }}
		done := make(chan struct{})
		go func() { // Fatal ends the goroutine
			defer close(done)
			f.check(newSubject(r, open, traits))
		}()
		<-done
		cancel()
		if r.failed {
			failed = append(failed, f.name)
		}
	}
	return failed
}

// recorder is a testing.TB that remembers a failure instead of failing.
type recorder struct {
	testing.TB
	context func() context.Context
	mu      sync.Mutex
	failed  bool
}

func (r *recorder) Fail() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = true
}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

func (r *recorder) FailNow()                 { r.Fail(); runtime.Goexit() }
func (r *recorder) Error(...any)             { r.Fail() }
func (r *recorder) Errorf(string, ...any)    { r.Fail() }
func (r *recorder) Fatal(...any)             { r.FailNow() }
func (r *recorder) Fatalf(string, ...any)    { r.FailNow() }
func (r *recorder) Logf(string, ...any)      {}
func (r *recorder) Log(...any)               {}
func (r *recorder) Name() string             { return "recorded" }
func (r *recorder) Context() context.Context { return r.context() }

func sound(cfg Config) *memory.Engine {
	return memory.New(memory.Config{Now: cfg.Now, MaxMarks: cfg.MaxMarks})
}

func openSound(_ testing.TB, cfg Config) store.Engine { return sound(cfg) }

// again opens a node on the sound part of an engine.
func again(_ testing.TB, e store.Engine, cfg Config) store.Engine {
	if c, ok := e.(changed); ok {
		c.Engine = c.Again(cfg.Now)
		return c
	}
	return e.(*memory.Engine).Again(cfg.Now)
}

// changed is a sound engine with some parts put in place of its own.
type changed struct {
	*memory.Engine
	sessions    store.Sessions
	documents   store.Documents
	marks       store.Marks
	revocations store.Revocations
	retire      func(context.Context, time.Time) (int, error)
	export      func(context.Context, store.Place, func(store.Record, store.Place) error) error
	takeIn      func(context.Context, store.Record) error
	setReadOnly func(context.Context, string) error
}

func (c changed) Sessions() store.Sessions       { return either(c.sessions, c.Engine.Sessions) }
func (c changed) Documents() store.Documents     { return either(c.documents, c.Engine.Documents) }
func (c changed) Marks() store.Marks             { return either(c.marks, c.Engine.Marks) }
func (c changed) Revocations() store.Revocations { return either(c.revocations, c.Engine.Revocations) }

func either[T comparable](own T, sound func() T) T {
	var none T
	if own != none {
		return own
	}
	return sound()
}

func (c changed) Retire(ctx context.Context, before time.Time) (int, error) {
	if c.retire != nil {
		return c.retire(ctx, before)
	}
	return c.Engine.Retire(ctx, before)
}

func (c changed) Export(ctx context.Context, after store.Place, visit func(store.Record, store.Place) error) error {
	if c.export != nil {
		return c.export(ctx, after, visit)
	}
	return c.Engine.Export(ctx, after, visit)
}

func (c changed) Import(ctx context.Context, r store.Record) error {
	if c.takeIn != nil {
		return c.takeIn(ctx, r)
	}
	return c.Engine.Import(ctx, r)
}

func (c changed) SetReadOnly(ctx context.Context, reason string) error {
	if c.setReadOnly != nil {
		return c.setReadOnly(ctx, reason)
	}
	return c.Engine.SetReadOnly(ctx, reason)
}

// racy keeps sessions in a map whose lock it drops between check and write.
type racy struct {
	store.Sessions
	mu  sync.Mutex
	all map[store.ID]store.Session
}

func openRacy(_ testing.TB, cfg Config) store.Engine {
	e := sound(cfg)
	return changed{Engine: e, sessions: &racy{Sessions: e.Sessions(), all: map[store.ID]store.Session{}}}
}

func (r *racy) Load(ctx context.Context, id store.ID) (store.Session, error) {
	found, err := r.Sessions.Load(ctx, id)
	r.mu.Lock()
	defer r.mu.Unlock()
	if s, ok := r.all[id]; ok && err == nil {
		return s, nil
	}
	return found, err
}

func (r *racy) Replace(ctx context.Context, s store.Session, old store.Generation) error {
	found, err := r.Load(ctx, s.ID)
	if err != nil || found.Generation != old || found.Ended {
		return store.ErrConflict
	}
	runtime.Gosched()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all[s.ID] = s
	return nil
}

func openEager(_ testing.TB, cfg Config) store.Engine {
	ahead := struct {
		sync.Mutex
		by time.Duration
	}{}
	inner := cfg
	inner.Now = func() time.Time {
		ahead.Lock()
		defer ahead.Unlock()
		return cfg.Now().Add(ahead.by)
	}
	e := sound(inner)
	set := func(d time.Duration) {
		ahead.Lock()
		defer ahead.Unlock()
		ahead.by = d
	}
	return changed{Engine: e, retire: func(ctx context.Context, before time.Time) (int, error) {
		set(time.Hour)
		defer set(0)
		return e.Retire(ctx, before.Add(time.Hour))
	}}
}

func openGullible(_ testing.TB, cfg Config) store.Engine {
	var at time.Time
	inner := cfg
	inner.Now = func() time.Time {
		if now := cfg.Now(); now.After(at) {
			return now
		}
		return at
	}
	e := sound(inner)
	return changed{Engine: e, retire: func(ctx context.Context, before time.Time) (int, error) {
		at = before
		defer func() { at = time.Time{} }()
		return e.Retire(ctx, before)
	}}
}

// openLate opens an engine whose clock stands still.
func openLate(_ testing.TB, cfg Config) store.Engine {
	begin := cfg.Now()
	cfg.Now = func() time.Time { return begin }
	return sound(cfg)
}

type forgetful struct{ store.Marks }

func openForgetful(_ testing.TB, cfg Config) store.Engine {
	e := sound(cfg)
	return changed{Engine: e, marks: forgetful{e.Marks()}}
}

func (f forgetful) First(ctx context.Context, m store.Mark) (bool, error) {
	first, err := f.Marks.First(ctx, m)
	if errors.Is(err, store.ErrFull) {
		return true, nil
	}
	return first, err
}

// skipping gives numbers in one order and shows entries in another.
type skipping struct {
	store.Revocations
	mu   sync.Mutex
	all  []*store.Revocation
	read chan struct{} // closed by the next Since
}

func openSkipping(_ testing.TB, cfg Config) store.Engine {
	e := sound(cfg)
	return changed{Engine: e, revocations: &skipping{Revocations: e.Revocations(), read: make(chan struct{})}}
}

func (s *skipping) Add(_ context.Context, r store.Revocation) error {
	s.mu.Lock()
	n := len(s.all)
	s.all = append(s.all, nil)
	read := s.read
	s.mu.Unlock()
	if n%50 == 0 { // a slow writer: somebody reads meanwhile, if anybody does
		select {
		case <-read:
		case <-time.After(20 * time.Millisecond):
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[n] = &r
	return nil
}

func (s *skipping) Since(_ context.Context, c store.Cursor) (live []store.Revocation, _ store.Cursor, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.read)
	s.read = make(chan struct{})
	var n int
	_, _ = fmt.Sscan(string(c), &n)
	for _, r := range s.all[min(n, len(s.all)):] {
		if r != nil {
			live = append(live, *r)
		}
	}
	return live, store.Cursor(fmt.Sprint(len(s.all))), nil
}

// judging leaves out what is over, and moves the cursor past it.
type judging struct {
	store.Revocations
	now func() time.Time
}

func openJudging(_ testing.TB, cfg Config) store.Engine {
	e := sound(cfg)
	return changed{Engine: e, revocations: judging{e.Revocations(), cfg.Now}}
}

func (j judging) Since(ctx context.Context, c store.Cursor) ([]store.Revocation, store.Cursor, error) {
	all, next, err := j.Revocations.Since(ctx, c)
	now := j.now()
	return slices.DeleteFunc(all, func(r store.Revocation) bool { return !r.End.After(now) }), next, err
}

// undoing forgets a revocation when it replaces.
type undoing struct {
	store.Sessions
	mu      sync.Mutex
	revoked map[store.ID]bool
}

func openUndoing(_ testing.TB, cfg Config) store.Engine {
	e := sound(cfg)
	return changed{Engine: e, sessions: &undoing{Sessions: e.Sessions(), revoked: map[store.ID]bool{}}}
}

func (u *undoing) Revoke(_ context.Context, id store.ID) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.revoked[id] = true
	return nil
}

func (u *undoing) Replace(ctx context.Context, s store.Session, old store.Generation) error {
	u.mu.Lock()
	delete(u.revoked, s.ID)
	u.mu.Unlock()
	return u.Sessions.Replace(ctx, s, old)
}
