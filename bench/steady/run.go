package steady

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/longcase/longcase/store"
)

// clock is the time of a store under test, moved by hand.
type clock struct{ unix atomic.Int64 }

func newClock(at time.Time) *clock {
	c := &clock{}
	c.unix.Store(at.UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.unix.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.unix.Add(int64(d)) }

// start is where runs begin: in the middle of every bucket.
func start() time.Time { return time.Date(2026, 3, 1, 12, 31, 31, 0, time.UTC) }

// service is a token service in small: it begins sessions at a constant rate and
// refreshes those it began.
type service struct {
	load    Load
	engine  store.Engine
	clock   *clock
	writers int

	due     map[int64][]*held // by the step in which they are refreshed next
	step    int64
	carry   [5]float64 // fractions of records that are not begun yet
	records int64      // written
}

// held is what a client holds of its session: a refresh token.
type held struct {
	session store.Session
	begun   time.Time
	left    int // refreshes
}

func newService(load Load, engine store.Engine, clock *clock, writers int) *service {
	return &service{load: load, engine: engine, clock: clock, writers: writers, due: map[int64][]*held{}}
}

// whole is how many records of a rate begin in this step.
func (s *service) whole(i int, rate float64) int {
	s.carry[i] += rate * s.load.Step.Seconds()
	n := math.Floor(s.carry[i])
	s.carry[i] -= n
	return int(n)
}

// advance lives through one step.
func (s *service) advance(ctx context.Context) error {
	begin, work := s.due[s.step], []func(context.Context) error{}
	delete(s.due, s.step)
	for _, h := range begin {
		work = append(work, func(ctx context.Context) error { return s.refresh(ctx, h) })
		s.later(h)
	}
	for range s.whole(0, s.load.Sessions) {
		h := &held{left: int(s.load.Refreshes())}
		work = append(work, func(ctx context.Context) error { return s.begin(ctx, h) })
		s.later(h)
	}
	for range s.whole(1, s.load.Proofs+s.load.Tokens()*s.load.Assertions) {
		work = append(work, s.mark)
	}
	s.records += int64(len(work))
	err := s.all(ctx, work)
	s.clock.advance(s.load.Step)
	s.step++
	return err
}

// later puts h where it is refreshed next. Each has its own moment within the
// step, as it began.
func (s *service) later(h *held) {
	if h.left--; h.left >= 0 {
		at := s.step + int64(s.load.Every/s.load.Step)
		s.due[at] = append(s.due[at], h)
	}
}

// all does the work with so many writers, in a random order.
func (s *service) all(ctx context.Context, work []func(context.Context) error) error {
	rand.Shuffle(len(work), func(i, j int) { work[i], work[j] = work[j], work[i] })
	var wg sync.WaitGroup
	errs := make([]error, s.writers)
	for w := range s.writers {
		wg.Go(func() {
			for i := w; i < len(work) && errs[w] == nil; i += s.writers {
				errs[w] = work[i](ctx)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// begin is a sign-in: a login, a code, its exchange for a session.
func (s *service) begin(ctx context.Context, h *held) error {
	now := s.clock.now()
	h.session, h.begun = s.load.session(now), now
	if rand.Float64() < s.load.Logins {
		if err := s.engine.Documents().Put(ctx, s.load.login(now, h.session.Subject)); err != nil {
			return err
		}
	}
	if s.load.Codes {
		code := s.load.code(now, h.session.Subject)
		if err := s.engine.Documents().Put(ctx, code); err != nil {
			return err
		}
		if err := s.engine.Documents().Replace(ctx, used(code, h.session.ID), 1); err != nil {
			return err
		}
	}
	if err := s.engine.Sessions().Create(ctx, h.session); err != nil {
		return err
	}
	if rand.Float64() < s.load.Revoked {
		return s.end(ctx, h.session.ID, now)
	}
	return nil
}

func (s *service) end(ctx context.Context, id store.ID, now time.Time) error {
	r := store.Revocation{Kind: store.RevokedSession, Value: id.String(), End: now.Add(s.load.Access + 11*time.Minute).Truncate(time.Second)}
	return errors.Join(s.engine.Revocations().Add(ctx, r), s.engine.Sessions().Revoke(ctx, id))
}

// refresh rotates h's session.
func (s *service) refresh(ctx context.Context, h *held) error {
	one, err := s.engine.Sessions().Load(ctx, h.session.ID)
	if err != nil {
		return fmt.Errorf("refresh of a session begun at %v: %w", h.begun, err)
	}
	if one.Ended {
		return nil
	}
	one.Generation++
	one.Data = s.load.sessionData(h.begun, s.clock.now())
	return s.engine.Sessions().Replace(ctx, one, one.Generation-1)
}

// mark is a single use.
func (s *service) mark(ctx context.Context) error {
	first, err := s.engine.Marks().First(ctx, store.Mark{Kind: "assertion", Scope: "service-a", Value: fmt.Sprint(rand.Uint64(), rand.Uint64()), End: s.clock.now().Add(2 * time.Minute)})
	if err == nil && !first {
		err = errors.New("steady: a new mark was not the first")
	}
	return err
}

// retire does what the server's timer does.
func (s *service) retire(ctx context.Context) error {
	_, err := s.engine.Retire(ctx, s.clock.now().Add(-store.RetireDelay))
	return err
}
