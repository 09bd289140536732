package storetest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/store/memory"
)

// TestTheFactsOfNodesAndMovesCanFail is TestTheSuiteCanFail for those parts:
// the name says what is broken.
func TestTheFactsOfNodesAndMovesCanFail(t *testing.T) {
	own := Traits{OwnClock: true, Again: again}
	tests := []struct {
		name   string
		open   Open
		traits Traits
		fails  []string
	}{
		{"nodes that share nothing", openSound, Traits{OwnClock: true, Again: func(tb testing.TB, _ store.Engine, cfg Config) store.Engine {
			return openSound(tb, cfg)
		}}, []string{
			"what one node writes every node reads and judges by",
			"a node that is slow finds what another has retired by its delay",
			"a cursor of one node goes on at another",
			"a follower at one node never misses what others add",
			"a watcher at one node sees the changes of another",
			"a store is read only for every node",
		}},
		{"nodes that are one", openSound, Traits{OwnClock: true, Again: func(_ testing.TB, e store.Engine, _ Config) store.Engine {
			return e
		}}, []string{"the clock is the store's, whatever a node's says", "a node that closes closes no other"}},
		{"nodes that check, then write", openRacy, own, []string{"of 64 rotations through two nodes one wins"}},
		{"a server's clock that is the node's", openSound, Traits{Again: again}, []string{"the clock is the store's, whatever a node's says"}},
		{"rows without an end", openSound, Traits{OwnClock: true, Forever: func(testing.TB, store.Engine) []string {
			return []string{"a row"}
		}}, []string{"nothing that is written in its last second stays for ever"}},
		{"a rewrite that outlives its bucket", openImmortal, own, []string{"nothing that is written in its last second stays for ever"}},
		{"documents that are put late", openLateDocuments, own, []string{"a clock set back brings nothing back and lets no late write in"}},
		{"documents that are cut to fit", openCutting, own, []string{
			"a document that is too large or outlives its bucket is refused", "an import keeps the bounds",
		}},
		{"documents without a context", openDeaf, own, []string{"a call whose context is over does nothing"}},
		{"an export that leaves removed entries out", openExporting(withoutRemoved), own, []string{
			"an export has every live record once, in one order", "what is imported is what was exported and lives on",
		}},
		{"an export that begins anew", openExporting(fromTheBeginning), own, []string{"an export goes on behind every place"}},
		{"an export that ends for nobody", openExporting(toTheEnd), own, []string{"an export ends at an error and with its context"}},
		{"an import that creates", openImporting(creating), own, []string{"what is imported is what was exported and lives on"}},
		{"an import that overwrites", openImporting(overwriting), own, []string{"an import twice is once and overwrites nothing"}},
		{"an import that never ends anything", openLate, own, []string{"what is over is not imported"}},
		{"a flag that nobody minds", openMindless, own, []string{
			"a read only store refuses every write and reads on", "no write takes effect once the store is read only",
		}},
		{"a flag that waits for nobody", openHasty, own, []string{"no write takes effect once the store is read only"}},
		{"a flag that stops the retiring", openStopped, own, []string{"a read only store retires, and an export goes on"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			failed := failures(t, tt.open, tt.traits, tt.fails...)
			for _, name := range tt.fails {
				if !slices.Contains(failed, name) {
					t.Errorf("the suite did not notice: %q passed", name)
				}
			}
		})
	}
}

// immortal keeps what is rewritten in its last second.
type immortal struct {
	store.Sessions
	now  func() time.Time
	rows *int
}

func openImmortal(_ testing.TB, cfg Config) store.Engine {
	e, rows := sound(cfg), 0
	return changed{Engine: e, sessions: immortal{e.Sessions(), cfg.Now, &rows},
		retire: func(ctx context.Context, before time.Time) (int, error) {
			n, err := e.Retire(ctx, before)
			return n + rows, err
		}}
}

func (i immortal) Replace(ctx context.Context, s store.Session, old store.Generation) error {
	err := i.Sessions.Replace(ctx, s, old)
	if err == nil && s.End.Sub(i.now()) <= time.Second {
		*i.rows = 1
	}
	return err
}

// lateDocuments takes what comes too late.
type lateDocuments struct{ store.Documents }

func openLateDocuments(_ testing.TB, cfg Config) store.Engine {
	e := sound(cfg)
	return changed{Engine: e, documents: lateDocuments{e.Documents()}}
}

func (l lateDocuments) Put(ctx context.Context, d store.Document) error {
	if err := l.Documents.Put(ctx, d); !errors.Is(err, store.ErrEnded) {
		return err
	}
	return nil
}

// cutting cuts large data off.
type cutting struct{ store.Documents }

func openCutting(_ testing.TB, cfg Config) store.Engine {
	e := sound(cfg)
	return changed{Engine: e, documents: cutting{e.Documents()}, takeIn: func(ctx context.Context, r store.Record) error {
		if r.Document != nil {
			d := cut(*r.Document)
			r.Document = &d
		}
		return e.Import(ctx, r)
	}}
}

func cut(d store.Document) store.Document {
	d.Data = d.Data[:min(len(d.Data), store.MaxData)]
	return d
}

func (c cutting) Put(ctx context.Context, d store.Document) error {
	return c.Documents.Put(ctx, cut(d))
}

// deaf does not hear of contexts.
type deaf struct{ store.Documents }

func openDeaf(_ testing.TB, cfg Config) store.Engine {
	e := sound(cfg)
	return changed{Engine: e, documents: deaf{e.Documents()}}
}

func (d deaf) Replace(ctx context.Context, doc store.Document, old uint64) error {
	return d.Documents.Replace(context.WithoutCancel(ctx), doc, old)
}

type visit = func(store.Record, store.Place) error

func openExporting(export func(context.Context, *memory.Engine, store.Place, visit) error) Open {
	return func(_ testing.TB, cfg Config) store.Engine {
		e := sound(cfg)
		return changed{Engine: e, export: func(ctx context.Context, after store.Place, v func(store.Record, store.Place) error) error {
			return export(ctx, e, after, v)
		}}
	}
}

func withoutRemoved(ctx context.Context, e *memory.Engine, after store.Place, v visit) error {
	return e.Export(ctx, after, func(r store.Record, p store.Place) error {
		if r.Entry != nil && r.Entry.Value == nil {
			return nil
		}
		return v(r, p)
	})
}

func fromTheBeginning(ctx context.Context, e *memory.Engine, _ store.Place, v visit) error {
	return e.Export(ctx, "", v)
}

func toTheEnd(ctx context.Context, e *memory.Engine, after store.Place, v visit) error {
	return e.Export(context.WithoutCancel(ctx), after, func(r store.Record, p store.Place) error {
		_ = v(r, p)
		return nil
	})
}

func openImporting(takeIn func(context.Context, *memory.Engine, store.Record) error) Open {
	return func(_ testing.TB, cfg Config) store.Engine {
		e := sound(cfg)
		return changed{Engine: e, takeIn: func(ctx context.Context, r store.Record) error { return takeIn(ctx, e, r) }}
	}
}

func creating(ctx context.Context, e *memory.Engine, r store.Record) error {
	if r.Session != nil {
		return e.Sessions().Create(ctx, *r.Session)
	}
	return e.Import(ctx, r)
}

func overwriting(ctx context.Context, e *memory.Engine, r store.Record) error {
	if err := e.Import(ctx, r); !errors.Is(err, store.ErrConflict) {
		return err
	}
	return nil // it could as well have written
}

func openMindless(_ testing.TB, cfg Config) store.Engine {
	return changed{Engine: sound(cfg), setReadOnly: func(context.Context, string) error { return nil }}
}

// hasty looks at the flag well before it writes.
type hasty struct {
	store.Sessions
	mu   *sync.Mutex
	flag *string
}

func openHasty(_ testing.TB, cfg Config) store.Engine {
	e, mu, flag := sound(cfg), &sync.Mutex{}, ""
	return changed{Engine: e, sessions: hasty{e.Sessions(), mu, &flag}, setReadOnly: func(_ context.Context, reason string) error {
		mu.Lock()
		defer mu.Unlock()
		flag = reason
		return nil
	}}
}

func (h hasty) Replace(ctx context.Context, s store.Session, old store.Generation) error {
	h.mu.Lock()
	readOnly := *h.flag != ""
	h.mu.Unlock()
	if readOnly {
		return store.ErrReadOnly
	}
	time.Sleep(5 * time.Millisecond)
	return h.Sessions.Replace(ctx, s, old)
}

func openStopped(_ testing.TB, cfg Config) store.Engine {
	e := sound(cfg)
	return changed{Engine: e, retire: func(ctx context.Context, before time.Time) (int, error) {
		if reason, err := e.ReadOnly(ctx); err != nil || reason != "" {
			return 0, errors.Join(err, store.ErrReadOnly)
		}
		return e.Retire(ctx, before)
	}}
}
