package embedded

import (
	"context"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Rows counts the records of one kind.
type Rows struct {
	Live  int64 // their end has not passed
	Over  int64 // ended and not retired yet
	Bytes int64 // of the keys and values of both
}

// Stats is what a store holds.
type Stats struct {
	Sessions, Documents, Marks, Revocations, Entries Rows

	Disk int64 // bytes of the files: tables, logs, those kept for reuse included
}

const statsPage = 10_000 // rows are counted in one go

// Stats reads every key that is not retired, about a second for two million. It
// does not wait for writes under way.
func (e *Engine) Stats(ctx context.Context) (Stats, error) {
	var s Stats
	for k, rows := range map[kind]*Rows{
		kindSession: &s.Sessions, kindDocument: &s.Documents, kindMark: &s.Marks,
		kindRevocation: &s.Revocations, kindRegistry: &s.Entries,
	} {
		from := []byte{byte(k)}
		for from != nil {
			var err error
			if from, err = e.count(ctx, k, from, rows); err != nil {
				return Stats{}, err
			}
		}
	}
	if err := e.door.Enter(ctx); err != nil {
		return Stats{}, err
	}
	defer e.door.Leave()
	s.Disk = int64(e.db.Metrics().DiskSpaceUsage())
	return s, nil
}

// count adds the next page of rows and returns where the one behind it begins,
// nil at the end.
func (e *Engine) count(ctx context.Context, k kind, from []byte, rows *Rows) (next []byte, err error) {
	if err := e.door.Enter(ctx); err != nil {
		return nil, err
	}
	defer e.door.Leave()
	now, n := e.cfg.Now(), 0
	if k != kindRegistry && string(bucketKey(k, e.retired.At()+1)) > string(from) {
		from = bucketKey(k, e.retired.At()+1)
	}
	err = e.scan(ctx, from, bucketEnd(k), func(it *pebble.Iterator) (bool, error) {
		if n++; n > statsPage {
			next = append([]byte{}, it.Key()...)
			return false, nil
		}
		over, err := isOver(it, now)
		if over {
			rows.Over++
		} else {
			rows.Live++
		}
		rows.Bytes += int64(len(it.Key()) + len(it.Value()))
		return true, err
	})
	return next, err
}

// isOver judges the record that it stands at. One in a bucket that is over need
// not be read.
func isOver(it *pebble.Iterator, now time.Time) (bool, error) {
	if k := kind(it.Key()[0]); k != kindRegistry && bucketOf(it.Key()) <= now.Unix() {
		return true, nil
	}
	one, err := decode(it, now)
	return one.key == nil, err
}
