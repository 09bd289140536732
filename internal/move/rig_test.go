package move_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/longcase/longcase/internal/move"
	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/store/memory"
)

// clock is that of both stores.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

// pair is a store to copy and one to copy to.
type pair struct {
	clock          *clock
	source, target store.Movable
	from           string
}

func newPair(t *testing.T) *pair {
	t.Helper()
	c := &clock{time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	return &pair{clock: c, source: newStore(t, c), target: newStore(t, c), from: "source"}
}

func newStore(t *testing.T, c *clock) store.Movable {
	t.Helper()
	e := memory.New(memory.Config{Now: c.now})
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func (p *pair) config(target store.Movable) move.Config {
	return move.Config{
		Source: p.source, Target: target, From: p.from, To: "target", Now: p.clock.now,
		Workers: 1, SaveEach: 3, Wait: func(context.Context, error) {},
	}
}

// copy copies to the end.
func (p *pair) copy(t *testing.T, target store.Movable) move.Result {
	t.Helper()
	r, err := move.Run(t.Context(), p.config(target))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// cut copies all and is interrupted before it is finished.
func (p *pair) cut(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := move.Run(ctx, p.config(&faulty{Movable: p.target, beforeExport: cancel})); err == nil {
		t.Fatal("the copy was not interrupted")
	}
}

// cutAt runs a copy that is interrupted at its target's at'th write, if there
// are so many; written: it took effect, and nobody was told.
func (p *pair) cutAt(t *testing.T, cfg move.Config, at int, written bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var calls atomic.Int64
	count := func() error {
		if calls.Add(1) > int64(at) {
			cancel()
		}
		return ctx.Err()
	}
	cut := &faulty{Movable: cfg.Target, before: count}
	if written {
		cut = &faulty{Movable: cfg.Target, after: count}
	}
	cfg.Target = cut
	if _, err := move.Run(ctx, cfg); err != nil && !errors.Is(err, context.Canceled) {
		t.Fatalf("cut at call %d: %v", at, err)
	}
}

// fill puts n records of each kind into the source, some of them used, revoked
// or removed.
func (p *pair) fill(t *testing.T, n int) {
	t.Helper()
	now := p.clock.at
	for i := range n {
		s := p.session(t, i%3)
		if i%4 == 1 {
			check(t, p.source.Sessions().Revoke(t.Context(), s.ID))
		}
		end := now.Add(time.Hour)
		d := store.Document{Kind: store.Code, ID: store.NewID(now, end), End: end, Data: []byte(`{"n":` + strconv.Itoa(i) + `}`)}
		check(t, p.source.Documents().Put(t.Context(), d))
		if i%2 == 1 {
			check(t, p.source.Documents().Replace(t.Context(), d, 1))
		}
		_, err := p.source.Marks().First(t.Context(), store.Mark{Kind: "assertion", Scope: "c", Value: strconv.Itoa(i), End: now.Add(4 * time.Hour)})
		check(t, err)
		check(t, p.source.Revocations().Add(t.Context(), store.Revocation{
			Kind: store.RevokedSubject, Value: strconv.Itoa(i), Before: now, End: now.Add(5 * time.Hour)}))
		put(t, p.source, "client/"+strconv.Itoa(i), "value")
		if i%3 == 2 {
			check(t, p.source.Registry().Put(t.Context(), "client/"+strconv.Itoa(i), nil, 1))
		}
	}
}

// session begins one and rotates it.
func (p *pair) session(t *testing.T, rotations int) store.Session {
	t.Helper()
	end := p.clock.at.Add(12 * time.Hour)
	s := store.Session{ID: store.NewID(p.clock.at, end), End: end, Generation: 1, Client: "web", Subject: "alice", Data: []byte("{}")}
	check(t, p.source.Sessions().Create(t.Context(), s))
	for range rotations {
		check(t, rotate(t.Context(), p.source, s))
		s.Generation++
	}
	return s
}

func rotate(ctx context.Context, e store.Engine, s store.Session) error {
	s.Generation++
	return e.Sessions().Replace(ctx, s, s.Generation-1)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// contents is all that a store holds but what a copy writes down, in order.
func contents(t *testing.T, s store.Movable) string {
	t.Helper()
	var all []string
	err := s.Export(t.Context(), "", func(r store.Record, _ store.Place) error {
		switch {
		case r.Session != nil:
			all = append(all, fmt.Sprintf("session %+v", *r.Session))
		case r.Document != nil:
			all = append(all, fmt.Sprintf("document %+v", *r.Document))
		case r.Mark != nil:
			all = append(all, fmt.Sprintf("mark %s", *r.Mark))
		case r.Revocation != nil:
			all = append(all, fmt.Sprintf("revocation %+v", *r.Revocation))
		case r.Entry != nil && r.Entry.Key != move.Key:
			all = append(all, fmt.Sprintf("entry %+v", *r.Entry))
		}
		return nil
	})
	check(t, err)
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// faulty is a store that something comes before or after: an error is what its
// caller gets.
type faulty struct {
	store.Movable
	before, after func() error // of every write
	onImport      func() error // before one
	beforeExport  func()       // but the first, by which a target is found to be empty
	exports       int
}

func (f *faulty) Import(ctx context.Context, r store.Record) error {
	return f.around(func() error {
		if err := call(f.onImport); err != nil {
			return err
		}
		return f.Movable.Import(context.WithoutCancel(ctx), r)
	})
}

func (f *faulty) around(write func() error) error {
	if err := call(f.before); err != nil {
		return err
	}
	if err := write(); err != nil {
		return err
	}
	return call(f.after)
}

func call(f func() error) error {
	if f == nil {
		return nil
	}
	return f()
}

func (f *faulty) Export(ctx context.Context, after store.Place, visit func(store.Record, store.Place) error) error {
	if f.exports++; f.exports > 1 && f.beforeExport != nil {
		f.beforeExport()
	}
	return f.Movable.Export(ctx, after, visit)
}

func (f *faulty) Registry() store.Registry { return faultyRegistry{f.Movable.Registry(), f} }

type faultyRegistry struct {
	store.Registry
	f *faulty
}

func (r faultyRegistry) Put(ctx context.Context, key string, value []byte, old uint64) error {
	return r.f.around(func() error { return r.Registry.Put(context.WithoutCancel(ctx), key, value, old) })
}
