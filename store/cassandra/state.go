package cassandra

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/longcase/longcase/store"
)

// schemaVersion is what this program makes and reads.
const schemaVersion = 1

const (
	insertState = "INSERT INTO state (name, version, store, reason) VALUES (?, ?, ?, '') IF NOT EXISTS"
	selectState = "SELECT version, store, reason FROM state WHERE name = ?"
	updateState = "UPDATE state SET reason = ? WHERE name = ? IF EXISTS"
)

// state is what this node knows of the row that says whether the store is read
// only, and since when.
type state struct {
	mu     sync.Mutex
	reason string
	asked  time.Time // when the question was sent; monotonic
}

// set keeps an answer unless a newer one is known, and reports whether it is
// news.
func (s *state) set(reason string, asked time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if asked.Before(s.asked) {
		return false
	}
	news := reason != s.reason
	s.reason, s.asked = reason, asked
	return news
}

func (s *state) get() (reason string, age time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reason, time.Since(s.asked)
}

// stateName is the key of the row.
func (e *Engine) stateName() string {
	if len(e.space) == 0 {
		return "store"
	}
	return "store " + hex.EncodeToString(e.space)
}

// loadState makes the row, if it is not there, and reads it.
func (e *Engine) loadState(ctx context.Context) error {
	if err := e.readState(ctx); !errors.Is(err, errNoState) {
		return err
	}
	q := e.session.Query(insertState, e.stateName(), schemaVersion, rand.Text()[:8]).Consistency(e.read).SerialConsistency(e.serial)
	if _, err := q.MapScanCASContext(ctx, map[string]any{}); err != nil { // an unknown outcome is worth another try too: the row is there or not
		return readError(ctx, "make the row of the store's state", err)
	}
	return e.readState(ctx)
}

// errNoState says that the row of the state is not there.
var errNoState = errors.New("table state has lost its row")

func (e *Engine) noState() error {
	return fmt.Errorf("cassandra: keyspace %s: %w %q: %w", e.cfg.Keyspace, errNoState, e.stateName(), store.ErrSchema)
}

// readState asks whether the store is read only, and whether transactions are
// still what they were.
func (e *Engine) readState(ctx context.Context) error {
	asked := time.Now()
	if err := e.checkLevels(ctx); err != nil {
		return err
	}
	var version int
	var name, reason string
	q := e.session.Query(selectState, e.stateName()).Consistency(e.read)
	found, err := e.get(ctx, "read the store's state", q, &version, &name, &reason)
	switch {
	case err != nil:
		return err
	case !found:
		return e.noState()
	case version > schemaVersion:
		return fmt.Errorf("cassandra: keyspace %s has schema version %d, this program knows %d: use a newer program: %w",
			e.cfg.Keyspace, version, schemaVersion, store.ErrSchema)
	}
	if e.name == "" {
		e.name = name
	}
	if e.state.set(reason, asked) && reason != "" {
		e.cfg.Log.Warn("the store is read only", slog.String("reason", reason))
	}
	return nil
}

// checkLevels refuses transactions at LOCAL_SERIAL once the keyspace replicates to
// another data centre: a node that starts there now, or here, runs them at SERIAL,
// and the two do not exclude each other.
func (e *Engine) checkLevels(ctx context.Context) error {
	if e.serial != gocql.LocalSerial {
		return nil
	}
	replication, err := e.replication(ctx)
	if err != nil {
		return err
	}
	if copies, err := replicas(replication); err == nil {
		if _, serial := levels(copies, e.dc); serial == e.serial {
			return nil
		}
	}
	return fmt.Errorf("cassandra: keyspace %s replicates to other data centres than when this node started: restart every node of Longcase: %w", e.cfg.Keyspace, store.ErrSchema)
}

// watchState asks again and again, until ctx ends.
func (e *Engine) watchState(ctx context.Context) {
	defer close(e.watched)
	beat := time.NewTicker(e.pace.poll)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
		}
		asking, cancel := context.WithTimeout(ctx, e.pace.stale)
		if err := e.readState(asking); err != nil && ctx.Err() == nil {
			e.cfg.Log.Debug("the store's state cannot be read", slog.Any("err", err))
		}
		cancel()
	}
}

// writable reports why nothing may be written now. A node that was told nothing
// for a while, or was told no, asks first.
func (e *Engine) writable(ctx context.Context) error {
	reason, age := e.state.get()
	if reason != "" || age >= e.pace.stale {
		if err := e.readState(ctx); err != nil {
			return err
		}
		reason, _ = e.state.get()
	}
	if reason != "" {
		return fmt.Errorf("%s: %w", reason, store.ErrReadOnly)
	}
	return nil
}

// ReadOnly implements store.Movable.
func (e *Engine) ReadOnly(ctx context.Context) (string, error) {
	if err := e.door.Enter(ctx); err != nil {
		return "", err
	}
	defer e.door.Leave()
	if err := e.readState(ctx); err != nil {
		return "", err
	}
	reason, _ := e.state.get()
	return reason, nil
}

// SetReadOnly implements store.Movable. With a reason it takes 15 seconds: until
// every node has asked or refuses to write without asking, and what they began
// before is over.
func (e *Engine) SetReadOnly(ctx context.Context, reason string) error {
	if err := e.setState(ctx, strings.ToValidUTF8(reason, "?")); err != nil || reason == "" {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-e.door.Closed():
		return store.ErrClosed
	case <-time.After(e.pace.stale + e.pace.settle):
		return nil
	}
}

func (e *Engine) setState(ctx context.Context, reason string) error {
	if err := e.door.Enter(ctx); err != nil {
		return err
	}
	defer e.door.Leave()
	q := e.session.Query(updateState, reason, e.stateName()).Consistency(e.read).SerialConsistency(e.serial)
	applied, err := q.MapScanCASContext(ctx, map[string]any{})
	if err != nil {
		if certain := writeError("the store's state", err); certain != nil {
			return certain
		}
		return unknown(ctx, "the store's state", err) // setting it twice does no harm
	}
	if !applied {
		return e.noState()
	}
	return e.readState(ctx)
}
