// Package skew estimates how far the clocks of issuers are from this host's, and
// which of the two is wrong. It decides and does nothing else: witnesses are
// handed in with their instants, nothing here reads a clock.
//
// Three witnesses are independent of each other:
//
//   - iat of signed tokens that are seen for the first time. iat is the issuer's
//     clock at an instant that has passed, cut to a second, so iat - now is the
//     least that this clock is ahead; a late or backdated token says less, never
//     something wrong. What is shown again says nothing at all.
//   - the Date header of an issuer's answers (RFC 9110 section 6.6.1): the clock
//     is between Date - received and Date + 1 s - sent ahead.
//   - this host's own state of NTP, which says whose clock is wrong.
//
// A use:
//
//	book := skew.New()
//	book.Token(&claims, now) // its signature held
//	book.Date(issuer, sent, received, date)
//	e, known := book.Of(issuer, now)
//
// Witnesses count for 5 minutes: long enough for 20 tokens of an issuer that
// mints one in 15 s, short enough that a clock that was set right is not named
// for long. The last two Date headers count for 3 hours, since keys may be
// fetched as rarely as once an hour. A step of this host's own clock moves every
// difference at once: then all that was known is forgotten.
package skew

import (
	"hash/maphash"
	"sync"
	"time"

	"github.com/longcase/longcase/token"
)

// The bounds of a Book.
const (
	maxIssuers = 1024
	maxNodes   = 64 // of one issuer

	late     = 6 * time.Minute            // so long after its end a token still counts: a clock may be 5 minutes behind
	longest  = 31 * 24 * time.Hour        // what lives longer is not remembered and does not count
	farthest = 100 * 365 * 24 * time.Hour // a Date that is further away is of no clock
	stepped  = 250 * time.Millisecond     // how far this host's two clocks may part
	idle     = 3 * time.Hour              // an issuer of whom nothing was heard makes room
	forPost  = 10 * time.Minute           // an nbf without iat that is further ahead is for later
)

// Host is the state of this host's own clock.
type Host struct {
	Offset time.Duration // how far it is ahead of NTP
	Bound  time.Duration // the most that Offset may be off
	Source string        // who says so: "chrony", "kernel", "ntp HOST"

	Unsynchronised bool // nothing keeps it right; Offset and Bound say nothing
}

// Book holds the witnesses of every issuer. It is safe for concurrent use, and
// bounded.
type Book struct {
	seed maphash.Seed

	mu      sync.RWMutex
	began   time.Time // the first now; monotonic time is counted from it
	parted  time.Duration
	issuers map[string]*issuer
	host    *Host
	hostAt  time.Duration
}

// New returns a Book that knows nothing.
func New() *Book {
	return &Book{seed: maphash.MakeSeed(), issuers: map[string]*issuer{}}
}

// issuer is what one issuer's witnesses said.
type issuer struct {
	mu     sync.Mutex
	heard  time.Duration // last
	tokens window        // of instances without a name
	nodes  map[string]*window
	dates  dates
	seen   seen
}

// Token takes a token whose signature held, at the instant it came. A token
// that was seen before says nothing, nor does one that has been over for so long
// that it may have been seen and forgotten, or one without exp. Where iat is
// absent, nbf counts if it is 10 minutes ahead at most.
func (b *Book) Token(c *token.Claims, now time.Time) { b.token(c, b.instant(now)) }

func (b *Book) token(c *token.Claims, at token.Instant) {
	stamp, ok := stampOf(c, at.Wall)
	left := c.Expires.Add(late).Sub(at.Wall)
	if !ok || left <= 0 || left > longest {
		return
	}
	is := b.issuer(c.Issuer, at, true)
	if is == nil {
		return
	}
	key := b.key(c)
	is.mu.Lock()
	defer is.mu.Unlock()
	is.heard = at.Mono
	if is.seen.first(key, at.Mono+left, at.Mono) {
		is.windowOf(string(token.IssuedBy(c.ID)), at.Mono).add(stamp.Sub(at.Wall), at.Mono)
	}
}

// stampOf is what a token says of its issuer's clock, false if that is nothing.
func stampOf(c *token.Claims, now time.Time) (time.Time, bool) {
	stamp := c.IssuedAt
	if stamp.IsZero() {
		stamp = c.NotBefore
		if stamp.IsZero() || stamp.Sub(now) > forPost {
			return stamp, false
		}
	}
	life := c.Expires.Sub(stamp)
	return stamp, !c.Expires.IsZero() && life >= 0 && life <= longest
}

// key names a token: by its jti, or by all of its signed content.
func (b *Book) key(c *token.Claims) uint64 {
	if c.ID != "" {
		return maphash.String(b.seed, c.ID)
	}
	return maphash.Bytes(b.seed, c.Raw)
}

// Date takes the Date header of an issuer's answer that no cache has kept: it
// was sent for at sent and had come at received.
func (b *Book) Date(issuer string, sent, received, date time.Time) {
	b.date(issuer, b.instant(sent), b.instant(received), date)
}

func (b *Book) date(issuer string, sent, received token.Instant, date time.Time) {
	wall, mono := received.Wall.Sub(sent.Wall), received.Mono-sent.Mono
	low := date.Sub(received.Wall)
	if mono < 0 || (wall-mono).Abs() > stepped || low.Abs() > farthest {
		return // this host's clock was set meanwhile, or there is none on the other side
	}
	is := b.issuer(issuer, received, true)
	if is == nil {
		return
	}
	is.mu.Lock()
	defer is.mu.Unlock()
	is.heard = received.Mono
	is.dates.add(sample{
		span: span{low, date.Add(time.Second).Sub(sent.Wall)},
		at:   received.Mono,
	})
}

// SetHost takes what this host knows of its own clock at now; nil: nothing. It
// counts for 5 minutes, or until this host's clock is set.
func (b *Book) SetHost(h *Host, now time.Time) {
	at := b.instant(now)
	b.watch(at)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hostAt, b.host = at.Mono, nil
	if h != nil {
		kept := *h
		b.host = &kept
	}
}

// Host returns what is known of this host's own clock at now.
func (b *Book) Host(now time.Time) (Host, bool) { return b.hostNow(b.instant(now)) }

func (b *Book) hostNow(at token.Instant) (Host, bool) {
	b.watch(at)
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.host == nil || at.Mono-b.hostAt > keep {
		return Host{}, false
	}
	return *b.host, true
}

// instant is now on this host's two clocks. A now without a monotonic reading
// has the wall clock for both.
func (b *Book) instant(now time.Time) token.Instant {
	b.mu.RLock()
	began := b.began
	b.mu.RUnlock()
	if began.IsZero() {
		b.mu.Lock()
		if b.began.IsZero() {
			b.began = now
		}
		began = b.began
		b.mu.Unlock()
	}
	return token.Instant{Wall: now.Round(0), Mono: now.Sub(began)}
}

// watch forgets everything when this host's two clocks have parted: one of them
// was set, or the host was suspended.
func (b *Book) watch(at token.Instant) {
	parted := at.Wall.Sub(b.start()) - at.Mono
	b.mu.RLock()
	whole := (parted - b.parted).Abs() <= stepped
	b.mu.RUnlock()
	if whole {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if (parted - b.parted).Abs() <= stepped {
		return
	}
	b.parted, b.host = parted, nil
	for _, is := range b.issuers {
		is.forget()
	}
}

// start is the wall clock's time at the first now.
func (b *Book) start() time.Time {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.began.Round(0)
}

// forget drops the witnesses, but not which tokens were seen.
func (is *issuer) forget() {
	is.mu.Lock()
	defer is.mu.Unlock()
	is.tokens, is.nodes, is.dates = window{}, nil, dates{}
}

// issuer finds an issuer; if asked to, it makes a place for a new one. Nil: not
// known, or there is no room.
func (b *Book) issuer(name string, at token.Instant, open bool) *issuer {
	b.watch(at)
	b.mu.RLock()
	is := b.issuers[name]
	b.mu.RUnlock()
	if is != nil || !open {
		return is
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if is := b.issuers[name]; is != nil {
		return is
	}
	if len(b.issuers) >= maxIssuers {
		b.dropIdle(at.Mono)
	}
	if len(b.issuers) >= maxIssuers {
		return nil
	}
	is = &issuer{heard: at.Mono}
	b.issuers[name] = is
	return is
}

// dropIdle forgets issuers of whom nothing was heard and whose tokens are over;
// b.mu is held.
func (b *Book) dropIdle(at time.Duration) {
	for name, is := range b.issuers {
		is.mu.Lock()
		if at-is.heard > idle && is.seen.over(at) {
			delete(b.issuers, name)
		}
		is.mu.Unlock()
	}
}

// windowOf is where a token of an instance counts; is.mu is held.
func (is *issuer) windowOf(node string, at time.Duration) *window {
	if node == "" {
		return &is.tokens
	}
	if w := is.nodes[node]; w != nil {
		return w
	}
	if len(is.nodes) >= maxNodes {
		for name, w := range is.nodes {
			if w.empty(at) {
				delete(is.nodes, name)
			}
		}
	}
	if len(is.nodes) >= maxNodes {
		return &is.tokens
	}
	if is.nodes == nil {
		is.nodes = map[string]*window{}
	}
	w := &window{}
	is.nodes[node] = w
	return w
}
