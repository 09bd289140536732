package cassandra

import (
	"bytes"
	"context"
	"sync"
)

// row is what decides about a record: its version (a session's generation), and
// of a session whether it was ended. The zero row is none.
type row struct {
	found    bool
	version  uint64
	ended    bool
	proposal int64
	about    []byte // what never changes, see about.go
}

// lines lets the writers of one key in this process follow one another. The
// zero value is ready.
type lines struct {
	mu  sync.Mutex
	all map[string]*line
}

// line is the writers of one key: the one who has the turn and those who wait.
type line struct {
	turn  chan struct{} // holds one
	users int
	seen  row // the newest that one of them saw; who has the turn reads and writes it
}

// wait returns when it is the caller's turn, who then calls done.
func (l *lines) wait(ctx context.Context, key string) (*line, error) {
	l.mu.Lock()
	one := l.all[key]
	if one == nil {
		if l.all == nil {
			l.all = map[string]*line{}
		}
		one = &line{turn: make(chan struct{}, 1)}
		l.all[key] = one
	}
	one.users++
	l.mu.Unlock()
	select {
	case one.turn <- struct{}{}:
		return one, nil
	case <-ctx.Done():
		l.forget(key, one)
		return nil, ctx.Err()
	}
}

func (l *lines) done(key string, one *line) {
	<-one.turn
	l.forget(key, one)
}

func (l *lines) forget(key string, one *line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if one.users--; one.users == 0 {
		delete(l.all, key)
	}
}

// saw remembers r for those who wait. Versions only grow and what has ended
// stays so, so what was seen once can refuse for good.
func (l *line) saw(r row) {
	if r.found && (r.version > l.seen.version || r.ended) {
		r.about = bytes.Clone(r.about)
		l.seen = r
	}
}
