package fresh

import (
	"context"
	"fmt"
	"io"
	"time"
)

// Lease is a credential in hand, with its window on this host's clock. A layer
// makes it. Which of a layer's leases it is, Generation says: where a clock was
// set, the same lease is handed out with another window.
type Lease[T comparable] struct {
	Value      T
	NotBefore  time.Time // UTC; the zero time: no beginning
	Expires    time.Time // UTC, by this host's clock; the first instant it is over; zero: it has no end and is read again and again
	Generation uint64    // counts the different leases of a layer, from 1

	of *Layer[T] // that made it
}

// Format implements fmt.Formatter: a lease prints its window, never its value.
func (l Lease[T]) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "[lease %d until %s]", l.Generation, l.Expires.Format(time.RFC3339Nano))
}

// MarshalText implements encoding.TextMarshaler, for logs and JSON: as Format.
func (l Lease[T]) MarshalText() ([]byte, error) { return fmt.Append(nil, l), nil }

// Credential is what a provider got: the value, and what the issuer said of its
// end. One of Expires, Life and Recheck is required; where several are given,
// the first end counts. A Value that is the zero T is refused.
type Credential[T comparable] struct {
	Value     T
	NotBefore time.Time     // by the issuer's clock; zero: no beginning
	Expires   time.Time     // by the issuer's clock
	Life      time.Duration // counted from before the fetch began ("expires_in"); negative where the issuer said 0, which is over
	Date      time.Time     // the issuer's clock when it answered (the Date header, RFC 9110 section 6.6.1); zero: not known
	Recheck   time.Duration // fetch again this often although nothing ends: a file, a program's output; at least 100 ms
}

func (c *Credential[T]) ending() ending {
	return ending{expires: c.Expires, date: c.Date, stated: c.Life, recheck: c.Recheck}
}

// Root fetches a credential that stands on no other. ctx has the policy's
// timeout; now is this host's wall clock when the fetch began.
type Root[T comparable] func(ctx context.Context, now time.Time) (Credential[T], error)

// Fetch fetches a credential with the help of a lease of the parent. Its error
// is made with Blame where that lease is at fault, also because it ended on the
// way.
type Fetch[P, T comparable] func(ctx context.Context, from Lease[P], now time.Time) (Credential[T], error)

// Token is a credential of one string: a bearer token, a JWT, the session token
// of a metadata service. It never prints.
type Token struct {
	Value string
	Type  string // "Bearer"; empty: no HTTP scheme
	Scope string // what was granted, space separated; empty: not known
}

// Format implements fmt.Formatter: a token does not print, whatever the verb.
func (t Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[token]") }

// MarshalText implements encoding.TextMarshaler, for logs and JSON: as Format.
func (Token) MarshalText() ([]byte, error) { return []byte("[token]"), nil }
