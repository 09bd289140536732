package store

import (
	"bytes"
	"context"
	"fmt"
	"time"
)

// Record is one record of any kind as it is stored, for moving it to another
// engine. One field is set.
type Record struct {
	Session    *Session
	Document   *Document
	Mark       *ID // a mark keeps no more than its place
	Revocation *Revocation
	Entry      *Entry // removed ones too: their versions count on
}

// String names a record: it tells two of one store apart.
func (r Record) String() string {
	switch {
	case r.Session != nil:
		return "session " + r.Session.ID.String()
	case r.Document != nil:
		return string(r.Document.Kind) + " " + r.Document.ID.String()
	case r.Mark != nil:
		return "mark " + r.Mark.String()
	case r.Revocation != nil:
		return fmt.Sprintf("revocation of %s %q", r.Revocation.Kind, r.Revocation.Value)
	case r.Entry != nil:
		return fmt.Sprintf("entry %q", r.Entry.Key)
	default:
		return "an empty record"
	}
}

// Place is how far an Export has come; the empty Place is its beginning. Only
// the engine that made it can read it, after a restart too.
type Place string

// Movable is what an engine offers to those who copy it, beside the contract.
type Movable interface {
	Engine
	// Export calls visit with every record that is not over, each once, in an
	// order that does not change while the store is read only, beginning behind
	// after. What is given beside a record is the Place behind it. It stops at
	// an error of visit and returns it.
	Export(ctx context.Context, after Place, visit func(Record, Place) error) error
	// Import writes r as it is, generation and version included, unless its end
	// has passed (then it does nothing). One that is there already and equal is
	// no error, a different one is ErrConflict and stays. A revocation that is
	// there may be written once more: the feed may repeat.
	Import(ctx context.Context, r Record) error
	// SetReadOnly makes every write of every process return ErrReadOnly, for
	// the reason given, until SetReadOnly with no reason. It returns when no
	// write can take effect any more. It is durable. Retire goes on: it takes
	// nothing that can still be read.
	SetReadOnly(ctx context.Context, reason string) error
	// ReadOnly returns the reason given; empty: the store takes writes.
	ReadOnly(ctx context.Context) (string, error)
}

// sameSecond compares ends as engines keep them.
func sameSecond(a, b time.Time) bool { return a.Unix() == b.Unix() }

// Equal reports whether a store would keep s and o as the same record.
func (s Session) Equal(o Session) bool {
	return s.ID == o.ID && sameSecond(s.End, o.End) && s.Generation == o.Generation && s.Ended == o.Ended &&
		s.Client == o.Client && s.Subject == o.Subject && bytes.Equal(s.Data, o.Data)
}

// Equal reports whether a store would keep d and o as the same record.
func (d Document) Equal(o Document) bool {
	return d.Kind == o.Kind && d.ID == o.ID && sameSecond(d.End, o.End) && d.Version == o.Version && bytes.Equal(d.Data, o.Data)
}

// Equal reports whether a store would keep r and o as the same record.
func (r Revocation) Equal(o Revocation) bool {
	return r.Kind == o.Kind && r.Value == o.Value && r.Before.Equal(o.Before) && sameSecond(r.End, o.End)
}

// Equal reports whether a store would keep e and o as the same record; nil is
// not the empty value.
func (e Entry) Equal(o Entry) bool {
	return e.Key == o.Key && e.Version == o.Version && (e.Value == nil) == (o.Value == nil) && bytes.Equal(e.Value, o.Value)
}
