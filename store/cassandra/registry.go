package cassandra

import (
	"context"
	"fmt"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/longcase/longcase/store"
)

// registry is one partition, so that a list is one read. An entry that was
// removed stays, not present, with an empty value: a null would be a tombstone.
type registry struct{ e *Engine }

const (
	loadEntry   = "SELECT version, present, value FROM registry WHERE part = ? AND key = ?"
	settleEntry = "SELECT version, proposal FROM registry WHERE part = ? AND key = ?"
	insertEntry = "INSERT INTO registry (part, key, version, proposal, present, value) VALUES (?, ?, ?, ?, ?, ?) IF NOT EXISTS"
	updateEntry = "UPDATE registry SET version = ?, proposal = ?, present = ?, value = ? WHERE part = ? AND key = ? IF version = ?"

	listEntries      = "SELECT key, version, present, value FROM registry WHERE part = ? AND key >= ?"
	listEntriesUntil = listEntries + " AND key < ?"
)

func (r registry) part() []byte { return r.e.key([]byte("registry")) }

func (r registry) Get(ctx context.Context, key string) (store.Entry, error) {
	if err := r.e.door.Enter(ctx); err != nil {
		return store.Entry{}, err
	}
	defer r.e.door.Leave()
	return r.get(ctx, key)
}

func (r registry) get(ctx context.Context, key string) (store.Entry, error) {
	var version int64
	var present bool
	var value []byte
	q := r.e.session.Query(loadEntry, r.part(), []byte(key)).Consistency(r.e.read)
	found, err := r.e.get(ctx, fmt.Sprintf("read entry %q", key), q, &version, &present, &value)
	if err != nil || !found {
		return store.Entry{Key: key}, err
	}
	return entry(key, version, present, value), nil
}

func entry(key string, version int64, present bool, value []byte) store.Entry {
	e := store.Entry{Key: key, Version: uint64(version)}
	if present {
		e.Value = notNull(value)
	}
	return e
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
	return r.write(ctx, next, old)
}

// write writes next over the version old.
func (r registry) write(ctx context.Context, next store.Entry, old uint64) error {
	line := "e" + next.Key
	turn, err := r.e.lines.wait(ctx, line)
	if err != nil {
		return err
	}
	defer r.e.lines.done(line, turn)
	applied, before := false, turn.seen
	if before.version <= old {
		if applied, before, err = r.e.cas(ctx, r.swap(next, old)); err != nil {
			return err
		}
	}
	if !applied {
		turn.saw(before)
		return fmt.Errorf("entry %q is not at version %d: %w", next.Key, old, store.ErrConflict)
	}
	turn.saw(row{found: true, version: next.Version})
	return nil
}

func (r registry) swap(next store.Entry, old uint64) swap {
	w := swap{
		what: fmt.Sprintf("entry %q", next.Key), old: next.Version - 1, proposal: proposal(),
		load: settleEntry, loadKey: []any{r.part(), []byte(next.Key)},
	}
	version, present, value := int64(next.Version), next.Value != nil, notNull(next.Value)
	if old == 0 {
		w.stmt, w.args = insertEntry, []any{w.loadKey[0], w.loadKey[1], version, w.proposal, present, value}
	} else {
		w.stmt, w.args = updateEntry, []any{version, w.proposal, present, value, w.loadKey[0], w.loadKey[1], int64(old)}
	}
	return w
}

func (r registry) List(ctx context.Context, prefix string) (all []store.Entry, err error) {
	if err := r.e.door.Enter(ctx); err != nil {
		return nil, err
	}
	defer r.e.door.Leave()
	err = r.scan(ctx, r.query([]byte(prefix)), func(one store.Entry) error {
		if one.Value != nil {
			all = append(all, one)
		}
		return nil
	})
	return all, err
}

func (r registry) query(prefix []byte) *gocql.Query {
	if end := behind(prefix); end != nil {
		return r.e.session.Query(listEntriesUntil, r.part(), prefix, end)
	}
	return r.e.session.Query(listEntries, r.part(), prefix)
}

// scan calls visit with entries in the order of their keys, removed ones
// included.
func (r registry) scan(ctx context.Context, q *gocql.Query, visit func(store.Entry) error) error {
	q = q.Consistency(r.e.read).PageSize(scanRows)
	return r.e.each(ctx, "read the registry", q, func(scan func(...any) error) error {
		var key, value []byte
		var version int64
		var present bool
		if err := scan(&key, &version, &present, &value); err != nil {
			return err
		}
		return visit(entry(string(key), version, present, value))
	})
}

func (r registry) Watch(ctx context.Context, prefix string, changed func(store.Entry)) error {
	return store.Poll(ctx, r.e.door.Closed(), r.e.pace.watch, r, prefix, changed)
}

// behind is the first key behind all that begin with prefix; nil if there is
// none.
func behind(prefix []byte) []byte {
	end := append([]byte{}, prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}
