package store

import "context"

// Record is one record of any kind as it is stored, for moving it to another
// engine. One field is set.
type Record struct {
	Session    *Session
	Document   *Document
	Mark       *ID // a mark keeps no more than its place
	Revocation *Revocation
	Entry      *Entry // removed ones too: their versions count on
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
	// no error, a different one is ErrConflict and stays.
	Import(ctx context.Context, r Record) error
	// SetReadOnly makes every write of every process return ErrReadOnly, for
	// the reason given, until SetReadOnly with no reason. It returns when no
	// write can take effect any more. It is durable.
	SetReadOnly(ctx context.Context, reason string) error
	// ReadOnly returns the reason given; empty: the store takes writes.
	ReadOnly(ctx context.Context) (string, error)
}
