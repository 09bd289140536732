package embedded

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/longcase/longcase/store"
)

// Retire implements store.Engine. It writes one range deletion per kind; the
// bytes come back a few seconds later, when Pebble has dropped the files that
// the ranges cover. What is still in the newest level, a few memtables, goes
// when that level is next compacted.
func (e *Engine) Retire(ctx context.Context, before time.Time) (int, error) {
	if err := e.door.Enter(ctx); err != nil {
		return 0, err
	}
	defer e.door.Leave()
	held, err := e.flights.hold(ctx, metaKey("retired")) // one Retire at a time
	if err != nil {
		return 0, err
	}
	defer held.release()
	if now := e.cfg.Now(); before.After(now) {
		before = now
	}
	mark := max(before.Unix(), e.retired.At())
	e.retired.Raise(mark)
	dropped, err := e.drop(ctx, held, mark)
	if err != nil {
		return 0, fmt.Errorf("embedded: retire what ended before %s: %w", time.Unix(mark, 0).UTC().Format(time.RFC3339), err)
	}
	return dropped, nil
}

// drop deletes what ended at mark or before and writes the watermark, at once.
func (e *Engine) drop(ctx context.Context, held *flight, mark int64) (int, error) {
	batch := e.db.NewBatch()
	dropped, err := e.dropEnded(ctx, batch, mark)
	if err != nil || dropped == 0 {
		return 0, errors.Join(err, batch.Close())
	}
	w := newWriter(16)
	w.number(uint64(mark))
	if err := batch.Set(metaKey("retired"), w.b, nil); err != nil {
		return 0, errors.Join(err, batch.Close())
	}
	e.marks.drop(mark)
	return dropped, e.write(held, "the watermark", func() error {
		return errors.Join(batch.Commit(e.durably), batch.Close())
	})
}

// dropEnded puts the range deletions into batch and counts the buckets that
// hold something.
func (e *Engine) dropEnded(ctx context.Context, batch *pebble.Batch, mark int64) (dropped int, err error) {
	for _, k := range ending() {
		n, err := e.countBuckets(ctx, k, mark)
		if err != nil {
			return 0, err
		}
		if n == 0 {
			continue
		}
		if err := batch.DeleteRange([]byte{byte(k)}, bucketKey(k, mark+1), nil); err != nil {
			return 0, err
		}
		dropped += n
	}
	return dropped, nil
}

// countBuckets leaps from bucket to bucket.
func (e *Engine) countBuckets(ctx context.Context, k kind, mark int64) (n int, err error) {
	err = e.scan(ctx, []byte{byte(k)}, bucketKey(k, mark+1), func(it *pebble.Iterator) (bool, error) {
		n++
		last := it.SeekGE(bucketKey(k, bucketOf(it.Key())+1))
		return last, errLeapt
	})
	return n, err
}

// errLeapt tells scan that the visit has moved the iterator already.
var errLeapt = errors.New("leapt")

// scan calls visit for the keys in [first, end) until it returns false or an
// error.
func (e *Engine) scan(ctx context.Context, first, end []byte, visit func(*pebble.Iterator) (bool, error)) error {
	it, err := e.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: first, UpperBound: end})
	if err != nil {
		return e.readError("from "+keyName(first), err)
	}
	more := it.First()
	for more && err == nil {
		if err = ctx.Err(); err != nil {
			break
		}
		if more, err = visit(it); errors.Is(err, errLeapt) {
			err = nil
		} else if more && err == nil {
			more = it.Next()
		}
	}
	if closing := it.Close(); closing != nil {
		err = errors.Join(err, e.readError("from "+keyName(first), closing))
	}
	return err
}

// bucketEnd is behind every record of k.
func bucketEnd(k kind) []byte { return []byte{byte(k) + 1} }

func (e *Engine) loadRetired() error {
	key := metaKey("retired")
	value, err := e.get(key)
	if err != nil || value == nil {
		return err
	}
	r := newReader(value)
	e.retired.Raise(int64(r.number()))
	return r.end(key)
}

// checkFormat writes the format of a new store and refuses one that it does not
// know.
func (e *Engine) checkFormat() error {
	key := metaKey("format")
	value, err := e.get(key)
	if err != nil {
		return err
	}
	if value == nil {
		return e.set(&flight{free: func() {}}, key, newWriter(1).b)
	}
	if len(value) > 0 && value[0] != recordVersion {
		return fmt.Errorf("its records have format %d, this program knows %d: start the version that wrote them: %w", value[0], recordVersion, store.ErrSchema)
	}
	return newReader(value).end(key)
}
