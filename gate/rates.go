package gate

import (
	"hash/maphash"
	"math"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/longcase/longcase/token"
)

// Rates bound how often one client or one address may ask. Zero: no bound.
type Rates struct {
	// Client is in requests per second of one client_id of one issuer, with bursts
	// of a second's worth. Only accepted tokens count, so that nobody uses up a
	// client's share without one of its tokens. A token without client_id counts
	// for its subject.
	Client float64
	// Address is in requests per second of one address, with bursts of a second's
	// worth, before anything else is looked at. IPv6 counts by /64. Behind a
	// trusted proxy it is the right-most address of X-Forwarded-For that is not
	// one, so a proxy that sends none is one address with all its clients; whoever
	// has no address at all shares one bound.
	Address float64
}

const (
	maxBuckets = 1 << 17 // of one kind of key; some 20 MiB
	stripes    = 1 << 10 // bounds shared by those for whom there is no room
)

// clientKey names a client: the same client_id at another issuer is another one.
type clientKey struct {
	issuer, client, subject string
}

// tooOftenFrom bounds the address a request came from: nil, or RateLimited.
func (g *Gate) tooOftenFrom(r *Request, o *outcome) *token.Error {
	if g.addresses == nil {
		return nil
	}
	var key netip.Prefix // of everybody without an address
	if ip, ok := g.client(r.Peer, r.Header); ok {
		key = network(ip)
	}
	o.wait = g.addresses.take(maphash.Comparable(g.addresses.seed, key), o.now)
	return rateLimited("this address", g.cfg.Rates.Address, o.wait)
}

// network is ip, or for IPv6 the /64 that one host has to itself.
func network(ip netip.Addr) netip.Prefix {
	bits := 64
	if ip.Is4() {
		bits = 32
	}
	p, _ := ip.Prefix(bits) // fails for no address of that family
	return p
}

// tooOftenBy bounds the client of an accepted token: nil, or RateLimited.
func (g *Gate) tooOftenBy(c *token.Claims, o *outcome) *token.Error {
	if g.clients == nil {
		return nil
	}
	o.wait = g.clients.take(g.clients.client(c), o.now)
	o.counted = o.wait == 0
	return rateLimited("this client", g.cfg.Rates.Client, o.wait)
}

// giveBack undoes what tooOftenBy took, for a token that was refused after all:
// whoever repeats what a client sent once uses up nothing of its share.
func (g *Gate) giveBack(c *token.Claims, o *outcome) {
	if o.counted {
		g.clients.giveBack(g.clients.client(c), o.now)
	}
}

// client is the key of a token's client.
func (l *limiter) client(c *token.Claims) uint64 {
	key := clientKey{issuer: c.Issuer, client: c.ClientID}
	if c.ClientID == "" {
		key.subject = c.Subject
	}
	return maphash.Comparable(l.seed, key)
}

func rateLimited(who string, perSecond float64, wait time.Duration) *token.Error {
	if wait <= 0 {
		return nil
	}
	return token.Refuse(token.RateLimited, "%s may ask %g times a second", who, perSecond)
}

// isRate reports whether r can be a rate.
func isRate(r float64) bool { return r >= 0 && !math.IsInf(r, 0) && !math.IsNaN(r) }

// limiter keeps one bucket for each key, and no more than most. A bucket that
// nobody took from for as long as it takes to fill up is as good as a new one,
// so it can be forgotten; one that is in use never is. Where there is no room
// left, keys share buckets: to send from more addresses buys nobody a bound of
// its own. Keys are hashes under a seed nobody knows, since a client_id may be
// long.
type limiter struct {
	limit rate.Limit
	burst int
	fills time.Duration // from empty to full
	most  int
	seed  maphash.Seed

	mu      sync.Mutex
	latest  time.Time     // of what forward gave
	back    time.Duration // how far the clock of the program was set back
	turned  time.Time
	young   map[uint64]*rate.Limiter // taken from since turned
	old     map[uint64]*rate.Limiter // taken from in the turn before
	sharing [stripes]*rate.Limiter
}

// newLimiter is nil for a rate of zero.
func newLimiter(perSecond float64, most int) *limiter {
	if perSecond <= 0 || !isRate(perSecond) {
		return nil
	}
	burst := math.Ceil(min(perSecond, math.MaxInt32))
	return &limiter{
		limit: rate.Limit(perSecond), burst: int(burst), most: most, seed: maphash.MakeSeed(),
		fills: time.Duration(min(burst/perSecond*float64(time.Second), math.MaxInt64/4)),
		young: map[uint64]*rate.Limiter{}, old: map[uint64]*rate.Limiter{},
	}
}

// take takes one request from the bucket of key: zero, or how long to wait until
// there is one.
func (l *limiter) take(key uint64, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now = l.forward(now)
	bucket := l.bucket(key, now)
	if bucket.AllowN(now, 1) {
		return 0
	}
	lacking := max(1-bucket.TokensAt(now), 0) / float64(l.limit) * float64(time.Second)
	return max(time.Duration(min(lacking, math.MaxInt64/4)), 1)
}

// giveBack undoes one take that passed.
func (l *limiter) giveBack(key uint64, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now = l.forward(now)
	l.bucket(key, now).AllowN(now, -1)
}

// forward is now on a clock that is never set back: a bucket would fill up for the
// same time twice. A request that waited for keys comes with an instant that is
// over by seconds; if it is by more, the program's clock was set back. l.mu is
// held.
func (l *limiter) forward(now time.Time) time.Time {
	now = now.Add(l.back)
	if d := l.latest.Sub(now); d > slowest {
		l.back += d
	}
	if now.After(l.latest) {
		l.latest = now
	}
	return l.latest
}

// bucket is called with l.mu held.
func (l *limiter) bucket(key uint64, now time.Time) *rate.Limiter {
	l.turn(now)
	if b := l.young[key]; b != nil {
		return b
	}
	b := l.old[key]
	switch {
	case b != nil:
		delete(l.old, key)
	case len(l.young)+len(l.old) >= l.most:
		return l.shared(key)
	default:
		b = rate.NewLimiter(l.limit, l.burst)
	}
	l.young[key] = b
	return b
}

// turn forgets what was not taken from for at least one whole turn.
func (l *limiter) turn(now time.Time) {
	since := now.Sub(l.turned)
	if since < l.fills {
		return
	}
	l.old, l.young = l.young, map[uint64]*rate.Limiter{}
	if since >= 2*l.fills {
		l.old = map[uint64]*rate.Limiter{}
	}
	l.turned = now
}

func (l *limiter) shared(key uint64) *rate.Limiter {
	at := &l.sharing[key%stripes]
	if *at == nil {
		*at = rate.NewLimiter(l.limit, l.burst)
	}
	return *at
}
