// Package remote keeps the key set of an issuer that is elsewhere: it finds it
// by discovery, fetches it before it is needed, and goes on serving the last
// good one while the issuer cannot be reached.
//
// One goroutine, Run, does all fetching; whoever asks for an unknown key waits
// for it a moment and shares its answer with all others. It follows no redirect,
// reads no unbounded body, and dials no private address unless the issuer itself
// is on loopback.
//
//	source, err := remote.New(remote.Config{Issuer: "https://tokens.example.com"})
//	go source.Run(ctx)
//	keys, err := source.Keys(ctx, kid, alg)
//
// Sources: RFC 7517, RFC 8414, OpenID Connect Discovery 1.0, RFC 9111.
package remote

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/longcase/longcase/jwks"
	"github.com/longcase/longcase/token"
)

// The times of a Source.
const (
	cooldown  = 30 * time.Second // between two fetches for unknown kids
	patience  = 2 * time.Second  // how long a caller waits for a fetch
	memory    = 60 * time.Second // how long a kid that was not there starts no fetch again
	maxAbsent = 1024             // such kids that are remembered

	// A key that was withdrawn has a successor that signs at once. Its first
	// tokens may be here before the feed's word is, while the cool-down forbids
	// to ask: they wait a moment for that fetch.
	lingerFor    = 250 * time.Millisecond
	maxLingering = 256 // callers

	defaultStale = 24 * time.Hour
)

// Config is what a Source needs. Issuer or URL is required.
type Config struct {
	Issuer string // issuer identifier, byte for byte; its metadata says where the keys are
	URL    string // the key set itself; then there is no discovery

	Client  *http.Client                         // default one that dials no private address; redirects are never followed
	Stale   time.Duration                        // how long the last good set, and the place of it, serve when they cannot be fetched; default 24 h
	Now     func() time.Time                     // default time.Now
	Log     *slog.Logger                         // default slog.Default()
	Changed func()                               // called by Run after the set has changed; may be nil
	Dated   func(sent, received, date time.Time) // called by Run with the Date of each good answer that no cache kept; may be nil
}

// Source is the keys of one issuer. It implements verify.Keys.
type Source struct {
	cfg   Config
	fetch fetcher              // Run's
	held  atomic.Pointer[held] // nil: nothing was fetched yet
	wake  chan struct{}        // holds one: wanted is set

	mu      sync.Mutex
	wanted  *flight   // asked for, not begun
	flying  *flight   // under way
	word    bool      // the feed asked for wanted
	landing *flight   // done when the next fetch is, whoever asked for it
	linger  int       // callers that wait for landing
	asked   time.Time // when an unknown kid last asked for a fetch
	failure error     // of the last fetch; nil: it was good
	lost    error     // of discovery, while the keys' last place answers
	absent  map[kidAlg]time.Time
}

// held is the last good set.
type held struct {
	set   jwks.Set
	since time.Time // when it was asked for
	until time.Time // when it is too old; zero while fetches are good
}

// flight is one fetch and all who wait for it.
type flight struct{ done chan struct{} }

type kidAlg struct {
	kid string
	alg token.Algorithm
}

// New checks cfg and returns a Source that holds nothing yet. It does no I/O and
// starts no goroutine. The error names every field that is wrong.
func New(cfg Config) (*Source, error) {
	r, err := newRules(cfg)
	if err != nil {
		return nil, err
	}
	if cfg.Stale == 0 {
		cfg.Stale = defaultStale
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Changed == nil {
		cfg.Changed = func() {}
	}
	return &Source{
		cfg:     cfg,
		fetch:   fetcher{rules: r, client: newClient(cfg.Client, r), now: cfg.Now, stale: cfg.Stale, dated: cfg.Dated},
		wake:    make(chan struct{}, 1),
		wanted:  newFlight(),
		landing: newFlight(),
		absent:  map[kidAlg]time.Time{},
	}, nil
}

func newFlight() *flight { return &flight{done: make(chan struct{})} }

// Keys returns the issuer's keys for kid (empty: any) and alg. A key that is in
// the set costs one atomic load. For another one it waits 2.25 s at most, and no
// longer than ctx allows, for a fetch that all callers share; after one that
// does not bring the key there is none for 30 s. The error is an *token.Error
// with UnknownKey or KeysUnavailable.
func (s *Source) Keys(ctx context.Context, kid string, alg token.Algorithm) ([]token.Key, error) {
	if keys := s.find(kid, alg); len(keys) > 0 {
		return keys, nil
	}
	if len(kid) > jwks.MaxKeyID {
		return s.unnamed(kid, alg) // no set holds it
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for range 2 { // the fetch that is under way, then one of its own
		f := s.ask(kid, alg)
		if f == nil {
			break
		}
		select {
		case <-f.done:
		case <-timer.C:
			return s.unnamed(kid, alg)
		case <-ctx.Done():
			return s.unnamed(kid, alg)
		}
		if keys := s.find(kid, alg); len(keys) > 0 {
			s.refund()
			return keys, nil
		}
		s.remember(kid, alg)
	}
	keys, err := s.unnamed(kid, alg)
	if err != nil {
		if late := s.comes(ctx, kid, alg); len(late) > 0 {
			return late, nil
		}
	}
	return keys, err
}

// comes waits a moment for a fetch that somebody else asks for, and returns what
// it brought.
func (s *Source) comes(ctx context.Context, kid string, alg token.Algorithm) []token.Key {
	f := s.join(kid, alg)
	if f == nil {
		return nil
	}
	timer := time.NewTimer(lingerFor)
	defer timer.Stop()
	select {
	case <-f.done:
	case <-timer.C:
	case <-ctx.Done():
	}
	s.mu.Lock()
	s.linger--
	s.mu.Unlock()
	return s.find(kid, alg)
}

// join returns the next fetch to wait for; nil for a kid that a fetch did not
// bring, while fetches fail, and where many wait already.
func (s *Source) join(kid string, alg token.Algorithm) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.linger >= maxLingering || s.failure != nil || kid == "" || s.cfg.Now().Before(s.absent[kidAlg{kid, alg}]) {
		return nil
	}
	s.linger++
	return s.landing
}

// Holds reports whether key is in the set in use. It waits for no fetch.
func (s *Source) Holds(kid string, alg token.Algorithm, key token.Key) bool {
	h := s.live()
	return h != nil && h.set.Holds(kid, alg, key)
}

// live is the set in use, nil if there is none or it is too old. While fetches
// are good it reads no clock.
func (s *Source) live() *held {
	h := s.held.Load()
	if h == nil || !h.until.IsZero() && !s.cfg.Now().Before(h.until) {
		return nil
	}
	return h
}

// find returns the keys that have this kid.
func (s *Source) find(kid string, alg token.Algorithm) []token.Key {
	h := s.live()
	if h == nil {
		return nil
	}
	keys := h.set.Find(kid, alg)
	if kid != "" && len(keys) > 0 && keys[0].ID() != kid {
		return nil // keys without a kid come last, see unnamed
	}
	return keys
}

// unnamed returns the keys without a kid, which may be the one that is asked
// for, or says why there is no key.
func (s *Source) unnamed(kid string, alg token.Algorithm) ([]token.Key, error) {
	if h := s.live(); h != nil {
		if keys := h.set.Find(kid, alg); len(keys) > 0 {
			return keys, nil
		}
	}
	return nil, s.refuse(kid, alg)
}

// ask returns the fetch to wait for, nil if there is none and none may begin.
func (s *Source) ask(kid string, alg token.Algorithm) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.flying != nil:
		return s.flying
	case s.wanted != nil:
		return s.wanted
	case s.failure != nil:
		return nil // fetches go on by themselves until one is good
	}
	now := s.cfg.Now()
	if now.Sub(s.asked) < cooldown || now.Before(s.absent[kidAlg{kid, alg}]) {
		return nil
	}
	s.asked = now
	return s.want()
}

// want asks Run for a fetch; s.mu is held.
func (s *Source) want() *flight {
	if s.wanted == nil {
		s.wanted = newFlight()
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return s.wanted
}

// refund ends the cool-down: the kid was the issuer's, who may change keys again
// soon. Strangers cannot cause it.
func (s *Source) refund() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = time.Time{}
}

// remember that a good fetch did not bring the key: the same stranger's token
// does not use up the next fetch too.
func (s *Source) remember(kid string, alg token.Algorithm) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure != nil {
		return
	}
	if len(s.absent) >= maxAbsent {
		clear(s.absent)
	}
	now := s.cfg.Now()
	if q := (kidAlg{kid, alg}); !now.Before(s.absent[q]) { // those who waited together remember once
		s.absent[q] = now.Add(memory)
	}
}

// Refresh is the feed's word that the issuer's keys have changed: they are
// fetched at once, even if a fetch is under way. It does not wait, and it does
// not count as a fetch for an unknown kid.
func (s *Source) Refresh() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.word = true
	s.want()
}

// Ready returns nil while there is a set to verify with, or why there is none.
func (s *Source) Ready() error {
	if s.live() != nil {
		return nil
	}
	return s.unavailable()
}

func (s *Source) unavailable() error {
	e := token.Refuse(token.KeysUnavailable, "the keys of %s have not been fetched yet", s.fetch.rules.name)
	if h := s.held.Load(); h != nil {
		ago := s.cfg.Now().Sub(h.since).Round(time.Second)
		e = token.Refuse(token.KeysUnavailable, "the keys of %s were last fetched %s ago", s.fetch.rules.name, ago)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e.Err = s.failure
	return e
}

// refuse says why there is no key.
func (s *Source) refuse(kid string, alg token.Algorithm) error {
	h := s.live()
	if h == nil {
		return s.unavailable()
	}
	e := jwks.Unknown(kid, alg)
	e.Detail += fmt.Sprintf(" (%s, fetched %s ago)", s.fetch.rules.name, s.cfg.Now().Sub(h.since).Round(time.Second))
	s.mu.Lock()
	defer s.mu.Unlock()
	e.Err = s.failure
	return e
}
