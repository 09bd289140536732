package verify

import (
	"fmt"
	"io"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/longcase/longcase/token"
)

// Config is how long to measure.
type Config struct {
	Rounds int           // turns each contender takes; default 21
	Turn   time.Duration // processor time of one turn; default 20 ms
}

// Result is the cost of one contender with one algorithm.
type Result struct {
	Algorithm token.Algorithm
	Contender string
	CPU       time.Duration // of one check, median over the rounds
	Ratio     float64       // to bare, median over the rounds
}

// Algorithms are those measured, the three of goal V1 first.
func Algorithms() []token.Algorithm {
	return []token.Algorithm{token.RS256, token.ES256, token.EdDSA, token.PS256, token.ES384, token.HS256}
}

// Run measures every algorithm, then the hits of verified tokens, and writes the
// tables to w.
func Run(w io.Writer) error {
	results, err := Measure(Config{}, Algorithms())
	if err != nil {
		return err
	}
	if err := Print(w, results); err != nil {
		return err
	}
	return RunHits(w)
}

// Measure measures every contender with every algorithm.
func Measure(cfg Config, algorithms []token.Algorithm) ([]Result, error) {
	if cfg.Rounds == 0 {
		cfg.Rounds = 21
	}
	if cfg.Turn == 0 {
		cfg.Turn = 20 * time.Millisecond
	}
	var all []Result
	for _, alg := range algorithms {
		s, err := newSubject(alg, time.Now())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", alg, err)
		}
		results, err := measure(cfg, s)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", alg, err)
		}
		all = append(all, results...)
	}
	return all, nil
}

// A lane is one contender at work on one subject.
type lane struct {
	name   string
	check  func() error
	count  int             // checks in a turn
	costs  []time.Duration // of one check, by round
	ratios []float64       // to bare, by round
}

func measure(cfg Config, s subject) ([]Result, error) {
	lanes, err := makeLanes(cfg, s)
	if err != nil {
		return nil, err
	}
	if err := race(cfg, lanes); err != nil {
		return nil, err
	}
	results := make([]Result, len(lanes))
	for i, l := range lanes {
		results[i] = Result{s.alg, l.name, median(l.costs), median(l.ratios)}
	}
	return results, nil
}

// race lets the lanes take turns; the first one is what the others are compared
// with.
func race(cfg Config, lanes []lane) error {
	for round := range cfg.Rounds {
		for i := range lanes {
			l := &lanes[(i+round)%len(lanes)]
			cost, err := l.turn()
			if err != nil {
				return fmt.Errorf("%s: %w", l.name, err)
			}
			l.costs = append(l.costs, cost)
		}
		for i := range lanes {
			l := &lanes[i]
			l.ratios = append(l.ratios, float64(l.costs[round])/float64(lanes[0].costs[round]))
		}
	}
	return nil
}

func makeLanes(cfg Config, s subject) ([]lane, error) {
	var lanes []lane
	for _, c := range contenders() {
		check, err := c.make(s)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		lanes = append(lanes, lane{name: c.name, check: check})
	}
	return lanes, fill(cfg, lanes)
}

// fill warms every lane up and finds how many checks fill its turn.
func fill(cfg Config, lanes []lane) error {
	for i := range lanes {
		l := &lanes[i]
		l.count = 100
		cost, err := l.turn()
		if err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
		l.count = max(1, int(cfg.Turn/max(cost, 1)))
	}
	return nil
}

// turn runs count checks and returns the processor time of one.
func (l *lane) turn() (time.Duration, error) {
	begin, err := cpu()
	if err != nil {
		return 0, err
	}
	for range l.count {
		if err := l.check(); err != nil {
			return 0, err
		}
	}
	end, err := cpu()
	return (end - begin) / time.Duration(l.count), err
}

// cpu is the processor time of this process so far, kernel included.
func cpu() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("getrusage: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

func median[T int | float64 | time.Duration](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// Print writes results as a table: a line per algorithm, a column per contender,
// each the ratio to bare.
func Print(w io.Writer, results []Result) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for i, r := range results {
		switch {
		case i == 0:
			printHead(table, results)
			fallthrough
		case results[i-1].Algorithm != r.Algorithm:
			fmt.Fprintf(table, "%s\t%.1f µs\t", r.Algorithm, float64(r.CPU)/1000)
		default:
			fmt.Fprintf(table, "%.2f\t", r.Ratio)
		}
		if i+1 == len(results) || results[i+1].Algorithm != r.Algorithm {
			fmt.Fprintln(table)
		}
	}
	return table.Flush()
}

func printHead(w io.Writer, results []Result) {
	fmt.Fprint(w, "CPU of one check, over bare\t")
	for _, r := range results {
		if r.Algorithm == results[0].Algorithm {
			fmt.Fprintf(w, "%s\t", r.Contender)
		}
	}
	fmt.Fprintln(w)
}
