// Package skew estimates how far the clocks of issuers are from this host's, and
// which of the two is wrong. It decides and does nothing else: witnesses are
// handed in with their instants, nothing here reads a clock.
//
// Three witnesses are independent of each other: iat of signed tokens that are
// seen for the first time (they prove "at least so far ahead"), the Date header
// of an issuer's answers (RFC 9110 section 6.6.1: an interval from the time the
// exchange took and the header's resolution of one second), and this host's own
// state of NTP.
package skew

import (
	"time"

	"github.com/longcase/longcase/token"
)

// Estimate is what is known of an issuer's clocks against this host's. An
// issuer may run on several machines: Low and High span all that were seen
// within the window.
type Estimate struct {
	Low, High time.Duration // ahead of this host; negative: behind
	Tokens    int           // first-seen tokens that say so
	Dates     int           // Date headers that say so
}

// Host is the state of this host's own clock.
type Host struct {
	Offset time.Duration // how far it is ahead of NTP
	Bound  time.Duration // the most that Offset may be off
	Source string        // who says so: "chrony", "kernel", "ntp HOST"
}

// Book holds the witnesses of every issuer. It is safe for concurrent use, and
// bounded.
type Book struct{}

// New returns a Book that knows nothing.
func New() *Book { return &Book{} }

// Token takes a token whose signature held, at the instant it came. A token
// that was seen before says nothing.
func (b *Book) Token(c *token.Claims, now time.Time) {}

// Date takes the Date header of an issuer's answer that no cache has kept: it
// was sent for at sent and had come at received.
func (b *Book) Date(issuer string, sent, received, date time.Time) {}

// SetHost takes what this host knows of its own clock at now; nil: nothing.
func (b *Book) SetHost(h *Host, now time.Time) {}

// Of returns what is known of an issuer's clocks at now.
func (b *Book) Of(issuer string, now time.Time) (Estimate, bool) { return Estimate{}, false }

// Sentence says what is known of an issuer's clocks, for a refusal: "the clock
// of at least one instance of the issuer is 20.4 to 21.2 s ahead of this host (4
// tokens; Date header agrees); this host agrees with NTP within 0.1 s". Empty
// where nothing is known.
func (b *Book) Sentence(issuer string, now time.Time) string { return "" }
