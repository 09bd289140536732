package embedded

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/longcase/longcase/store"
)

type revocations struct{ e *Engine }

// feed numbers the revocations. A cursor is the epoch, drawn anew at each Open,
// and a number below which every revocation is durable, so a follower may read
// one twice but never misses one that was slower than its neighbours.
type feed struct {
	epoch string
	known map[[sha256.Size]byte]bool // of revocations, for imports; who holds the key "revocations" may use it

	mu      sync.Mutex
	last    uint64
	pending map[uint64]struct{} // numbers given but not durable yet
}

func (f *feed) begin() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last++
	f.pending[f.last] = struct{}{}
	return f.last
}

func (f *feed) done(n uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.pending, n)
}

// settled is the highest number that has no pending one at or below it.
func (f *feed) settled() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.last
	for p := range f.pending {
		n = min(n, p-1)
	}
	return n
}

func (f *feed) cursor(n uint64) store.Cursor {
	return store.Cursor(f.epoch + "." + strconv.FormatUint(n, 10))
}

// number reads a cursor; one of another epoch is the beginning.
func (f *feed) number(c store.Cursor) uint64 {
	epoch, number, _ := strings.Cut(string(c), ".")
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil || epoch != f.epoch || n > f.settled() {
		return 0
	}
	return n
}

func (r revocations) Add(ctx context.Context, one store.Revocation) error {
	if err := r.e.enterWrite(ctx); err != nil {
		return err
	}
	defer r.e.door.Leave()
	return r.add(one, r.e.cfg.Now())
}

func (r revocations) add(one store.Revocation, now time.Time) error {
	if err := one.Check(now); err != nil {
		return err
	}
	bucket := one.Bucket(now).Unix()
	if r.e.retired.Gone(bucket) {
		return fmt.Errorf("revocation of %s %s: the bucket was retired (was the clock set back?): %w", one.Kind, one.Value, store.ErrEnded)
	}
	n := r.e.feed.begin()
	pending := &flight{free: func() { r.e.feed.done(n) }}
	defer pending.release()
	return r.e.set(pending, revocationKey(bucket, n), encodeRevocation(one))
}

func (r revocations) Since(ctx context.Context, c store.Cursor) ([]store.Revocation, store.Cursor, error) {
	if err := r.e.door.Enter(ctx); err != nil {
		return nil, "", err
	}
	defer r.e.door.Leave()
	next := r.e.feed.settled() // before reading: what is read may be more
	added, err := r.since(ctx, r.e.feed.number(c))
	if err != nil {
		return nil, "", err
	}
	return added, r.e.feed.cursor(next), nil
}

// since reads the buckets that are not retired, in each what was added after
// seen.
func (r revocations) since(ctx context.Context, seen uint64) (added []store.Revocation, err error) {
	first := r.e.retired.At() + 1
	err = r.e.scan(ctx, revocationKey(first, seen+1), bucketEnd(kindRevocation), func(it *pebble.Iterator) (bool, error) {
		for it.Valid() && sequenceOf(it.Key()) <= seen {
			it.SeekGE(revocationKey(bucketOf(it.Key()), seen+1))
		}
		if !it.Valid() {
			return false, nil
		}
		one, err := decodeRevocation(it.Key(), it.Value())
		if err == nil {
			added = append(added, one)
		}
		return true, err
	})
	return added, err
}

// loadSequence goes on behind the highest number of any bucket, so that no key
// is written twice.
func (e *Engine) loadSequence() error {
	end := e.retired.At() + 1
	return e.scan(context.Background(), bucketKey(kindRevocation, end), bucketEnd(kindRevocation), func(it *pebble.Iterator) (bool, error) {
		next := bucketKey(kindRevocation, bucketOf(it.Key())+1)
		if it.SeekLT(next) {
			e.feed.last = max(e.feed.last, sequenceOf(it.Key()))
		}
		return true, nil
	})
}
