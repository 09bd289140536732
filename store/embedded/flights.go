package embedded

import (
	"context"
	"hash/maphash"
	"sync"
)

// flights knows which keys are held by a writer. A key is held from the read
// that decides until the write is durable; the lock of a shard only while the
// map is looked at.
type flights struct {
	seed   maphash.Seed
	shards [64]shard
}

type shard struct {
	mu   sync.Mutex
	held map[string]chan struct{} // closed when the writer lets go
}

func (f *flights) init() {
	f.seed = maphash.MakeSeed()
	for i := range f.shards {
		f.shards[i].held = map[string]chan struct{}{}
	}
}

func (f *flights) shard(key []byte) *shard {
	return &f.shards[maphash.Bytes(f.seed, key)%uint64(len(f.shards))]
}

// flight is one key that is held.
type flight struct {
	free   func() // lets go
	handed bool   // to a write that goes on without its caller
}

// release lets go, unless a write has yet to end.
func (f *flight) release() {
	if !f.handed {
		f.free()
	}
}

// then has f do more once it lets go.
func (f *flight) then(more func()) {
	free := f.free
	f.free = func() { free(); more() }
}

// hold waits until no one holds key and holds it. The caller calls release.
func (f *flights) hold(ctx context.Context, key []byte) (*flight, error) {
	s := f.shard(key)
	for {
		s.mu.Lock()
		done, busy := s.held[string(key)]
		if !busy {
			done = make(chan struct{})
			s.held[string(key)] = done
			s.mu.Unlock()
			return &flight{free: func() { s.release(key, done) }}, nil
		}
		s.mu.Unlock()
		if err := wait(ctx, done); err != nil {
			return nil, err
		}
	}
}

func (s *shard) release(key []byte, done chan struct{}) {
	s.mu.Lock()
	delete(s.held, string(key))
	s.mu.Unlock()
	close(done)
}

// settle waits until whoever holds key now has let go: what was read before is
// durable then.
func (f *flights) settle(ctx context.Context, key []byte) error {
	s := f.shard(key)
	s.mu.Lock()
	done, busy := s.held[string(key)]
	s.mu.Unlock()
	if !busy {
		return nil
	}
	return wait(ctx, done)
}

func wait(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
