package skew

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/longcase/longcase/token"
)

// Estimate is what is known of an issuer's clocks against this host's, over the
// last minutes. An issuer may run on several machines.
type Estimate struct {
	Low, High time.Duration // of all clocks seen: the slowest and the fastest; negative: behind this host
	Clocks    []Clock       // those that can be told apart, the one furthest from this host's first
	Tokens    int           // first-seen tokens that say so
	Dates     int           // Date headers that say so
}

// Clock is one of an issuer's clocks. Low is proven by each kind of witness
// alone. Without a Date header High is likely, not proven: when tokens came late
// the clock is further ahead.
type Clock struct {
	Low, High time.Duration // ahead of this host; negative: behind
	Node      string        // the instance, where its tokens name it
	Tokens    int           // that were as far ahead
	Dates     int           // that agree; zero: High is not proven
}

// Skew is one number: the likely distance of the clock that is furthest from
// this host's; positive: ahead.
func (e Estimate) Skew() time.Duration {
	if len(e.Clocks) == 0 {
		return 0
	}
	return e.Clocks[0].Skew()
}

// Skew is the middle of Low and High.
func (c Clock) Skew() time.Duration { return span{c.Low, c.High}.middle() }

// Named is an issuer's Estimate.
type Named struct {
	Issuer string
	Estimate
}

// Of returns what is known of an issuer's clocks at now. Without a Date header
// that is nothing until a token proves that a clock is ahead, or 10 tokens
// within 3 s agree.
func (b *Book) Of(issuer string, now time.Time) (Estimate, bool) {
	return b.of(issuer, b.instant(now))
}

func (b *Book) of(issuer string, at token.Instant) (Estimate, bool) {
	is := b.issuer(issuer, at, false)
	if is == nil {
		return Estimate{}, false
	}
	is.mu.Lock()
	clocks, dated := is.clocks(at.Mono)
	is.mu.Unlock()
	if len(clocks) == 0 {
		return Estimate{}, false
	}
	e := Estimate{Low: clocks[0].Low, High: clocks[0].High, Clocks: clocks, Dates: dated}
	for _, c := range clocks {
		e.Low, e.High = min(e.Low, c.Low), max(e.High, c.High)
		e.Tokens += c.Tokens
	}
	return e, true
}

// All returns every issuer of which something is known at now, sorted by name.
func (b *Book) All(now time.Time) []Named {
	b.mu.RLock()
	names := slices.Sorted(maps.Keys(b.issuers))
	b.mu.RUnlock()
	var all []Named
	for _, name := range names {
		if e, ok := b.Of(name, now); ok {
			all = append(all, Named{name, e})
		}
	}
	return all
}

// clocks tells an issuer's clocks apart, the furthest first, and counts the Date
// headers.
func (is *issuer) clocks(at time.Duration) (found []Clock, headers int) {
	for _, g := range is.dates.groups(at) {
		found = append(found, Clock{Low: g.low, High: g.high, Dates: g.dates})
		headers += g.dates
	}
	dated := len(found)
	for _, name := range slices.Sorted(maps.Keys(is.nodes)) {
		if c, times := is.nodes[name].clock(at); times > 0 {
			c.Node = name
			found = settle(found, dated, c, times > 1)
		}
	}
	if c, times := is.tokens.clock(at); times > 0 {
		found = settle(found, dated, c, false)
	}
	slices.SortStableFunc(found, func(a, b Clock) int { return cmp.Compare(b.Skew().Abs(), a.Skew().Abs()) })
	return found, headers
}

// clock is what the tokens of a window say, and in how many slots they do; zero:
// nothing. The best was minted within the second that iat names, and most likely
// was fresh. That a clock is behind, or agrees, only many of them say: late tokens
// look the same, but do not agree.
func (w *window) clock(at time.Duration) (c Clock, times int) {
	ahead, near, times := w.best(at)
	if ahead <= 0 && near < enough {
		return Clock{}, 0
	}
	return Clock{Low: ahead, High: ahead + time.Second, Tokens: near}, times
}

// settle joins a clock of tokens with the one of Date headers that it can be, of
// which the first so many found are. Without one it is kept apart if it is ahead
// of them all, or if many tokens of an instance agree for a while; else its tokens
// came late, all at once perhaps.
func settle(found []Clock, dated int, c Clock, agree bool) []Clock {
	ahead := true
	for i := range found[:dated] {
		d := &found[i]
		ahead = ahead && c.Low > d.High
		switch {
		case !(span{c.Low, c.High}).meets(span{d.Low, d.High}):
			continue
		case c.Node != "" && d.Node != "": // both agree with one header
			c.Low, c.High, c.Dates = max(c.Low, d.Low), d.High, d.Dates
			return append(found, c)
		}
		d.Low, d.Node, d.Tokens = max(d.Low, c.Low), cmp.Or(d.Node, c.Node), d.Tokens+c.Tokens
		return found
	}
	if ahead || agree && c.Tokens >= enough {
		return append(found, c)
	}
	return found
}
