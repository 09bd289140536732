package embedded

import (
	"context"
	"fmt"
	"sync"

	"github.com/longcase/longcase/store"
)

// enterWrite is enter for a call that changes something.
func (e *Engine) enterWrite(ctx context.Context) error {
	if err := e.door.Enter(ctx); err != nil {
		return err
	}
	err := e.room.check()
	if reason := e.readOnly.Load(); reason != nil {
		err = fmt.Errorf("%s: %w", *reason, store.ErrReadOnly)
	}
	if err != nil {
		e.door.Leave()
	}
	return err
}

// set returns when the record is durable, see write.
func (e *Engine) set(held *flight, key, value []byte) error {
	return e.write(held, keyName(key), func() error { return e.db.Set(key, value, e.durably) })
}

// write returns when do has made something durable. Only a disk that is full
// makes the outcome unknown: do then goes on without its caller, who is told so
// at once, and held lets go when it has ended. A disk that fails ends the
// process (see logger.Fatalf).
func (e *Engine) write(held *flight, what string, do func() error) error {
	ended, filled := make(chan error, 1), e.room.filled()
	go func() { ended <- do() }()
	select {
	case err := <-ended:
		if err != nil {
			return fmt.Errorf("embedded: write %s: %w: %w", what, store.ErrUnknown, err)
		}
		return nil
	case <-filled:
		held.handed = true
		e.late.Go(func() {
			if err := <-ended; err != nil {
				e.cfg.Log.Error("what waited for room could not be written", "what", what, "err", err)
			}
			held.free()
		})
		return fmt.Errorf("embedded: write %s: the disk of %s is full, it is written when there is room: %w", what, e.cfg.Dir, store.ErrUnknown)
	}
}

// drained waits for the writes that go on without their callers, and reports
// false if the disk is full and they can not. The caller holds the door.
func (e *Engine) drained() bool { return e.unlessFull(&e.late) }

// unlessFull waits for all, and reports false if the disk is full first.
func (e *Engine) unlessFull(all *sync.WaitGroup) bool {
	ended := make(chan struct{})
	go func() { all.Wait(); close(ended) }()
	select {
	case <-ended:
		return true
	case <-e.room.filled():
		return false
	}
}
