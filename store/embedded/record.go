package embedded

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/longcase/longcase/store"
)

// A record is its format version, then its fields in order: numbers as uvarints,
// times as Unix seconds, texts with their length before them. There is one
// spelling: nothing may follow the last field.
const recordVersion = 1

type writer struct{ b []byte }

func newWriter(size int) *writer { return &writer{append(make([]byte, 0, size), recordVersion)} }

func (w *writer) number(n uint64)   { w.b = binary.AppendUvarint(w.b, n) }
func (w *writer) time(t time.Time)  { w.number(uint64(t.Unix())) }
func (w *writer) flag(set bool)     { w.b = append(w.b, map[bool]byte{true: 1}[set]) }
func (w *writer) text(s string)     { w.number(uint64(len(s))); w.b = append(w.b, s...) }
func (w *writer) bytes(data []byte) { w.number(uint64(len(data))); w.b = append(w.b, data...) }

// reader reads a record; the first thing that is wrong stays in err and what
// follows is zero.
type reader struct {
	b   []byte
	err error
}

func newReader(value []byte) *reader {
	r := &reader{b: value}
	if v := r.octet(); r.err == nil && v != recordVersion {
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

func (r *reader) octet() byte {
	if len(r.b) == 0 {
		r.fail("it ends early")
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
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
	return time.Unix(int64(r.number()), 0).UTC()
}

func (r *reader) flag() bool {
	c := r.octet()
	if c > 1 {
		r.fail("a flag is %d", c)
	}
	return c == 1
}

func (r *reader) bytes() []byte {
	n := r.number()
	if n > uint64(len(r.b)) {
		r.fail("a length is wrong")
		return nil
	}
	data := r.b[:n:n]
	r.b = r.b[n:]
	return data
}

func (r *reader) text() string { return string(r.bytes()) }

// end reports what was wrong with the record at key.
func (r *reader) end(key []byte) error {
	if len(r.b) > 0 {
		r.fail("%d bytes too many", len(r.b))
	}
	if r.err == nil {
		return nil
	}
	return fmt.Errorf("%w: %s: %w", ErrCorrupt, keyName(key), r.err)
}

func encodeSession(s store.Session) []byte {
	w := newWriter(24 + len(s.Client) + len(s.Subject) + len(s.Data))
	w.time(s.End)
	w.number(uint64(s.Generation))
	w.flag(s.Ended)
	w.text(s.Client)
	w.text(s.Subject)
	w.bytes(s.Data)
	return w.b
}

// decodeSession keeps no copy of value: Data lies in it.
func decodeSession(key, value []byte) (store.Session, error) {
	r := newReader(value)
	s := store.Session{
		End:        r.time(),
		Generation: store.Generation(r.number()),
		Ended:      r.flag(),
		Client:     r.text(),
		Subject:    r.text(),
		Data:       r.bytes(),
	}
	if len(key) != 1+idBytes {
		r.fail("the key has %d bytes", len(key))
	} else {
		s.ID = store.ID(key[1:])
	}
	return s, r.end(key)
}

func encodeDocument(d store.Document) []byte {
	w := newWriter(24 + len(d.Data))
	w.time(d.End)
	w.number(d.Version)
	w.bytes(d.Data)
	return w.b
}

func decodeDocument(key, value []byte) (store.Document, error) {
	r := newReader(value)
	d := store.Document{End: r.time(), Version: r.number(), Data: r.bytes()}
	if len(key) < 1+idBytes {
		r.fail("the key has %d bytes", len(key))
	} else {
		d.ID, d.Kind = store.ID(key[1:1+idBytes]), store.DocumentKind(key[1+idBytes:])
	}
	return d, r.end(key)
}

func encodeMark() []byte { return newWriter(1).b }

func decodeMark(key, value []byte) (id store.ID, err error) {
	r := newReader(value)
	if len(key) != 1+idBytes {
		r.fail("the key has %d bytes", len(key))
	} else {
		id = store.ID(key[1:])
	}
	return id, r.end(key)
}

func encodeRevocation(v store.Revocation) []byte {
	w := newWriter(32 + len(v.Value))
	w.text(string(v.Kind))
	w.text(v.Value)
	w.flag(!v.Before.IsZero())
	if !v.Before.IsZero() {
		w.time(v.Before)
		w.number(uint64(v.Before.Nanosecond()))
	}
	w.time(v.End)
	return w.b
}

func decodeRevocation(key, value []byte) (store.Revocation, error) {
	r := newReader(value)
	v := store.Revocation{Kind: store.RevocationKind(r.text()), Value: r.text()}
	if r.flag() {
		v.Before = r.instant()
	}
	v.End = r.time()
	return v, r.end(key)
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

func encodeEntry(e store.Entry) []byte {
	w := newWriter(16 + len(e.Value))
	w.number(e.Version)
	w.flag(e.Value != nil)
	w.bytes(e.Value)
	return w.b
}

func decodeEntry(key, value []byte) (store.Entry, error) {
	r := newReader(value)
	e := store.Entry{Version: r.number()}
	present := r.flag()
	e.Value = r.bytes()
	switch {
	case !present && len(e.Value) > 0:
		r.fail("a removed entry has a value")
	case !present:
		e.Value = nil
	}
	if len(key) > 1 {
		e.Key = string(key[1:])
	}
	return e, r.end(key)
}
