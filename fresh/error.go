package fresh

import (
	"errors"
	"fmt"
	"time"
)

// A Reason is a stable code for why a credential cannot be had. It is itself an
// error: errors.Is(err, fresh.Unavailable).
type Reason string

// The reasons.
const (
	Unavailable   Reason = "unavailable"   // the service cannot be reached, is slow, or asks to wait
	Refused       Reason = "refused"       // the service said no
	Malformed     Reason = "malformed"     // its answer, or a file, cannot be read
	Ended         Reason = "ended"         // what it gave was over already
	Misconfigured Reason = "misconfigured" // a setting cannot work
	Panicked      Reason = "panicked"      // the provider's code failed
)

func (r Reason) Error() string { return "credential " + string(r) }

// Error says which layer failed, why, and when it will be tried again. Detail
// may be shown and logged: it holds no secret.
type Error struct {
	Layer      string // the layer's name; a provider leaves it empty
	Reason     Reason
	Detail     string
	RetryAfter time.Duration // the service's own wish (Retry-After); zero: none
	Err        error         // the cause; the parent's error where that failed
}

func (e *Error) Error() string {
	s := e.Detail
	switch {
	case s == "" && e.Err != nil:
		s = e.Err.Error()
	case s == "":
		s = e.Reason.Error()
	case e.Err != nil:
		s += ": " + e.Err.Error()
	}
	if e.Layer != "" {
		s = e.Layer + ": " + s
	}
	return s
}

// Unwrap makes the reason and the cause visible to errors.Is.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Reason}
	}
	return []error{e.Reason, e.Err}
}

// Fail returns an *Error for a provider to return.
func Fail(reason Reason, format string, args ...any) *Error {
	return &Error{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

// blame is an error with the lease that caused it.
type blame struct {
	node       node
	generation uint64
	err        error
}

func (b *blame) Error() string { return b.err.Error() }
func (b *blame) Unwrap() error { return b.err }

// Blame says that err happened because of lease: its layer is to be renewed, and
// what failed may then be repeated. The lease is one that a fetch was given.
func Blame[P comparable](lease Lease[P], err error) error {
	if lease.of == nil || err == nil {
		return err
	}
	return &blame{node: lease.of, generation: lease.Generation, err: err}
}

func blamed(err error) *blame {
	var b *blame
	if errors.As(err, &b) {
		return b
	}
	return nil
}

func reasonOf(err error) Reason {
	var r Reason
	if errors.As(err, &r) {
		return r
	}
	return Unavailable
}
