package cassandra

import (
	"context"
	"fmt"
	"time"

	"github.com/longcase/longcase/store"
)

type marks struct{ e *Engine }

// A mark is there or not.
const (
	insertMark = "INSERT INTO marks (id, proposal) VALUES (?, ?) IF NOT EXISTS USING TTL ?"
	settleMark = "SELECT proposal FROM marks WHERE id = ?"
)

func (m marks) First(ctx context.Context, mark store.Mark) (bool, error) {
	if err := m.e.door.Enter(ctx); err != nil {
		return false, err
	}
	defer m.e.door.Leave()
	now := m.e.cfg.Now()
	if err := mark.Check(now); err != nil {
		return false, err
	}
	return m.insert(ctx, mark.ID(), now)
}

// insert makes the mark that lies at id and reports whether it was not there.
func (m marks) insert(ctx context.Context, id store.ID, now time.Time) (bool, error) {
	if err := m.e.retired.Check(id.Bucket().Unix()); err != nil {
		return false, err
	}
	seconds, err := ttl(id.Bucket(), now)
	if err != nil {
		return false, fmt.Errorf("mark %s: %w", id, err)
	}
	line := "m" + string(id[:])
	turn, err := m.e.lines.wait(ctx, line)
	if err != nil {
		return false, err
	}
	defer m.e.lines.done(line, turn)
	if turn.seen.found {
		return false, nil
	}
	w := swap{what: "mark " + id.String(), proposal: proposal(), stmt: insertMark, load: settleMark, loadKey: []any{m.e.key(id[:])}}
	w.args = []any{w.loadKey[0], w.proposal, seconds}
	first, _, err := m.e.cas(ctx, w)
	if err == nil {
		turn.saw(row{found: true, version: 1})
	}
	return first, err
}
