package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/longcase/longcase/store"
)

// lookEach is how often a watcher looks: other nodes change the registry too.
const lookEach = time.Second

type registry struct{ e *Engine }

const (
	selectEntry = `SELECT version, value FROM registry WHERE key = $1`

	insertEntry = `INSERT INTO registry (key, version, value) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`

	replaceEntry = `UPDATE registry SET version = version + 1, value = $2 WHERE key = $1 AND version = $3`

	listEntries = `SELECT key, version, value FROM registry
WHERE key >= $1 AND ($2::bytea IS NULL OR key < $2) AND value IS NOT NULL ORDER BY key`
)

func (r registry) Get(ctx context.Context, key string) (store.Entry, error) {
	if err := r.e.door.Enter(ctx); err != nil {
		return store.Entry{}, err
	}
	defer r.e.door.Leave()
	return r.get(ctx, key)
}

func (r registry) get(ctx context.Context, key string) (store.Entry, error) {
	one := store.Entry{Key: key}
	var version int64
	if _, err := r.e.queryRow(ctx, plain(selectEntry), []any{[]byte(key)}, &version, &one.Value); err != nil {
		return store.Entry{}, fmt.Errorf("entry %q: %w", key, err)
	}
	one.Version = uint64(version)
	return one, nil
}

func (r registry) Put(ctx context.Context, key string, value []byte, old uint64) error {
	next := store.Entry{Key: key, Version: old + 1, Value: value}
	if err := next.Check(); err != nil {
		return err
	}
	if err := r.e.door.Enter(ctx); err != nil {
		return err
	}
	defer r.e.door.Leave()
	changed, err := r.write(ctx, next)
	if err == nil && !changed {
		err = r.e.refuseReadOnly(ctx)
	}
	switch {
	case err != nil:
		return fmt.Errorf("entry %q: %w", key, err)
	case !changed:
		return fmt.Errorf("entry %q is not at version %d: %w", key, old, store.ErrConflict)
	}
	return nil
}

// write writes next if the version before it is stored.
func (r registry) write(ctx context.Context, next store.Entry) (changed bool, err error) {
	var n int64
	if next.Version == 1 {
		n, err = r.e.exec(ctx, plain(insertEntry), []byte(next.Key), int64(1), next.Value)
	} else {
		n, err = r.e.exec(ctx, plain(replaceEntry), []byte(next.Key), next.Value, int64(next.Version-1))
	}
	return n > 0, err
}

func (r registry) List(ctx context.Context, prefix string) (all []store.Entry, err error) {
	if err := r.e.door.Enter(ctx); err != nil {
		return nil, err
	}
	defer r.e.door.Leave()
	begin := func() { all = nil }
	err = r.e.query(ctx, plain(listEntries), []any{[]byte(prefix), behind(prefix)}, begin, func(rows pgx.Rows) error {
		one, err := scanEntry(rows)
		all = append(all, one)
		return err
	})
	return all, err
}

func scanEntry(rows pgx.Rows) (one store.Entry, err error) {
	var key []byte
	var version int64
	err = rows.Scan(&key, &version, &one.Value)
	one.Key, one.Version = string(key), uint64(version)
	return one, err
}

// behind is the first key behind all that begin with prefix, nil if there is
// none.
func behind(prefix string) []byte {
	b := []byte(prefix)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i]++; b[i] != 0 {
			return b[:i+1]
		}
	}
	return nil
}

// Watch implements store.Registry: it looks once a second.
func (r registry) Watch(ctx context.Context, prefix string, changed func(store.Entry)) error {
	return store.Poll(ctx, r.e.door.Closed(), lookEach, r, prefix, changed)
}
