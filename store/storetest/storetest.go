// Package storetest is the suite that every engine passes: what package store
// promises, as facts with names. An engine's own test is one call:
//
//	storetest.Run(t, storetest.Traits{}, func(tb testing.TB, cfg storetest.Config) store.Engine {
//		return memory.New(memory.Config{Now: cfg.Now, MaxMarks: cfg.MaxMarks})
//	})
//
// The suite's own tests run it against engines that are broken on purpose.
package storetest

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/longcase/longcase/store"
)

// Config is how the suite wants an engine opened.
type Config struct {
	Now      func() time.Time // the store's clock
	MaxMarks int              // live marks at most
}

// Open returns an empty engine. The suite closes it; what else must be cleaned
// up is for tb.Cleanup.
type Open func(tb testing.TB, cfg Config) store.Engine

// Traits is where engines differ, within the contract.
type Traits struct {
	Uncounted bool // marks are bounded by the disk, not by their number
	OwnClock  bool // Clock is the node's own (Config.Now), not a server's

	// Again opens one more node on the store of e, with a clock of its own, for
	// engines that several may share. The suite closes it.
	Again func(tb testing.TB, e store.Engine, cfg Config) store.Engine
	// Forever returns what would stay in the store of e for ever: rows of
	// sessions, documents, marks and revocations that neither end by themselves
	// nor lie in what Retire will drop. For engines whose rows have an end each.
	Forever func(tb testing.TB, e store.Engine) []string
}

// Run checks every fact, each with an engine of its own.
func Run(t *testing.T, traits Traits, open Open) {
	for _, f := range facts() {
		if !f.applies(traits) {
			continue
		}
		t.Run(f.name, func(t *testing.T) { f.check(newSubject(t, open, traits)) })
	}
}

// Count scales a large count: all of it with LONGCASE_LONG=1, else a twentieth,
// at least one.
func Count(n int) int {
	if os.Getenv("LONGCASE_LONG") == "1" {
		return n
	}
	return max(n/20, 1)
}

type fact struct {
	name   string
	check  func(*subject)
	counts bool // not for Traits.Uncounted
	nodes  bool // needs Traits.Again
}

func (f fact) applies(t Traits) bool {
	return (!f.counts || !t.Uncounted) && (!f.nodes || t.Again != nil)
}

func facts() []fact {
	var all []fact
	for _, part := range [][]fact{
		sessionFacts(), documentFacts(), markFacts(), revocationFacts(), registryFacts(), lifeFacts(), movableFacts(),
	} {
		all = append(all, part...)
	}
	for _, f := range nodeFacts() {
		f.nodes = true
		all = append(all, f)
	}
	return all
}

// maxMarks is the bound the suite opens engines with; no fact but that of the
// bound makes so many.
const maxMarks = 256

// subject is one engine under test and the clock it goes by.
type subject struct {
	testing.TB
	store.Engine
	open   Open
	traits Traits
	clock  *clock
}

func newSubject(tb testing.TB, open Open, traits Traits) *subject {
	// Away from a bucket's edge, so that what ends in an hour ends inside one.
	s := &subject{TB: tb, open: open, traits: traits, clock: &clock{at: time.Date(2026, 3, 1, 10, 1, 7, 0, time.UTC)}}
	s.Engine = open(tb, Config{Now: s.clock.Now, MaxMarks: maxMarks})
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("Close: %v", err)
		}
	})
	return s
}

// clock is time that only the suite moves.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) set(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = at
}

func (s *subject) now() time.Time          { return s.clock.Now() }
func (s *subject) advance(d time.Duration) { s.clock.set(s.now().Add(d)) }

// must stops at an error.
func (s *subject) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// want compares an error by identity; nil wants none.
func (s *subject) want(what string, got, want error) {
	s.Helper()
	if !errors.Is(got, want) || want == nil && got != nil {
		s.Errorf("%s = %v, want %v", what, got, want)
	}
}

// session makes a session that ends after life; it is not written.
func (s *subject) session(life time.Duration) store.Session {
	end := s.now().Add(life)
	return store.Session{ID: store.NewID(s.now(), end), End: end, Generation: 1, Client: "web", Subject: "alice", Data: []byte("data")}
}

// created makes and writes one.
func (s *subject) created(life time.Duration) store.Session {
	s.Helper()
	one := s.session(life)
	s.must(s.Sessions().Create(s.Context(), one))
	return one
}

// rotate writes one at the generation behind old.
func (s *subject) rotate(one store.Session, old store.Generation) error {
	one.Generation = old + 1
	return s.Sessions().Replace(s.Context(), one, old)
}

func (s *subject) document(kind store.DocumentKind, life time.Duration) store.Document {
	end := s.now().Add(life)
	return store.Document{Kind: kind, ID: store.NewID(s.now(), end), End: end, Data: []byte("fresh")}
}

func (s *subject) revocation(value string, life time.Duration) store.Revocation {
	return store.Revocation{Kind: store.RevokedSession, Value: value, End: s.now().Add(life)}
}

func (s *subject) mark(value string, life time.Duration) store.Mark {
	return store.Mark{Kind: "assertion", Scope: "client", Value: value, End: s.now().Add(life)}
}

// together runs f n times at once and returns how many returned true.
func together(n int, f func(i int) bool) int {
	var wg sync.WaitGroup
	start, won := make(chan struct{}), make([]bool, n)
	for i := range n {
		wg.Go(func() {
			<-start
			won[i] = f(i)
		})
	}
	runtime.Gosched()
	close(start)
	wg.Wait()
	count := 0
	for _, w := range won {
		if w {
			count++
		}
	}
	return count
}
