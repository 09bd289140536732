// Package render writes a fresh credential in the shapes that unmodified
// programs read: answers of metadata services, files, and what a command prints.
//
// Everything here is pure: a credential and now go in, bytes come out. Nothing
// is refused but what the shape cannot say. That a credential still lives is the
// caller's to check, with Check.
package render

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// endless is the end that is told to protocols that insist on one when a
// credential has none: the client asks again then.
const endless = time.Hour

// ErrEnded says that a credential is over. It is never handed out.
var ErrEnded = errors.New("the credential has ended")

// Keys are temporary AWS credentials. They never print.
type Keys struct {
	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string    // empty for keys of a user
	Expires         time.Time // zero: they have no end
}

// Format implements fmt.Formatter: keys do not print, whatever the verb.
func (Keys) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[keys]") }

// Token is a credential of one string. It never prints.
type Token struct {
	Value   string
	Type    string    // "Bearer"; empty is written as Bearer where a shape asks for it
	Scope   string    // space separated; empty: not known
	Expires time.Time // zero: it has no end
}

// Format implements fmt.Formatter: a token does not print, whatever the verb.
func (Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[token]") }

// Check returns ErrEnded if the keys are over at now.
func (k Keys) Check(now time.Time) error { return check(k.Expires, now) }

// Check returns ErrEnded if the token is over at now.
func (t Token) Check(now time.Time) error { return check(t.Expires, now) }

func check(end, now time.Time) error {
	if !end.IsZero() && !now.Before(end) {
		return fmt.Errorf("%w: at %s, and it is %s", ErrEnded, stamp(end), stamp(now))
	}
	return nil
}

func (t Token) kind() string {
	if t.Type == "" {
		return "Bearer"
	}
	return t.Type
}

// endOf is the end to tell: the credential's, or that of an endless one.
func endOf(end, now time.Time) time.Time {
	if end.IsZero() {
		return now.Add(endless)
	}
	return end
}

// stamp is RFC 3339 in UTC with whole seconds, rounded down: an end told is
// never later than the end.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// fine is RFC 3339 in UTC with milliseconds, rounded down.
func fine(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func optional(end time.Time) string {
	if end.IsZero() {
		return ""
	}
	return stamp(end)
}

// seconds is how long until end, whole seconds, rounded down.
func seconds(end, now time.Time) int64 { return max(int64(end.Sub(now)/time.Second), 0) }

// line encodes v as JSON with a final newline.
func line(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // a struct of strings and numbers
	}
	return append(b, '\n')
}
