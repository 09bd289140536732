package issuer

import (
	"context"
	"errors"
	"sync"

	"github.com/longcase/longcase/store"
)

var errDisk = errors.New("disk: input/output error")

// faulty is an engine that fails at the n-th call after arm, and only there.
type faulty struct {
	store.Engine

	mu     sync.Mutex
	left   int   // calls until the fault; 0: none
	fault  error // what it says
	does   bool  // it does the write before it fails
	struck bool
	first  func() // runs before the call instead of a fault
}

// race lets another request run just before the n-th call from now.
func (f *faulty) race(n int, other func()) {
	f.arm(n, nil, true)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.first = other
}

// arm makes the n-th call from now fail. A fault that does what was asked for
// says ErrUnknown.
func (f *faulty) arm(n int, fault error, does bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left, f.fault, f.does, f.struck, f.first = n, fault, does, false, nil
}

// heal ends the faults and reports whether one struck.
func (f *faulty) heal() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left = 0
	return f.struck
}

// strike runs do unless it is the fault's turn.
func (f *faulty) strike(do func() error) error {
	f.mu.Lock()
	f.left--
	now := f.left == 0
	f.struck = f.struck || now
	fault, does, first := f.fault, f.does, f.first
	f.mu.Unlock()
	switch {
	case !now:
		return do()
	case first != nil:
		first()
		return do()
	case does:
		return errors.Join(do(), fault)
	default:
		return fault
	}
}

func (f *faulty) Sessions() store.Sessions       { return faultySessions{f.Engine.Sessions(), f} }
func (f *faulty) Documents() store.Documents     { return faultyDocuments{f.Engine.Documents(), f} }
func (f *faulty) Marks() store.Marks             { return faultyMarks{f.Engine.Marks(), f} }
func (f *faulty) Revocations() store.Revocations { return faultyRevocations{f.Engine.Revocations(), f} }

type faultySessions struct {
	store.Sessions
	f *faulty
}

func (s faultySessions) Load(ctx context.Context, id store.ID) (found store.Session, err error) {
	err = s.f.strike(func() (err error) { found, err = s.Sessions.Load(ctx, id); return err })
	return found, err
}

func (s faultySessions) Create(ctx context.Context, one store.Session) error {
	return s.f.strike(func() error { return s.Sessions.Create(ctx, one) })
}

func (s faultySessions) Replace(ctx context.Context, one store.Session, old store.Generation) error {
	return s.f.strike(func() error { return s.Sessions.Replace(ctx, one, old) })
}

func (s faultySessions) Revoke(ctx context.Context, id store.ID) error {
	return s.f.strike(func() error { return s.Sessions.Revoke(ctx, id) })
}

type faultyDocuments struct {
	store.Documents
	f *faulty
}

func (d faultyDocuments) Get(ctx context.Context, kind store.DocumentKind, id store.ID) (found store.Document, err error) {
	err = d.f.strike(func() (err error) { found, err = d.Documents.Get(ctx, kind, id); return err })
	return found, err
}

func (d faultyDocuments) Replace(ctx context.Context, one store.Document, old uint64) error {
	return d.f.strike(func() error { return d.Documents.Replace(ctx, one, old) })
}

type faultyMarks struct {
	store.Marks
	f *faulty
}

func (m faultyMarks) First(ctx context.Context, one store.Mark) (first bool, err error) {
	err = m.f.strike(func() (err error) { first, err = m.Marks.First(ctx, one); return err })
	return first, err
}

type faultyRevocations struct {
	store.Revocations
	f *faulty
}

func (v faultyRevocations) Add(ctx context.Context, one store.Revocation) error {
	return v.f.strike(func() error { return v.Revocations.Add(ctx, one) })
}

func (v faultyRevocations) Since(ctx context.Context, c store.Cursor) (all []store.Revocation, next store.Cursor, err error) {
	err = v.f.strike(func() (err error) { all, next, err = v.Revocations.Since(ctx, c); return err })
	return all, next, err
}
