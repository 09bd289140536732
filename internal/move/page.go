package move

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/longcase/longcase/store"
)

// Key is where a copy keeps its page in the target's registry. It is never
// copied.
const Key = "store/copy"

// ErrUnfinished says that a store is the target of a copy that did not come to
// its end: a server on it would know a part of what was, and make the rest
// differ.
var ErrUnfinished = errors.New("the store is a half-finished copy")

// Ready reports whether a server may work on a store: ErrUnfinished while it is
// being copied to.
func Ready(ctx context.Context, r store.Registry) error {
	p, _, err := read(ctx, r)
	if err != nil || p.ID == "" || !p.Finished.IsZero() {
		return err
	}
	return fmt.Errorf("%w of %s (copy %s, begun %s): go on with longcase store copy, or begin with an empty store",
		ErrUnfinished, p.From, p.ID, p.Began.Format(time.RFC3339))
}

// page is what a copy writes down in the target.
type page struct {
	ID       string    `json:"id"`
	From     string    `json:"from"`
	Began    time.Time `json:"began"`
	Frozen   bool      `json:"frozen"` // the source is read only by this copy's name
	Place    []byte    `json:"place"`  // every record before it is in the target
	Records  Counts    `json:"records"`
	Copied   bool      `json:"copied"`
	Compared Counts    `json:"compared,omitzero"`
	Finished time.Time `json:"finished,omitzero"`
}

// read returns the page in r, the zero page if there is none, and its version.
func read(ctx context.Context, r store.Registry) (page, uint64, error) {
	e, err := r.Get(ctx, Key)
	if err != nil || e.Value == nil {
		return page{}, e.Version, err
	}
	var p page
	if err := json.Unmarshal(e.Value, &p); err != nil {
		return page{}, 0, fmt.Errorf("entry %q is not what this version writes: %w", Key, err)
	}
	return p, e.Version, nil
}

func (m *mover) load(ctx context.Context) (found bool, err error) {
	m.page, m.version, err = read(ctx, m.Target.Registry())
	if err != nil {
		return false, fmt.Errorf("%s: %w", m.To, err)
	}
	return m.page.ID != "", nil
}

// save writes the page, which nobody else may have changed.
func (m *mover) save(ctx context.Context) error {
	value, err := json.Marshal(m.page)
	if err != nil {
		return err
	}
	if err := m.patiently(ctx, func() error { return m.putOnce(ctx, value) }); err != nil {
		return fmt.Errorf("%s: write down the place: %w", m.To, err)
	}
	m.version++
	return nil
}

// putOnce takes a write of its own that it was not told of as done.
func (m *mover) putOnce(ctx context.Context, value []byte) error {
	err := m.Target.Registry().Put(ctx, Key, value, m.version)
	if !errors.Is(err, store.ErrConflict) {
		return err
	}
	e, again := m.Target.Registry().Get(ctx, Key)
	switch {
	case again != nil:
		return again
	case e.Version == m.version+1 && string(e.Value) == string(value):
		return nil
	}
	return fmt.Errorf("another copy into it is under way: %w", err)
}
