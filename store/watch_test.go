package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/store/memory"
)

// flaky is a registry that can be out of reach.
type flaky struct {
	store.Registry
	down atomic.Bool
	gone atomic.Value // the key whose Get fails once
}

func (f *flaky) List(ctx context.Context, prefix string) ([]store.Entry, error) {
	if f.down.Load() {
		return nil, store.ErrUnavailable
	}
	return f.Registry.List(ctx, prefix)
}

func (f *flaky) Get(ctx context.Context, key string) (store.Entry, error) {
	if f.gone.CompareAndSwap(key, "") {
		return store.Entry{}, store.ErrUnavailable
	}
	return f.Registry.Get(ctx, key)
}

// polling is a Poll under way and what it has told.
type polling struct {
	*flaky
	t      *testing.T
	mu     sync.Mutex
	told   []string
	closed chan struct{}
	cancel context.CancelFunc
	ended  chan error
}

func poll(t *testing.T, prefix string) *polling {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	p := &polling{
		flaky: &flaky{Registry: memory.New(memory.Config{}).Registry()}, t: t,
		closed: make(chan struct{}), cancel: cancel, ended: make(chan error, 1),
	}
	p.put("client/a", "1")
	go func() {
		p.ended <- store.Poll(ctx, p.closed, time.Second, p, prefix, func(e store.Entry) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.told = append(p.told, fmt.Sprintf("%s %d %s", e.Key, e.Version, e.Value))
		})
	}()
	synctest.Wait()
	return p
}

// put writes value, none for the empty one, over what is there.
func (p *polling) put(key, value string) {
	p.t.Helper()
	found, err := p.Registry.Get(p.t.Context(), key)
	data := []byte(value)
	if value == "" {
		data = nil
	}
	if err := errors.Join(err, p.Put(p.t.Context(), key, data, found.Version)); err != nil {
		p.t.Fatal(err)
	}
}

// want lets one interval pass and compares what was told since the last time.
func (p *polling) want(told ...string) {
	p.t.Helper()
	time.Sleep(time.Second)
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	slices.Sort(p.told)
	if !slices.Equal(p.told, told) {
		p.t.Errorf("told %q, want %q", p.told, told)
	}
	p.told = nil
}

func (p *polling) wantEnd(want error) {
	p.t.Helper()
	if err := <-p.ended; !errors.Is(err, want) {
		p.t.Errorf("Poll = %v, want %v", err, want)
	}
}

func TestPollTellsWhatIsAndTheLastOfEveryChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := poll(t, "client/")
		p.want("client/a 1 1")
		p.want()
		p.put("client/b", "1")
		p.put("ring", "1")
		for _, v := range []string{"2", "3", "4"} {
			p.put("client/a", v)
		}
		p.want("client/a 4 4", "client/b 1 1")
		p.put("client/a", "")
		p.want("client/a 5 ")
		p.want()
		p.put("client/a", "back")
		p.want("client/a 6 back")
		p.put("client/a", "") // away and back between two looks
		p.put("client/a", "again")
		p.want("client/a 8 again")
		p.put("client/c", "never seen")
		p.put("client/c", "")
		p.want()
		p.cancel()
		p.wantEnd(context.Canceled)
	})
}

func TestPollOutlivesARegistryOutOfReach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := poll(t, "")
		p.want("client/a 1 1")
		p.down.Store(true)
		p.put("client/a", "2")
		p.put("client/b", "1")
		p.want()
		p.want()
		p.down.Store(false)
		p.want("client/a 2 2", "client/b 1 1")
		p.gone.Store("client/a") // its removal can not be read at once
		p.put("client/a", "")
		p.put("client/b", "2")
		p.want("client/b 2 2")
		p.want("client/a 3 ")
		close(p.closed)
		p.wantEnd(store.ErrClosed)
		p.cancel()
	})
}

func TestPollSaysWhenItCanNotBegin(t *testing.T) {
	down := &flaky{Registry: memory.New(memory.Config{}).Registry()}
	down.down.Store(true)
	err := store.Poll(t.Context(), nil, time.Second, down, "", func(store.Entry) { t.Error("told something") })
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Poll = %v, want what List said", err)
	}
}
