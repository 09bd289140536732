package embedded

import (
	"context"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/longcase/longcase/store"
)

type registry struct{ e *Engine }

func (r registry) Get(ctx context.Context, key string) (store.Entry, error) {
	if err := r.e.door.Enter(ctx); err != nil {
		return store.Entry{}, err
	}
	defer r.e.door.Leave()
	value, err := r.e.read(ctx, registryKey(key))
	if err != nil {
		return store.Entry{}, err
	}
	return entry(key, value)
}

// entry decodes value, nil for none.
func entry(key string, value []byte) (store.Entry, error) {
	if value == nil {
		return store.Entry{Key: key}, nil
	}
	return decodeEntry(registryKey(key), value)
}

func (r registry) Put(ctx context.Context, key string, value []byte, old uint64) error {
	next := store.Entry{Key: key, Version: old + 1, Value: value}
	if err := next.Check(); err != nil {
		return err
	}
	if err := r.e.enterWrite(ctx); err != nil {
		return err
	}
	defer r.e.door.Leave()
	return r.change(ctx, next, func(found store.Entry) (bool, error) {
		if found.Version != old {
			return false, fmt.Errorf("entry %q is at version %d, not %d: %w", key, found.Version, old, store.ErrConflict)
		}
		return true, nil
	})
}

// change writes next if decide says so of the stored entry, while it holds the
// key.
func (r registry) change(ctx context.Context, next store.Entry, decide func(found store.Entry) (bool, error)) error {
	key := registryKey(next.Key)
	held, err := r.e.flights.hold(ctx, key)
	if err != nil {
		return err
	}
	defer held.release()
	stored, err := r.e.get(key)
	if err != nil {
		return err
	}
	found, err := entry(next.Key, stored)
	if err != nil {
		return err
	}
	if write, err := decide(found); err != nil || !write {
		return err
	}
	held.then(func() { r.e.watchers.Changed(next.Key) })
	return r.e.set(held, key, encodeEntry(next))
}

func (r registry) List(ctx context.Context, prefix string) (all []store.Entry, err error) {
	if err := r.e.door.Enter(ctx); err != nil {
		return nil, err
	}
	defer r.e.door.Leave()
	first := registryKey(prefix)
	err = r.e.scan(ctx, first, after(first), func(it *pebble.Iterator) (bool, error) {
		one, err := decodeEntry(it.Key(), append([]byte{}, it.Value()...))
		if err == nil && one.Value != nil {
			all = append(all, one)
		}
		return true, err
	})
	for i := 0; err == nil && i < len(all); i++ {
		err = r.e.flights.settle(ctx, registryKey(all[i].Key))
	}
	return all, err
}

func (r registry) Watch(ctx context.Context, prefix string, changed func(store.Entry)) error {
	return r.e.watchers.Watch(ctx, r.e.door.Closed(), r, prefix, changed)
}
