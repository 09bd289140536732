package histories

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"
)

// seedOf is the seed of a test's random choices, printed.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("LONGCASE_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("LONGCASE_SEED: %v", err)
		}
	}
	t.Logf("seed %d", seed)
	return seed
}

// fault is something that befalls an engine under load. What it did is over
// when it returns.
type fault struct {
	name   string
	breaks bool // some call under way fails
	befall func(rng *rand.Rand)
}

func calm() fault {
	return fault{"calm", false, func(rng *rand.Rand) { pause(rng, 20, 60) }}
}

// pause waits for some milliseconds.
func pause(rng *rand.Rand, least, most int) {
	time.Sleep(time.Duration(least+rng.IntN(most-least)) * time.Millisecond)
}

// driver is a history under way.
type driver interface {
	run(ctx context.Context, settled <-chan struct{})
	report(t *testing.T, seed uint64)
	counts() (recorded, unknown, undone int)
}

// roundLimit bounds one round of histories, faults included.
const roundLimit = 5 * time.Minute

// drive runs histories at once while a fault befalls the engine.
func drive(t *testing.T, all []driver, f fault, rng *rand.Rand) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), roundLimit)
	defer cancel()
	settled := make(chan struct{})
	var running sync.WaitGroup
	for _, one := range all {
		running.Go(func() { one.run(ctx, settled) })
	}
	pause(rng, 10, 60)
	f.befall(rng)
	close(settled)
	running.Wait()
	if ctx.Err() != nil {
		t.Errorf("histories under %q did not end within %s", f.name, roundLimit)
	}
}

// tally counts what was judged.
type tally struct {
	mu                             sync.Mutex
	histories, operations, unknown int
	faults, disturbed              map[string]int // histories and failed operations, by fault
}

func (c *tally) judge(t *testing.T, all []driver, f fault, seed uint64) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.faults == nil {
		c.faults, c.disturbed = map[string]int{}, map[string]int{}
	}
	for _, one := range all {
		one.report(t, seed)
		c.histories++
		recorded, unknown, undone := one.counts()
		c.operations += recorded
		c.unknown += unknown
		c.faults[f.name]++
		c.disturbed[f.name] += undone
	}
}

func (c *tally) String() string {
	return fmt.Sprintf("%d histories, %d operations, %d of unknown outcome; histories by fault: %v; operations that failed: %v", c.histories, c.operations, c.unknown, c.faults, c.disturbed)
}
