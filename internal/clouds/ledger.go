package clouds

import (
	"sync"
	"time"
)

// ledger is what a double that hands out tokens remembers: those that are out,
// of type G, and how its next calls fail, of type F, whose zero value is no fault.
type ledger[G interface{ over(now time.Time) bool }, F any] struct {
	mu     sync.Mutex
	life   time.Duration // of new tokens
	live   map[string]G
	kept   map[string]string // tokens that are handed out again, by what they were asked for with
	calls  map[string]int
	faults map[string][]F
}

func newLedger[G interface{ over(now time.Time) bool }, F any](life time.Duration) *ledger[G, F] {
	if life == 0 {
		life = time.Hour
	}
	return &ledger[G, F]{life: life, live: map[string]G{}, kept: map[string]string{}, calls: map[string]int{}, faults: map[string][]F{}}
}

// count counts a call and returns the fault it is to meet, or none.
func (l *ledger[G, F]) count(endpoint string) (none F) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls[endpoint]++
	next := l.faults[endpoint]
	if len(next) == 0 {
		return none
	}
	l.faults[endpoint] = next[1:]
	return next[0]
}

// Calls is how often an endpoint was called.
func (l *ledger[G, F]) Calls(endpoint string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls[endpoint]
}

// fail makes the next n calls of an endpoint meet a fault.
func (l *ledger[G, F]) fail(endpoint string, n int, fault F) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for range n {
		l.faults[endpoint] = append(l.faults[endpoint], fault)
	}
}

// Revoke ends a token before its time. It reports whether that was live.
func (l *ledger[G, F]) Revoke(value string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.live[value]
	delete(l.live, value)
	return ok
}

// RevokeAll ends every token.
func (l *ledger[G, F]) RevokeAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.live)
}

// SetLife changes how long new tokens live.
func (l *ledger[G, F]) SetLife(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.life = d
}

// put notes a token that is handed out now. The caller holds the lock.
func (l *ledger[G, F]) put(value string, g G, now time.Time) {
	if len(l.live) >= 1024 { // weeks of virtual time pass here
		for value, old := range l.live {
			if old.over(now) {
				delete(l.live, value)
			}
		}
	}
	l.live[value] = g
}
