package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/longcase/longcase/gate"
	"github.com/longcase/longcase/gate/introspect"
	"github.com/longcase/longcase/internal/agent"
	"github.com/longcase/longcase/internal/chains"
	"github.com/longcase/longcase/internal/clock"
	"github.com/longcase/longcase/internal/config"
	"github.com/longcase/longcase/issuer"
	"github.com/longcase/longcase/issuer/keys"
	"github.com/longcase/longcase/issuer/password"
	"github.com/longcase/longcase/jwks"
	"github.com/longcase/longcase/token"
)

// passwordSlots is how many passwords are hashed at a time: 19 MiB each.
const passwordSlots = 2

// shift is the rooms of one configuration, from its start or reload to the
// next. The house (store, listeners, socket) stays.
type shift struct {
	house   *house
	cfg     *config.Config
	remotes *sources
	ring    *keys.Keyring // nil without an issuer, like the next three
	shared  *shared       // nil too where no other node uses the store
	clients *clients
	issuer  *issuer.Issuer
	gate    *gate.Gate           // nil without a gate
	askers  []*introspect.Source // of the gate
	chains  *chains.Chains       // nil without an agent, like the next
	agent   *agent.Agent
	clock   *clock.Watch    // nil where no room cares for the time of day
	audit   *os.File        // the gate's; nil for none; the house takes it over at the start
	before  <-chan struct{} // closed when the shift before has ended; nil for the first
	stop    context.CancelFunc
	done    chan struct{} // closed when everything has ended
}

// newShift makes the rooms of cfg, which take over the key sets of the shift
// before, if there is one. It reads files and the store, and starts nothing.
// What it writes to the store (a first key, a successor of another algorithm)
// comes last, when everything else is known to be right.
func newShift(ctx context.Context, h *house, cfg *config.Config, before *shift) (*shift, error) {
	s := &shift{house: h, cfg: cfg, done: make(chan struct{})}
	if s.remotes = newSources(h, nil); before != nil {
		s.remotes = newSources(h, before.remotes)
		s.before = before.done
	}
	if cfg.Issuer != nil {
		if err := s.newIssuer(ctx, cfg.Issuer); err != nil {
			return nil, err
		}
	}
	if cfg.Gate != nil {
		g, err := s.newGate(cfg.Gate)
		if err != nil {
			return nil, err
		}
		s.gate = g
	}
	if cfg.Agent != nil {
		if err := s.newAgent(cfg.Agent, before); err != nil {
			return nil, err
		}
	}
	if err := s.newClock(cfg); err != nil {
		return nil, err
	}
	if s.ring != nil {
		if err := s.loadKeys(ctx); err != nil {
			return nil, err
		}
	}
	if s.agent != nil {
		if err := s.agent.Prepare(); err != nil {
			return nil, err
		}
	}
	if cfg.Gate != nil {
		var err error
		s.audit, err = openAudit(cfg.Gate.Audit)
		return s, err
	}
	return s, nil
}

func (s *shift) newIssuer(ctx context.Context, c *config.Issuer) error {
	if err := s.newRing(c); err != nil {
		return err
	}
	var err error
	if s.clients, err = newClients(c.Clients, s.remotes, s.house.engine.Registry(), s.house.log); err != nil {
		return err
	}
	if err := s.clients.load(ctx); err != nil {
		return err
	}
	users, err := newUsers(c.Users)
	if err == nil {
		err = s.clients.clash(c.Users)
	}
	if err != nil {
		return err
	}
	l := c.Lifetimes
	s.issuer, err = issuer.New(issuer.Config{
		URL: c.URL, Engine: s.house.engine, Keys: s.ring, Clients: s.clients, Users: users,
		Lifetimes: issuer.Lifetimes{Access: l.Access, MaxAccess: l.MaxAccess, SessionIdle: l.SessionIdle,
			SessionAbsolute: l.SessionAbsolute, Code: l.Code, Backdate: l.Backdate, Grace: l.Grace},
		Node: thisNode(), Hooks: s.house.metrics.Issuer(), Log: s.house.log.With("room", "issuer"), Now: s.house.now,
	})
	return err
}

func (s *shift) newRing(c *config.Issuer) (err error) {
	registry := s.house.engine.Registry()
	if s.house.data.Database() {
		registry = timed{registry, s.house.storeClock}
	}
	s.ring, err = keys.New(keys.Config{
		Registry: registry, KEK: s.house.kek,
		Algorithm: c.Signing.Algorithm, Rotate: c.Signing.Rotate, PublishAhead: c.Signing.PublishAhead,
		Overlap: jwks.Overlap(c.Lifetimes.Access, c.Signing.PublishAhead), SessionAbsolute: c.Lifetimes.SessionAbsolute,
		Log: s.house.log.With("room", "keys"), Now: s.house.now,
	})
	if s.house.data.Database() {
		s.shared = newShared(s.ring)
	}
	return err
}

// loadKeys reads the keys and makes those that are due. A node whose clock is
// wrong makes none: it is not ready, and takes the ones that are there.
func (s *shift) loadKeys(ctx context.Context) error {
	err := s.ring.Load(ctx)
	if !errors.As(err, new(wrongClock)) {
		return err
	}
	s.house.log.Error("no keys are made or dropped until the clock is right", "err", err)
	return s.ring.Refresh(ctx)
}

// newClock makes what asks after this host's clock, for rooms that judge or date
// tokens by it.
func (s *shift) newClock(cfg *config.Config) (err error) {
	if cfg.Issuer == nil && cfg.Gate == nil {
		return nil
	}
	s.clock, err = clock.New(clock.Config{NTP: cfg.Clock.NTP, Tell: s.house.book.SetHost, Now: s.house.now, Log: s.house.log.With("room", "clock")})
	return err
}

// thisNode is the name of this machine's clock; none if the host has no name.
func thisNode() token.Node {
	host, err := os.Hostname()
	if err != nil {
		return ""
	}
	return token.NodeOf(host)
}

func newUsers(list []config.User) (*password.Users, error) {
	users := make([]password.User, len(list))
	for i, u := range list {
		hash, err := password.Parse(u.Password.Hash)
		if err != nil {
			return nil, fmt.Errorf("issuer.users[%d].password.hash: %w", i, err)
		}
		users[i] = password.User{Name: u.Name, Hash: hash}
	}
	return password.NewUsers(users, passwordSlots)
}

// start runs what must run until ctx ends or end is called. A room that ends
// before that ends the house.
func (s *shift) start(ctx context.Context) {
	s.remotes.start(ctx)
	s.house.audit.turn(s.audit)
	ctx, s.stop = context.WithCancel(ctx)
	g, ctx := errgroup.WithContext(ctx)
	run := func(f func(context.Context) error) {
		g.Go(func() error {
			if err := f(ctx); ctx.Err() == nil {
				return errors.Join(errors.New("a room ended by itself"), err)
			}
			return nil
		})
	}
	if s.issuer != nil {
		run(s.ring.Run)
		run(s.clients.run)
		run(s.issuer.Run)
		if s.shared != nil {
			run(s.followRevokedKeys)
		}
	}
	if s.gate != nil {
		run(s.gate.Run)
	}
	if s.clock != nil {
		run(s.clock.Run)
	}
	if s.agent != nil {
		run(s.publish)
		run(func(ctx context.Context) error { return s.chains.Run(ctx, published(s.cfg.Agent)) })
	}
	go func() {
		defer close(s.done)
		if err := g.Wait(); err != nil {
			select {
			case s.house.failed <- err:
			default: // another shift failed already
			}
		}
	}()
}

// publish keeps the published files fresh, once the shift before has put its pen
// down.
func (s *shift) publish(ctx context.Context) error {
	if s.before != nil {
		select {
		case <-ctx.Done():
		case <-s.before:
		}
	}
	return s.agent.Run(ctx)
}

// end stops what start started and waits for it. Key sets that next, which may
// be nil, uses too go on.
func (s *shift) end(next *shift) {
	s.stop()
	<-s.done
	for _, src := range s.askers {
		src.CloseIdleConnections()
	}
	if next == nil {
		s.remotes.end(nil)
		return
	}
	s.remotes.end(next.remotes)
	if s.agent != nil {
		s.agent.Retire(next.agent)
		s.forget(next)
	}
}

// settle waits until the gate of s can judge, at most bound: a reload must not
// open with a gate that refuses everybody.
func (s *shift) settle(ctx context.Context, bound time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	for s.gate != nil && s.gate.Ready() != nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// handler is what a room answers with, its health included. The agent tells
// nothing, this neither, to whom it would not give a credential.
func (s *shift) handler(p place) http.Handler {
	var beside func() map[string]any
	switch p.room {
	case roomGate:
		beside = func() map[string]any { return map[string]any{"clocks": clocks(s.house.book, s.house.now())} }
	case roomIssuer:
		beside = func() map[string]any { return map[string]any{"node": thisNode()} }
	}
	health := healthOf(s.checks(p.room), beside)
	if p.room == roomAgent {
		health = s.agent.Guard(health)
	}
	return withHealth(s.behind(p), health)
}

func (s *shift) behind(p place) http.Handler {
	switch p.room {
	case roomIssuer:
		return s.shared.freshKeys(s.issuer.Handler())
	case roomGate:
		return s.gate.Handler()
	case roomAgent:
		return s.agent.Handler(p.listen.Listen)
	default:
		return s.house.metrics.Handler()
	}
}

// checks are the lines of readyz on a room's listener. What credentials are
// called, and why one is missing, is not for whoever reaches the issuer or the
// gate.
func (s *shift) checks(room string) []check {
	var all []check
	if s.house.engine != nil {
		all = append(all, check{"store", s.house.storeReady})
	}
	if s.issuer != nil {
		all = append(all, check{"keys", s.ring.Ready}, check{"issuer", s.issuer.Ready})
	}
	if s.gate != nil {
		all = append(all, check{"gate", s.gate.Ready})
	}
	if s.agent != nil {
		ready := s.credentialsReady
		if room == roomIssuer || room == roomGate {
			ready = s.credentialsReadyOrNot
		}
		all = append(all, check{"credentials", ready})
	}
	return all
}
