package fresh_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/token"
)

// credential is what the services of a world issue. It holds its own truth.
type credential struct {
	service, serial int
	end             int64 // the first instant it is refused, by the issuer's clock, in Unix nanoseconds
}

// style is how a service says when its credential ends.
type style int

const (
	stated   style = iota // expires_in
	absolute              // an expiration and a Date
	rolling               // an expiration and a Date; the same credential until it has lived for four fifths
	file                  // as rolling, read again and again
	styles
)

// fault is what ails a service.
type fault int

const (
	healthy   fault = iota
	down            // connection refused, at once
	broken          // 503
	busy            // 429 with Retry-After
	truncated       // what cannot be parsed
	empty           // no value
	late            // a credential that is over
	panics          // the provider's code
	hangs           // until the context ends
	stuck           // hangs and does not look at the context
	faults
)

// maxWish is the longest Retry-After of a busy service.
const maxWish = 2 * time.Minute

// service issues credentials by the true time, and refuses those of its parents
// that are over or revoked, as a real one does.
type service struct {
	w       *world
	index   int
	style   style
	life    time.Duration
	latency time.Duration

	mu       sync.Mutex
	fault    fault
	wish     time.Duration
	cured    chan struct{} // closed when the fault is over
	current  credential
	revoked  int           // every serial up to this one
	under    int           // fetches under way
	stirred  bool          // a clock was stirred meanwhile
	patient  token.Instant // no fetch before
	calls    int
	restless *time.Timer
}

func (s *service) fetch(ctx context.Context, from ...fresh.Lease[credential]) (fresh.Credential[credential], error) {
	began := s.enter()
	defer s.leave()
	none := fresh.Credential[credential]{}
	for _, lease := range from {
		if s.w.over(lease.Value) && !s.w.host.justShifted() {
			s.w.violate("layer %d was fetched with %+v, over", s.index, lease)
		}
	}
	if err := sleep(ctx, s.latency/2); err != nil {
		return none, err
	}
	s.check(began)
	if err := s.suffer(ctx); err != nil {
		return none, err
	}
	for _, lease := range from {
		if s.w.services[lease.Value.service].refuses(lease.Value) {
			return none, fresh.Blame(lease, fresh.Fail(fresh.Refused, "401"))
		}
	}
	c := s.answer()
	return c, sleep(ctx, s.latency/2)
}

func (s *service) enter() (began token.Instant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	s.stirred = false
	if s.under++; s.under > 1 {
		s.w.violate("layer %d has %d fetches under way", s.index, s.under)
	}
	return s.w.read()
}

// check is made when all observers have heard what came before.
func (s *service) check(began token.Instant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !began.Reached(s.patient) {
		s.w.violate("layer %d fetched %s too early after %+v", s.index, began.Until(s.patient), s.w.books[s.index].last)
	}
}

// wait has the service expect no fetch for d.
func (s *service) wait(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.patient = s.w.read().Add(d - time.Microsecond)
}

func (s *service) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.under--
}

// suffer is the service's fault, if it has one.
func (s *service) suffer(ctx context.Context) error {
	s.mu.Lock()
	fault, wish, cured := s.fault, s.wish, s.cured
	s.mu.Unlock()
	switch fault {
	case down:
		return errors.New("connection refused")
	case broken:
		return fresh.Fail(fresh.Unavailable, "503")
	case busy:
		return &fresh.Error{Reason: fresh.Unavailable, Detail: "429", RetryAfter: wish}
	case truncated:
		return fresh.Fail(fresh.Malformed, "unexpected end of JSON input")
	case panics:
		panic("index out of range")
	case hangs:
		select {
		case <-cured:
		case <-ctx.Done():
			return ctx.Err()
		}
	case stuck:
		<-cured
	}
	return nil
}

// answer issues a credential, or gives the current one again.
func (s *service) answer() fresh.Credential[credential] {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.w.host.truth()
	rolls := s.style == rolling || s.style == file
	if !rolls || s.current.serial <= s.revoked || s.current.end-now.UnixNano() < int64(s.life/5) {
		s.current = credential{s.index, s.current.serial + 1, now.Add(s.life).UnixNano()}
	}
	c := fresh.Credential[credential]{Value: s.current}
	switch s.fault {
	case empty:
		c.Value = credential{}
	case late:
		c.Value.end = now.Add(-time.Second).UnixNano()
	}
	if s.style == stated && s.fault != late {
		c.Life = s.life
		return c
	}
	c.Expires, c.Date = time.Unix(0, c.Value.end), now.Truncate(time.Second)
	if s.w.mute {
		c.Date = time.Time{}
	}
	if s.style == file {
		c.Recheck = s.recheck()
	}
	return c
}

func (s *service) recheck() time.Duration { return max(s.life/10, time.Second) }

// refuses is what a service says of a credential that s issued.
func (s *service) refuses(c credential) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.over(c) || c.serial <= s.revoked
}

func (s *service) revoke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revoked = s.current.serial
}

// ail begins a fault that is over after d.
func (s *service) ail(f fault, wish, d time.Duration) {
	s.cure()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault, s.wish, s.cured = f, wish, make(chan struct{})
	s.restless = time.AfterFunc(d, s.cure)
}

func (s *service) cure() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault != healthy {
		s.restless.Stop()
		close(s.cured)
	}
	s.fault = healthy
}

// world is a random chain of layers, the services under it and the machine that
// it runs on.
type world struct {
	seed     uint64
	rng      *rand.Rand
	host     host
	read     func() token.Instant
	clocks   bool // they are set, and the machine sleeps
	revoking bool // credentials are revoked early
	mute     bool // services do not say their time
	services []*service
	layers   []*fresh.Layer[credential]
	books    []*book

	gets atomic.Int64
	mu   sync.Mutex
	bad  []string
}

// control breaks a world on purpose. The zero control breaks nothing.
type control struct {
	clock func(*world) token.Instant
	mute  bool
}

func newWorld(seed uint64, c control) *world {
	w := &world{seed: seed, rng: rand.New(rand.NewPCG(seed, 4)), mute: c.mute}
	w.clocks = c.clock != nil || c.mute || w.rng.IntN(2) == 0
	if w.clocks {
		w.host.set = time.Duration(w.rng.IntN(3)-1) * time.Hour
	}
	w.read = w.host.now
	if c.clock != nil {
		w.read = func() token.Instant { return c.clock(w) }
	}
	w.revoking = w.rng.IntN(2) == 0
	for i := range 1 + w.rng.IntN(5) {
		w.add(i)
	}
	return w
}

// add adds a layer on none, one or two of those there are.
func (w *world) add(i int) {
	life := time.Duration(math.Exp(w.rng.Float64()*math.Log(86400)) * float64(time.Second))
	kind := style(w.rng.IntN(int(styles)))
	if kind != stated {
		life = max(life, 20*time.Second) // Date has whole seconds: where this host's clock is wrong, shorter ends cannot be told
	}
	s := &service{w: w, index: i, style: kind, life: life, latency: 1000 + time.Duration(w.rng.Float64()*float64(min(life/20, 400*time.Millisecond)))}
	b := &book{w: w, layer: i}
	jitter := rand.New(rand.NewPCG(w.seed, uint64(i)))
	policy := fresh.Policy{Name: fmt.Sprint("layer", i), Now: w.read, Rand: jitter.Float64, Observe: b.note}
	if w.rng.IntN(4) == 0 {
		policy.Ahead, policy.Buffer = fresh.Span{Length: 5 * time.Minute}, fresh.Span{Length: 10 * time.Second}
	}
	w.services, w.books = append(w.services, s), append(w.books, b)
	var l *fresh.Layer[credential]
	switch parents := min(w.rng.IntN(4), i+1, 2); {
	case i == 0 || parents == 0:
		l = fresh.New(func(ctx context.Context, _ time.Time) (fresh.Credential[credential], error) { return s.fetch(ctx) }, policy)
	case parents == 1 || i == 1:
		l = fresh.From(w.layers[i-1], func(ctx context.Context, from fresh.Lease[credential], _ time.Time) (fresh.Credential[credential], error) {
			return s.fetch(ctx, from)
		}, policy)
	default:
		l = fresh.Join(w.layers[i-1], w.layers[w.rng.IntN(i-1)], func(ctx context.Context, one, two fresh.Lease[credential], _ time.Time) (fresh.Credential[credential], error) {
			return s.fetch(ctx, one, two)
		}, policy)
	}
	w.layers = append(w.layers, l)
}

// over is the truth.
func (w *world) over(c credential) bool { return w.host.truth().UnixNano() >= c.end }

func (w *world) violate(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.bad) < 5 {
		w.bad = append(w.bad, fmt.Sprintf("%s: ", w.host.truth().Format("2006-01-02 15:04:05.000"))+fmt.Sprintf(format, args...))
	}
}

func (w *world) violations() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.bad
}

// book checks that what an observer hears of a layer makes sense.
type book struct {
	w          *world
	layer      int
	generation uint64
	inHand     bool
	refused    bool
	failing    bool
	last       fresh.Event
}

func (b *book) note(e fresh.Event) {
	next, sane := b.generation+1, false
	switch e.Kind {
	case fresh.Obtained:
		sane = e.Generation == next && !b.refused
	case fresh.RenewedAhead, fresh.RenewedLate:
		sane = e.Generation == next && b.inHand
	case fresh.Healed:
		sane = e.Generation == next && b.refused
	case fresh.Unchanged:
		sane = e.Generation == b.generation && b.inHand || e.Generation == next && b.refused
	case fresh.RefusedLease:
		sane = b.inHand && e.Generation == 0
	case fresh.ExpiredInHand:
		sane = b.inHand && e.Generation == 0
	case fresh.Failed:
		sane = e.Err != nil && e.Wait >= 0 && e.Wait <= maxWish && (e.Generation == b.generation || e.Generation == 0)
	}
	if !sane {
		b.w.violate("layer %d heard %s of generation %d (%v) after %+v", b.layer, e.Kind, e.Generation, e.Err, *b)
	}
	b.last = e
	b.expect(e)
	switch e.Kind {
	case fresh.Failed:
	case fresh.RefusedLease:
		b.inHand, b.refused = false, true
	case fresh.ExpiredInHand:
		b.inHand = false
	default:
		b.generation, b.inHand, b.refused = e.Generation, true, false
	}
}

// expect has the service expect no fetch for a while: after a failure of its own
// for the backoff, after a success for a quarter of the life.
func (b *book) expect(e fresh.Event) {
	s := b.w.services[b.layer]
	left := e.Expires.Sub(b.w.read().Wall)
	switch e.Kind {
	case fresh.ExpiredInHand:
	case fresh.RefusedLease:
		if !b.failing {
			s.wait(-time.Hour)
		}
	case fresh.Failed:
		b.failing = true
		var own, parents *fresh.Error
		if errors.As(e.Err, &own) && (!errors.As(own.Err, &parents) || parents.Layer == "") {
			s.wait(e.Wait)
		}
	case fresh.Unchanged:
		b.failing = false
		s.wait(min(left/20, time.Second))
	default:
		b.failing = false
		if s.style == file {
			left = min(left, 4*s.recheck())
		}
		s.wait(left / 4)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
