package fresh

import (
	"errors"
	"fmt"
	"strings"
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
	Next       time.Time     // no attempt before; a provider leaves it zero
	Err        error         // the cause; the parent's error where that failed
}

func (e *Error) Error() string {
	return e.text() + e.when()
}

func (e *Error) when() string {
	if e.Next.IsZero() {
		return ""
	}
	return "; next attempt at " + e.Next.Format("15:04:05.0Z07:00")
}

// text is the error without the time of the next attempt, which is said once.
func (e *Error) text() string {
	s := e.Detail
	if e.Err != nil {
		cause := e.Err.Error()
		var inner *Error
		if errors.As(e.Err, &inner) {
			cause = strings.TrimSuffix(cause, inner.when())
		}
		if s != "" {
			s += ": "
		}
		s += cause
	}
	if s == "" {
		s = e.Reason.Error()
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

// named is err as the failure of the layer called name, without blame.
func named(name string, err error) *Error {
	switch e := err.(type) { //nolint:errorlint // what wraps one of these keeps its words
	case *blame:
		err = e.err
	case *parental:
		err = e.err
	}
	if e, ok := err.(*Error); ok && e.Layer == "" { //nolint:errorlint // what wraps an *Error keeps its words
		own := *e
		own.Layer = name
		return &own
	}
	return &Error{Layer: name, Reason: reasonOf(err), RetryAfter: wishOf(err), Err: err}
}

func reasonOf(err error) Reason {
	var r Reason
	if errors.As(err, &r) {
		return r
	}
	return Unavailable
}

// wishOf is the Retry-After of the service that a provider asked, not that of a
// parent's service.
func wishOf(err error) time.Duration {
	var e *Error
	if errors.As(err, &e) && e.Layer == "" {
		return e.RetryAfter
	}
	return 0
}
