package embedded

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/longcase/longcase/store"
)

type marks struct{ e *Engine }

func (m marks) First(ctx context.Context, mark store.Mark) (bool, error) {
	if err := m.e.enterWrite(ctx); err != nil {
		return false, err
	}
	defer m.e.door.Leave()
	return m.first(ctx, mark.ID(), mark.Check)
}

// first marks id if check, asked for the instant that decides, lets it.
func (m marks) first(ctx context.Context, id store.ID, check func(now time.Time) error) (bool, error) {
	key := idKey(kindMark, id)
	held, err := m.e.flights.hold(ctx, key)
	if err != nil {
		return false, err
	}
	defer held.release()
	now := m.e.cfg.Now()
	if err := check(now); err != nil {
		return false, err
	}
	if err := m.e.retired.Check(id.Bucket().Unix()); err != nil {
		return false, err
	}
	value, err := m.e.get(key)
	if err != nil || value != nil {
		return false, err
	}
	if !m.e.marks.take(id.Bucket().Unix(), now, m.e.cfg.MaxMarks) {
		return false, fmt.Errorf("%d marks: %w", m.e.cfg.MaxMarks, store.ErrFull)
	}
	return true, m.e.set(held, key, encodeMark())
}

// markCount counts the marks of each bucket, so that there is a bound.
type markCount struct {
	mu      sync.Mutex
	buckets map[int64]int
	total   int // of all buckets, those that are over included
}

// take counts one mark more, unless limit marks are live at now.
func (c *markCount) take(bucket int64, now time.Time, limit int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.total >= limit && c.live(now.Unix()) >= limit {
		return false
	}
	c.buckets[bucket]++
	c.total++
	return true
}

func (c *markCount) live(now int64) int {
	n := 0
	for end, count := range c.buckets {
		if end > now {
			n += count
		}
	}
	return n
}

// drop forgets the buckets that end at before or earlier.
func (c *markCount) drop(before int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for end, count := range c.buckets {
		if end <= before {
			c.total -= count
			delete(c.buckets, end)
		}
	}
}

// countMarks counts what the disk holds.
func (e *Engine) countMarks() error {
	first := bucketKey(kindMark, e.retired.At()+1)
	return e.scan(context.Background(), first, bucketEnd(kindMark), func(it *pebble.Iterator) (bool, error) {
		e.marks.buckets[bucketOf(it.Key())]++
		e.marks.total++
		return true, nil
	})
}
