package cassandra

import (
	"context"
	"errors"
	"fmt"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/store/internal/node"
)

var _ store.Movable = (*Engine)(nil)

// pace is how long things take that nodes agree on without talking.
type pace struct {
	poll   time.Duration // how often a node asks whether the store is read only
	stale  time.Duration // how old the answer may be for a write to begin
	settle time.Duration // how long after its beginning a write may still take effect
	watch  time.Duration // how often a watcher looks
}

// nodePace is what every node keeps to. A statement is given up after
// requestTimeout and by the cluster, whose own timeouts are shorter, before
// settle.
func nodePace() pace {
	return pace{poll: time.Second, stale: 5 * time.Second, settle: requestTimeout + 2*time.Second, watch: time.Second}
}

// link is a session with a cluster whose keyspace is checked.
type link struct {
	session *gocql.Session
	read    gocql.Consistency // of reads and commits: Quorum or LocalQuorum
	serial  gocql.Consistency // of transactions: Serial or LocalSerial
	dc      string            // the local data centre
	made    bool              // tables were made just now
}

// Engine is one session with a cluster. It implements store.Movable.
type Engine struct {
	cfg   Config
	pace  pace
	space []byte // begins every partition key; empty but for tests, which share one keyspace
	link
	name    string // the store's own, drawn when it was made: cursors carry it
	lines   lines
	state   state
	known   known
	retired node.Watermark

	door    *node.Door
	stop    context.CancelFunc
	watched chan struct{} // closed when the goroutine that watches the state has ended
	release func()        // ends the session
}

// Open connects, makes what is missing of the schema and checks the rest.
// store.ErrUnavailable is worth another try, every other error is not.
func Open(ctx context.Context, cfg Config) (*Engine, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	l, err := establish(ctx, cfg)
	if err != nil {
		return nil, err
	}
	e, err := newEngine(ctx, cfg, l, nodePace(), nil)
	if err != nil && l.made && errors.Is(err, store.ErrSchema) { // a node was slow to learn of them
		err = fmt.Errorf("cassandra: not every node knows the tables yet: %v: %w", err, store.ErrUnavailable) //nolint:errorlint // it is not ErrSchema
	}
	if err != nil {
		l.session.Close()
		return nil, err
	}
	e.release = l.session.Close
	return e, nil
}

// newEngine begins an engine on l, which it does not end unless release says so.
func newEngine(ctx context.Context, cfg Config, l link, p pace, space []byte) (*Engine, error) {
	e := &Engine{cfg: cfg, pace: p, space: space, link: l, door: node.NewDoor(), watched: make(chan struct{}), release: func() {}}
	if err := e.loadState(ctx); err != nil {
		return nil, err
	}
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	e.stop = stop
	go e.watchState(watching)
	return e, nil
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

// Clock implements store.Engine: it is the clock of the node that answers, to
// the millisecond.
func (e *Engine) Clock(ctx context.Context) (time.Time, error) {
	if err := e.door.Enter(ctx); err != nil {
		return time.Time{}, err
	}
	defer e.door.Leave()
	return e.clock(ctx)
}

func (e *Engine) clock(ctx context.Context) (time.Time, error) {
	var at time.Time
	q := e.session.Query("SELECT toTimestamp(now()) FROM system.local WHERE key = 'local'").Consistency(gocql.One)
	if _, err := e.get(ctx, "read the cluster's clock", q, &at); err != nil {
		return time.Time{}, err
	}
	return at.UTC(), nil
}

// Retire implements store.Engine. Rows end by themselves; what has ended in a
// bucket up to before is no longer read or written by this process, even if its
// clock is set back.
func (e *Engine) Retire(ctx context.Context, before time.Time) (int, error) {
	if err := e.door.Enter(ctx); err != nil {
		return 0, err
	}
	defer e.door.Leave()
	if now := e.cfg.Now(); before.After(now) {
		before = now
	}
	e.retired.Raise(before.Unix())
	return 0, nil
}

// Close implements store.Engine. Closing twice is once.
func (e *Engine) Close() error {
	e.stop()
	<-e.watched
	return e.door.Close(func() error {
		e.release()
		return nil
	})
}

// key is the partition key of what lies at b.
func (e *Engine) key(b []byte) []byte { return append(e.space[:len(e.space):len(e.space)], b...) }
