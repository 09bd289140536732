package node

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/longcase/longcase/store"
)

func TestCloseWaitsForThoseInsideAndLetsNobodyIn(t *testing.T) {
	d, failed := NewDoor(), errors.New("the disk is full")
	if err := d.Enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	var inside atomic.Bool
	inside.Store(true)
	closed := make(chan error)
	go func() {
		closed <- d.Close(func() error {
			if inside.Load() {
				t.Error("the last thing was done while a call was inside")
			}
			return failed
		})
	}()
	time.Sleep(10 * time.Millisecond)
	inside.Store(false)
	d.Leave()
	if err := <-closed; !errors.Is(err, failed) {
		t.Errorf("Close = %v", err)
	}
	<-d.Closed()
	if err := d.Enter(t.Context()); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Enter of a closed door = %v", err)
	}
	never := func() error { t.Error("done behind a closed door"); return nil }
	if err := d.Alone(never); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Alone of a closed door = %v", err)
	}
	if err := d.Close(never); err != nil {
		t.Errorf("the second Close = %v", err)
	}
}

func TestACallThatIsOverDoesNotEnter(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d := NewDoor()
	if err := d.Enter(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Enter = %v", err)
	}
	if err := d.Close(func() error { return nil }); err != nil { // would wait for one inside
		t.Error(err)
	}
}

func TestTheWatermarkOnlyRises(t *testing.T) {
	var w Watermark
	if err := w.Check(1); err != nil {
		t.Errorf("nothing was retired: %v", err)
	}
	w.Raise(100)
	w.Raise(50)
	if w.At() != 100 || !w.Gone(100) || w.Gone(101) {
		t.Errorf("it stands at %d; 100 is gone: %t, 101: %t", w.At(), w.Gone(100), w.Gone(101))
	}
	if err := w.Check(100); !errors.Is(err, store.ErrEnded) {
		t.Errorf("Check = %v", err)
	}
}
