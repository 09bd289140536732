// Package store is the contract between Longcase and the engines that keep its
// state: five small interfaces, each asking only what the weakest engine can
// promise, compare-and-set on one key. What has ended is gone.
//
// It holds no engine and no policy. Engines live in store/memory,
// store/embedded and their siblings, and each passes the suite in
// store/storetest.
//
// Three rules hold for every engine:
//
//   - Reads judge the end themselves: what is over at the store's clock is
//     ErrNotFound, whether or not it has been retired. Only Since shows what is
//     over until it is retired.
//   - A write into a bucket that is over is ErrEnded.
//   - An acknowledged write is durable.
package store

import (
	"context"
	"errors"
	"time"

	"github.com/longcase/longcase/token"
)

// The errors of every engine. They are wrapped with what was asked for.
var (
	ErrNotFound = errors.New("store: not found")
	ErrConflict = errors.New("store: conflict: the record is not as expected")
	ErrUnknown  = errors.New("store: outcome unknown: load and compare")
	ErrEnded    = errors.New("store: the bucket is over")
	ErrTooLate  = errors.New("store: the end is beyond the bound of its kind")
	ErrTooLarge = errors.New("store: the value is too large")
	ErrFull     = errors.New("store: full: no live mark is evicted")
	ErrLocked   = errors.New("store: in use by another process")
	ErrClosed   = errors.New("store: closed")

	// ErrUnavailable says that the engine cannot be reached now and nothing was
	// written: what was asked for may be asked for again.
	ErrUnavailable = errors.New("store: the engine cannot be reached")
	// ErrReadOnly says that the store was set read only, see Movable.
	ErrReadOnly = errors.New("store: read only")
	// ErrSchema says that what the engine keeps is not what this version reads:
	// written by a newer version, or changed by hand. The text names it.
	ErrSchema = errors.New("store: the schema is not as expected")
	// ErrNoStore says that there is no store where one was to be that exists.
	ErrNoStore = errors.New("store: there is no store")
)

// MaxData bounds the Data of one record, in bytes.
const MaxData = 64 << 10

// Engine is one store: the five interfaces, its clock and its end. Methods may
// be called concurrently.
type Engine interface {
	Sessions() Sessions
	Documents() Documents
	Marks() Marks
	Revocations() Revocations
	Registry() Registry

	// Clock returns the store's own time; a node further than 5 s from it is
	// not ready.
	Clock(ctx context.Context) (time.Time, error)
	// Retire drops every bucket whose end is at or before before, as one range
	// operation each, and returns how many it dropped. Engines that expire by
	// themselves return 0. Retire never drops what is not over: a before in the
	// future counts as now.
	Retire(ctx context.Context, before time.Time) (int, error)
	// Close waits for the calls under way; those after it return ErrClosed.
	Close() error
}

// RetireDelay is how late buckets are dropped after their end, so that a node
// with a slow clock still finds what it thinks is live.
const RetireDelay = 10 * time.Minute

// Generation counts the rotations of a session: 1 at creation, never a time.
type Generation uint64

// Session is one authorization that can be refreshed (RFC 6749 section 1.5).
// The engine keeps Data without looking into it.
type Session struct {
	ID         ID
	End        time.Time // absolute end, fixed at creation; whole seconds, UTC (a fraction is cut off)
	Generation Generation
	Ended      bool // revoked, logged out or reused: stays until its bucket is dropped
	Client     string
	Subject    string
	Data       []byte
}

// Sessions keeps one record per authorization that can be refreshed. It asks of
// an engine only compare-and-set on a single key. Each method takes full effect
// or none.
type Sessions interface {
	// Load returns the session, ended ones included, or ErrNotFound if there is
	// none or its End has passed.
	Load(ctx context.Context, id ID) (Session, error)
	// Create writes a session that does not exist yet, at generation 1 and not
	// ended, or returns ErrConflict.
	Create(ctx context.Context, s Session) error
	// Replace writes the Data and Ended of s as generation old+1, which
	// s.Generation must be, if the stored session is not ended and its
	// generation is still old. Otherwise, also if there is none, it returns
	// ErrConflict and changes nothing; past its End it returns ErrEnded. ID,
	// End, Client and Subject stay as they were stored. ErrUnknown means that
	// the engine could not say whether it was written; the caller loads and
	// compares.
	Replace(ctx context.Context, s Session, old Generation) error
	// Revoke marks the session as ended; twice is once. It never deletes.
	// ErrNotFound if there is none or its End has passed.
	Revoke(ctx context.Context, id ID) error
	// List returns the sessions whose End has not passed, revoked ones
	// included, in the order of their ids, those after after (the zero ID: from
	// the first), at most limit. It is for administration and reads the whole
	// range.
	List(ctx context.Context, after ID, limit int) ([]Session, error)
}

// DocumentKind says what a Document is; it never changes for a stored one.
type DocumentKind string

// The kinds of documents.
const (
	Code  DocumentKind = "code"  // authorization codes
	Login DocumentKind = "login" // login sessions of browsers
)

// Document is data with a short life and a state.
type Document struct {
	Kind    DocumentKind
	ID      ID
	End     time.Time // whole seconds, UTC
	Version uint64    // 1 at Put, one more at each Replace
	Data    []byte
}

// Documents keeps authorization codes, login sessions and their like.
type Documents interface {
	// Put writes a document that does not exist yet (Version is set to 1), or
	// returns ErrConflict.
	Put(ctx context.Context, d Document) error
	// Get returns the document or ErrNotFound.
	Get(ctx context.Context, kind DocumentKind, id ID) (Document, error)
	// Replace writes d.Data with Version old+1 if the stored version is still
	// old. Otherwise, also if there is none, it returns ErrConflict and changes
	// nothing; past its End it returns ErrEnded. The End stays as it was stored.
	Replace(ctx context.Context, d Document, old uint64) error
}

// Marks remembers that something was used once.
type Marks interface {
	// First reports whether key is marked for the first time, and marks it
	// until end. The key's place follows from kind, scope, value and end alone,
	// never from now or configuration. An end further ahead than MaxMark is
	// ErrTooLate, not clipped; a store that is full returns ErrFull: no live
	// mark is evicted.
	First(ctx context.Context, m Mark) (bool, error)
}

// MaxMark is the longest life of a mark.
const MaxMark = 25 * time.Hour

// Mark names one use, for instance the "jti" of a client's assertion.
type Mark struct {
	Kind  string // "assertion", "dpop", "token"
	Scope string // who made the value: the issuer or client
	Value string // the "jti"
	End   time.Time
}

// RevocationKind says what a Revocation ends.
type RevocationKind = token.Ending

// The kinds of revocations.
const (
	RevokedToken   = token.EndsToken
	RevokedSession = token.EndsSession
	RevokedClient  = token.EndsClient  // tokens issued before Before
	RevokedSubject = token.EndsSubject // tokens issued before Before
	RevokedKey     = token.EndsKey
)

// Revocation ends something before its own end. End is the last instant any
// gate may accept what it names, plus 10 minutes.
type Revocation struct {
	Kind   RevocationKind
	Value  string
	Before time.Time // zero but for client and subject
	End    time.Time
}

// Cursor is a place in the feed of revocations; the empty Cursor is its
// beginning. Only the engine that made it can read it.
type Cursor string

// Revocations is a feed of early ends.
type Revocations interface {
	// Add writes r; it is durable and visible to Since when Add returns.
	Add(ctx context.Context, r Revocation) error
	// Since returns the revocations added after c and the cursor behind them:
	// all that were not retired, over or not. Whoever follows judges their ends,
	// so that a clock that is wrong for a moment hides none for good. It may
	// repeat, never skip. A cursor that the engine does not know (another
	// engine, a restart) is the beginning.
	Since(ctx context.Context, c Cursor) ([]Revocation, Cursor, error)
}

// Entry is a small, long-lived, versioned record. A removed entry keeps its
// version and has a nil Value.
type Entry struct {
	Key     string // "client/ID", "ring", "mac"; at most 512 bytes
	Version uint64 // 0: does not exist
	Value   []byte
}

// Registry keeps clients, key rings and their like.
type Registry interface {
	// Get returns the entry; one that does not exist or was removed has no
	// Value and is not an error.
	Get(ctx context.Context, key string) (Entry, error)
	// Put writes value if the stored version is still old (0: there is none),
	// as version old+1. Otherwise it returns ErrConflict. A nil value removes.
	Put(ctx context.Context, key string, value []byte, old uint64) error
	// List returns the entries with a value whose key begins with prefix, in
	// the order of their keys.
	List(ctx context.Context, prefix string) ([]Entry, error)
	// Watch calls changed with each entry that begins with prefix, first as it
	// is and then at every change, removals included, until ctx ends; it may
	// call twice for one change, never miss the last. It returns ctx's error or
	// the engine's.
	Watch(ctx context.Context, prefix string, changed func(Entry)) error
}
