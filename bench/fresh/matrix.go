package fresh

import (
	"context"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"text/tabwriter"
	"time"
)

// row is one fault; each contender's cell says what it did.
type row struct {
	name    string
	cell    func(k keeper) string
	virtual bool // time may be; not where callers wait for a mutex, which no bubble takes for waiting
}

// Matrix runs every contender through the same faults in virtual time and
// writes the table, in virtual time where it can be. It needs a *testing.T for its bubbles; cmd/fault-matrix has
// one.
func Matrix(t *testing.T, w io.Writer) error {
	rows := []row{
		{"upstream down, 10,000 callers at once: calls, time until all know", down, false},
		{"tokens of 4 s, a get each 100 ms for 100 s: mints", shortLives, true},
		{"upstream down for 5 min of a token's last 6: errors seen", oldOneLives, true},
		{"upstream down for 10 min past the end: ended tokens handed out", pastTheEnd, true},
		{"revoked early, 100 callers, twice: 401s seen, re-mints", revokedEarly, false},
		{"sessions of a metadata service killed, 500 callers: errors seen, new sessions", killedSession, false},
		{"suspended for an hour in the middle of a life: what the next get hands out", suspended, true},
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintf(table, "%s\t\n", r.name)
		for _, k := range keepers() {
			var cell string
			if r.virtual {
				synctest.Test(t, func(*testing.T) { cell = r.cell(k) })
			} else {
				cell = r.cell(k)
			}
			fmt.Fprintf(table, "  %s\t%s\t\n", k.name, cell)
		}
	}
	return table.Flush()
}

func down(k keeper) string {
	u := newUpstream(time.Hour)
	u.slow = 200 * time.Microsecond
	u.down.Store(true)
	g := k.make(u)
	begin := time.Now()
	storm(func(ctx context.Context) error { _, err := g(ctx); return err })
	return fmt.Sprintf("%d calls, %s", u.count(), time.Since(begin).Round(time.Millisecond))
}

func shortLives(k keeper) string {
	u := newUpstream(4 * time.Second)
	g := k.make(u)
	ended := 0
	for range 1000 {
		if v, err := g(context.Background()); err == nil && !u.live(v) {
			ended++
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Sprintf("%d", u.count()) + butEnded(ended)
}

func butEnded(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", and %d ended ones handed out", n)
}

// oldOneLives lets the upstream be down from 6 min before a token's end to 1 min
// before it, with a get each second.
func oldOneLives(k keeper) string {
	u := newUpstream(10 * time.Minute)
	g := k.make(u)
	_, _ = g(context.Background())
	time.Sleep(4 * time.Minute)
	u.down.Store(true)
	errs := 0
	for range 300 {
		if _, err := g(context.Background()); err != nil {
			errs++
		}
		time.Sleep(time.Second)
	}
	return fmt.Sprintf("%d of 300", errs)
}

func pastTheEnd(k keeper) string {
	u := newUpstream(10 * time.Minute)
	g := k.make(u)
	_, _ = g(context.Background())
	u.down.Store(true)
	time.Sleep(10 * time.Minute)
	ended := 0
	for range 600 {
		if v, err := g(context.Background()); err == nil && !u.live(v) {
			ended++
		}
		time.Sleep(time.Second)
	}
	return fmt.Sprintf("%d of 600", ended)
}

// revokedEarly lets 100 callers ask an API, after the token was revoked, through
// what each contender offers for HTTP, and once more a second later.
func revokedEarly(k keeper) string {
	u := newUpstream(time.Hour)
	u.slow = 5 * time.Millisecond
	call := k.caller(u)
	call()
	u.revoke()
	before, seen := u.count(), 0
	for range 2 {
		var wg sync.WaitGroup
		var mu sync.Mutex
		for range 100 {
			wg.Go(func() {
				if call() {
					return
				}
				mu.Lock()
				seen++
				mu.Unlock()
			})
		}
		wg.Wait()
		time.Sleep(time.Second)
	}
	return fmt.Sprintf("%d of 200, %d", seen, u.count()-before)
}
