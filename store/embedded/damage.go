package embedded

import (
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/longcase/longcase/store"
)

// ErrCorrupt says that a record or a file on disk is not what was written. The
// text names it.
var ErrCorrupt = errors.New("embedded: corrupt")

const remedy = "restore the newest backup of the directory, then revoke the sessions from before it (longcase session revoke --before), and look at the disk"

// damage remembers the first damaged file that Pebble came upon.
type damage struct {
	mu    sync.Mutex
	first error
}

func (d *damage) note(info pebble.DataCorruptionInfo) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.first == nil {
		d.first = fmt.Errorf("%w: file %s: %w; %s", ErrCorrupt, info.Path, info.Details, remedy)
	}
}

func (d *damage) found() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.first
}

// readError says what could not be read, and which file is to blame if one is.
func (e *Engine) readError(what string, err error) error {
	found := e.broken.found()
	switch {
	case pebble.IsCorruptionError(err) && found != nil:
		return fmt.Errorf("embedded: read %s: %w", what, found)
	case pebble.IsCorruptionError(err):
		return fmt.Errorf("embedded: read %s: %w: %w; %s", what, ErrCorrupt, err, remedy)
	default:
		return fmt.Errorf("embedded: read %s: %w", what, err)
	}
}

// openDB opens Pebble, which answers to damage by panicking in places.
func (e *Engine) openDB() (err error) {
	e.room = newRoom(e.cfg, e.cfg.disk())
	if err := e.room.open(); err != nil {
		return err
	}
	defer func() {
		if what := recover(); what != nil {
			err = e.openError(fmt.Errorf("%w: %v", ErrCorrupt, what))
		}
	}()
	isNew, err := e.inspect()
	if err != nil {
		return e.openError(err)
	}
	e.db, err = pebble.Open(e.cfg.Dir, e.options())
	if err != nil {
		return e.openError(err)
	}
	if !isNew {
		return nil
	}
	// Pebble begins the first log in its oldest format, which does not tell damage
	// from a torn end. The next one is in ours.
	if err := e.db.Flush(); err != nil {
		return errors.Join(e.openError(err), e.db.Close())
	}
	return nil
}

// openError says why the directory can not be opened and what to do.
func (e *Engine) openError(err error) error {
	in := fmt.Sprintf("embedded: open %s", e.cfg.Dir)
	log := logFile(err)
	switch {
	case lacksRoom(err): // a sync
		return fmt.Errorf("%s: the disk is full; free some: %w: %w", in, store.ErrUnavailable, err)
	case errors.Is(err, ErrCorrupt) || errors.Is(err, store.ErrSchema):
		return fmt.Errorf("%s: %w", in, err)
	case pebble.IsCorruptionError(err) && log != "":
		return fmt.Errorf("%s: %w", in, damaged(log, err))
	case pebble.IsCorruptionError(err) || isMissing(err):
		return fmt.Errorf("%s: %w: %w; %s", in, ErrCorrupt, err, remedy)
	default:
		return fmt.Errorf("%s: %w", in, err)
	}
}
