package skew

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/longcase/longcase/token"
)

const (
	agree = time.Second // how near clocks are that agree: the likely error of an estimate
	tenth = 100 * time.Millisecond
)

// Sentence says what is known of an issuer's clocks, for a refusal: "the clock
// of at least one instance of the issuer is 20.4 to 21.2 s ahead of this host (4
// tokens; Date header agrees); this host agrees with NTP within 0.1 s: check NTP
// there". Empty where nothing is known.
func (b *Book) Sentence(issuer string, now time.Time) string {
	return b.sentence(issuer, b.instant(now))
}

func (b *Book) sentence(issuer string, at token.Instant) string {
	e, ok := b.of(issuer, at)
	if !ok {
		return b.unknown(at)
	}
	c := e.Clocks[0]
	said := "the clock of " + c.whose(len(e.Clocks)) + " " + c.distance() + c.witnesses()
	if len(e.Clocks) > 1 {
		o := e.Clocks[len(e.Clocks)-1]
		said += ", that of " + o.other() + " " + o.distance()
	}
	host, known := b.hostNow(at)
	return said + remedy(c, host, known)
}

// unknown says what is wrong with this host's clock while the issuer's is not
// known.
func (b *Book) unknown(at token.Instant) string {
	host, known := b.hostNow(at)
	if !known || !host.wrong() {
		return ""
	}
	return host.says() + ": check NTP here"
}

// whose names the instance. Tokens never speak for all instances.
func (c Clock) whose(clocks int) string {
	switch {
	case c.Node != "":
		return "the issuer's instance " + c.Node
	case clocks > 1 || c.Tokens > 0:
		return "at least one instance of the issuer"
	}
	return "the issuer"
}

func (c Clock) other() string {
	if c.Node != "" {
		return "instance " + c.Node
	}
	return "another one"
}

// distance says how far a clock is from this host's: "is 20.4 to 21.2 s ahead of
// this host".
func (c Clock) distance() string {
	low, high, where := c.Low, c.High, "ahead of"
	switch {
	case c.likely() && low < tenth:
		return "is not behind this host"
	case c.likely():
		return "is at least " + token.Seconds(low) + " ahead of this host"
	case c.Skew().Abs() <= agree:
		return "agrees with this host within " + upTo(max(low.Abs(), high.Abs()))
	case c.Skew() < 0:
		low, high, where = -high, -low, "behind"
	}
	if from, to := token.Seconds(max(low, 0)), token.Seconds(high); from != to {
		return fmt.Sprintf("is %s to %s %s this host", strings.TrimSuffix(from, " s"), to, where)
	}
	return fmt.Sprintf("is %s %s this host", token.Seconds(high), where)
}

// likely reports that only a few tokens prove that the clock is ahead.
func (c Clock) likely() bool { return c.Dates == 0 && c.Tokens < enough }

// witnesses counts those who say so: " (4 tokens; Date header agrees)".
func (c Clock) witnesses() string {
	switch {
	case c.Tokens == 0:
		return " (" + count(c.Dates, "Date header") + ")"
	case c.Dates > 0:
		return " (" + count(c.Tokens, "token") + "; Date header agrees)"
	case c.Skew() < -agree:
		return " (" + count(c.Tokens, "token") + ", unless all were first shown that late)"
	}
	return " (" + count(c.Tokens, "token") + ")"
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// remedy says which of the two clocks is wrong.
func remedy(c Clock, host Host, known bool) string {
	skew := c.Skew()
	apart := skew.Abs() > agree
	said := ""
	if known {
		said = "; " + host.says()
	}
	switch {
	case !apart && (!known || !host.wrong()):
		return said
	case !known, !host.wrong() && host.within(max(agree, skew.Abs()/4)):
		return said + ": check NTP there"
	case host.wrong() && (skew+host.Offset).Abs() <= agree+host.Bound:
		return said + ": check NTP here" // it alone explains the distance
	}
	return said + ": check NTP there and here"
}

// wrong reports whether this host's clock is wrong for certain. One whose offset
// is only vaguely known may be right.
func (h Host) wrong() bool {
	return !h.Unsynchronised && h.Offset.Abs() > h.Bound && !h.within(agree)
}

// within reports whether this host's clock is right for certain, to limit.
func (h Host) within(limit time.Duration) bool {
	return !h.Unsynchronised && h.Offset.Abs()+h.Bound <= limit
}

// says is the state of this host's clock in words.
func (h Host) says() string {
	switch {
	case h.Unsynchronised:
		return "this host's own clock is not synchronised (" + h.Source + ")"
	case h.within(agree), h.Offset.Abs() <= h.Bound:
		return "this host agrees with NTP within " + upTo(h.Offset.Abs()+h.Bound)
	case h.Offset < 0:
		return "this host's own clock is " + token.Seconds(-h.Offset) + " behind NTP (" + h.Source + ")"
	}
	return "this host's own clock is " + token.Seconds(h.Offset) + " ahead of NTP (" + h.Source + ")"
}

// upTo writes d rounded up to a tenth.
func upTo(d time.Duration) string {
	return token.Seconds(max((d + tenth - 1).Truncate(tenth), tenth))
}
