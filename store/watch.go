package store

import (
	"context"
	"strings"
	"sync"
	"time"
)

// Poll watches a registry as Registry.Watch does, by listing it each interval,
// for engines that other processes write to. If the first look fails it returns
// why; a later one that fails is tried again at the next, which sees what changed
// meanwhile. It returns when ctx ends or closed is closed.
func Poll(ctx context.Context, closed <-chan struct{}, each time.Duration, r Registry, prefix string, changed func(Entry)) error {
	seen := map[string]uint64{}
	first := true
	for {
		err := look(ctx, r, prefix, seen, changed)
		if err != nil && first {
			return err
		}
		first = false
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-closed:
			return ErrClosed
		case <-time.After(each):
		}
	}
}

// look tells what differs from seen, and removes from seen what was removed.
func look(ctx context.Context, r Registry, prefix string, seen map[string]uint64, changed func(Entry)) error {
	entries, err := r.List(ctx, prefix)
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, e := range entries {
		there[e.Key] = true
		if seen[e.Key] != e.Version {
			seen[e.Key] = e.Version
			changed(e)
		}
	}
	for key := range seen {
		if there[key] {
			continue
		}
		e, err := r.Get(ctx, key)
		if err != nil {
			return err
		}
		if e.Value == nil { // else it came back meanwhile: the next look tells
			delete(seen, key)
			changed(e)
		}
	}
	return nil
}

// Watchers tells the watchers of a registry what has changed, for engines whose
// every write passes through one process. It runs no goroutine: each watcher
// works in its caller's. The zero value is ready.
type Watchers struct {
	mu  sync.Mutex
	all map[*watcher]struct{}
}

// watcher collects what changed until its caller comes round to read it. Keys
// changed twice meanwhile stand once, so it is bounded by the registry.
type watcher struct {
	prefix string
	keys   map[string]struct{}
	wake   chan struct{} // holds one
}

// Changed tells those who watch key. The caller has made the change readable.
func (w *Watchers) Changed(key string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for one := range w.all {
		if !strings.HasPrefix(key, one.prefix) {
			continue
		}
		one.keys[key] = struct{}{}
		select {
		case one.wake <- struct{}{}:
		default:
		}
	}
}

// Watch calls changed as Registry.Watch does, reading r, until ctx ends or
// closed is closed.
func (w *Watchers) Watch(ctx context.Context, closed <-chan struct{}, r Registry, prefix string, changed func(Entry)) error {
	one := w.join(prefix)
	defer w.leave(one)
	entries, err := r.List(ctx, prefix)
	if err != nil {
		return err
	}
	for _, e := range entries {
		changed(e)
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-closed:
			return ErrClosed
		case <-one.wake:
		}
		if err := w.tell(ctx, r, one, changed); err != nil {
			return err
		}
	}
}

func (w *Watchers) tell(ctx context.Context, r Registry, one *watcher, changed func(Entry)) error {
	w.mu.Lock()
	keys := one.keys
	one.keys = map[string]struct{}{}
	w.mu.Unlock()
	for key := range keys {
		e, err := r.Get(ctx, key)
		if err != nil {
			return err
		}
		changed(e)
	}
	return nil
}

func (w *Watchers) join(prefix string) *watcher {
	one := &watcher{prefix: prefix, keys: map[string]struct{}{}, wake: make(chan struct{}, 1)}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = map[*watcher]struct{}{}
	}
	w.all[one] = struct{}{}
	return one
}

func (w *Watchers) leave(one *watcher) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.all, one)
}
