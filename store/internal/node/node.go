// Package node is what each engine keeps of itself beside its store: whether it
// is closed, and below which bucket it neither reads nor writes.
package node

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/longcase/longcase/store"
)

// Door lets calls in until it is closed, which waits for those inside. Make one
// with NewDoor.
type Door struct {
	calls  sync.RWMutex
	closed chan struct{}
}

// NewDoor returns an open one.
func NewDoor() *Door { return &Door{closed: make(chan struct{})} }

// Enter begins a call; the caller leaves if it is nil. The errors are the
// context's, and store.ErrClosed.
func (d *Door) Enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	d.calls.RLock()
	if d.isClosed() {
		d.calls.RUnlock()
		return store.ErrClosed
	}
	return nil
}

// Leave ends a call.
func (d *Door) Leave() { d.calls.RUnlock() }

// Alone runs do when nobody is inside, and lets nobody in until it has returned.
// Of a closed door it is store.ErrClosed.
func (d *Door) Alone(do func() error) error {
	d.calls.Lock()
	defer d.calls.Unlock()
	if d.isClosed() {
		return store.ErrClosed
	}
	return do()
}

// Close closes the door and runs last when everybody has left. Closing twice is
// once.
func (d *Door) Close(last func() error) error {
	d.calls.Lock()
	defer d.calls.Unlock()
	if d.isClosed() {
		return nil
	}
	close(d.closed)
	return last()
}

// Closed ends what waits for longer than a call.
func (d *Door) Closed() <-chan struct{} { return d.closed }

func (d *Door) isClosed() bool {
	select {
	case <-d.closed:
		return true
	default:
		return false
	}
}

// Watermark is the end of the youngest bucket that was retired, in Unix seconds.
// It only rises, whatever the clock does. The zero value is below every bucket.
type Watermark struct{ at atomic.Int64 }

// At is where it stands.
func (w *Watermark) At() int64 { return w.at.Load() }

// Raise lifts it to a bucket's end, if that is higher.
func (w *Watermark) Raise(to int64) {
	for {
		was := w.at.Load()
		if to <= was || w.at.CompareAndSwap(was, to) {
			return
		}
	}
}

// Gone reports whether the bucket that ends then was retired.
func (w *Watermark) Gone(end int64) bool { return end <= w.at.Load() }

// Check refuses a write into a bucket that was retired, whatever the clock says
// now: store.ErrEnded.
func (w *Watermark) Check(end int64) error {
	if !w.Gone(end) {
		return nil
	}
	return fmt.Errorf("the bucket that ended at %s was retired (was the clock set back?): %w",
		time.Unix(end, 0).UTC().Format(time.RFC3339), store.ErrEnded)
}
