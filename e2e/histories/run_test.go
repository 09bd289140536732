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
	befall func(rng *rand.Rand)
}

func calm() fault {
	return fault{"calm", func(rng *rand.Rand) { pause(rng, 20, 60) }}
}

// pause waits for some milliseconds.
func pause(rng *rand.Rand, least, most int) {
	time.Sleep(time.Duration(least+rng.IntN(most-least)) * time.Millisecond)
}

// driver is a history under way.
type driver interface {
	run(ctx context.Context, settled <-chan struct{})
	report(t *testing.T, seed uint64)
	size() int
	unknowns() int
}

func (h *history) unknowns() int { return h.unknown }

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
	faults                         map[string]int
}

func (c *tally) judge(t *testing.T, all []driver, f fault, seed uint64) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.faults == nil {
		c.faults = map[string]int{}
	}
	for _, one := range all {
		one.report(t, seed)
		c.histories++
		c.operations += one.size()
		c.unknown += one.unknowns()
		c.faults[f.name]++
	}
}

func (c *tally) String() string {
	return fmt.Sprintf("%d histories, %d operations, %d of unknown outcome; histories by fault: %v", c.histories, c.operations, c.unknown, c.faults)
}
