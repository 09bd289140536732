package cassandra

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/longcase/longcase/store"
)

// ErrCorrupt says that a row is not what this version wrote.
var ErrCorrupt = errors.New("cassandra: corrupt row")

// What is kept in one column is its format version, then its fields in order:
// numbers as uvarints, times as Unix seconds (varints), texts with their length before
// them. There is one spelling.
const recordVersion = 1

type writer struct{ b []byte }

func newWriter(size int) *writer { return &writer{append(make([]byte, 0, size), recordVersion)} }

func (w *writer) number(n uint64)  { w.b = binary.AppendUvarint(w.b, n) }
func (w *writer) time(t time.Time) { w.b = binary.AppendVarint(w.b, t.Unix()) }
func (w *writer) text(s string)    { w.number(uint64(len(s))); w.b = append(w.b, s...) }

// reader reads a column; the first thing that is wrong stays in err and what
// follows is zero.
type reader struct {
	b   []byte
	err error
}

func newReader(b []byte) *reader {
	r := &reader{b: b}
	if v := r.number(); r.err == nil && v != recordVersion {
		r.fail("format version %d, this program knows %d", v, recordVersion)
	}
	return r
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
	r.b = nil
}

func (r *reader) number() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 || size > 1 && r.b[size-1] == 0 {
		r.fail("a number is wrong")
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) time() time.Time {
	n := r.number()
	return time.Unix(int64(n>>1)^-int64(n&1), 0).UTC() // as AppendVarint folds it
}

func (r *reader) text() string {
	n := r.number()
	if n > uint64(len(r.b)) {
		r.fail("a length is wrong")
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

// end reports what was wrong with what.
func (r *reader) end(what string) error {
	if len(r.b) > 0 {
		r.fail("%d bytes too many", len(r.b))
	}
	if r.err == nil {
		return nil
	}
	return fmt.Errorf("%w: %s: %w", ErrCorrupt, what, r.err)
}

// about is what never changes of a session or document: its end and, of a
// session, whose it is.
type about struct {
	end             time.Time
	client, subject string
}

func (a about) encode() []byte {
	w := newWriter(16 + len(a.client) + len(a.subject))
	w.time(a.end)
	w.text(a.client)
	w.text(a.subject)
	return w.b
}

func decodeAbout(b []byte) (about, error) {
	r := newReader(b)
	a := about{end: r.time(), client: r.text(), subject: r.text()}
	return a, r.end("column about")
}

func encodeRevocation(v store.Revocation) []byte {
	w := newWriter(32 + len(v.Value))
	w.text(string(v.Kind))
	w.text(v.Value)
	w.time(v.End)
	if !v.Before.IsZero() {
		w.time(v.Before)
		w.number(uint64(v.Before.Nanosecond()))
	}
	return w.b
}

func decodeRevocation(b []byte) (store.Revocation, error) {
	r := newReader(b)
	v := store.Revocation{Kind: store.RevocationKind(r.text()), Value: r.text(), End: r.time()}
	if len(r.b) > 0 {
		v.Before = r.instant()
	}
	return v, r.end("column entry")
}

// instant reads a time with its nanoseconds.
func (r *reader) instant() time.Time {
	t, n := r.time(), r.number()
	if n >= uint64(time.Second) {
		r.fail("%d nanoseconds", n)
		return time.Time{}
	}
	return t.Add(time.Duration(n))
}

const (
	lateSeconds = 600         // how much longer than its end a row stays: store.RetireDelay
	maxTTL      = 630_720_000 // Cassandra refuses a longer one: 20 years
)

// ttl is how many seconds a row that ends at end lives when it is written at
// now: never under 600, for 0 would mean for ever. A row that has ended is
// store.ErrEnded, one that no TTL reaches store.ErrTooLate.
func ttl(end, now time.Time) (int, error) {
	left := end.Sub(now)
	if left <= 0 {
		return 0, fmt.Errorf("end %s: %w", end.UTC().Format(time.RFC3339), store.ErrEnded)
	}
	if left > (maxTTL-lateSeconds)*time.Second {
		return 0, fmt.Errorf("end %s is more than 20 years ahead: %w", end.UTC().Format(time.RFC3339), store.ErrTooLate)
	}
	return int((left+time.Second-1)/time.Second) + lateSeconds, nil
}
