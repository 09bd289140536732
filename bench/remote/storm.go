package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"text/tabwriter"
	"time"
)

// The shape of a storm.
const (
	storm = 1_000_000 // tokens
	crowd = 512       // callers that show them; 256 of Longcase's wait a moment each for a new key
	row   = 20        // tokens that one caller shows in turn
	turn  = 50_000    // tokens made at once
)

// Result is how one contender stood its storm.
type Result struct {
	Contender string
	Callers   int
	Tokens    int
	Fetches   int64         // of the key set, during the storm
	CPU       time.Duration // of one refusal, the issuer's answers included
	Took      time.Duration
}

// Most is how many fetches the goal allows for a storm that took so long: one
// in 30 s.
func (r Result) Most() int64 { return int64(r.Took/(30*time.Second)) + 1 }

// Run measures every contender with the whole storm and writes a table to w. It
// fails if Longcase misses the goal.
func Run(w io.Writer) error {
	results, err := Measure(storm)
	if err != nil {
		return err
	}
	if err := Print(w, results); err != nil {
		return err
	}
	for _, r := range results {
		if r.Contender == ours && r.Fetches > r.Most() {
			return fmt.Errorf("goal V6: %d fetches in %s, want %d at most", r.Fetches, r.Took, r.Most())
		}
	}
	return nil
}

// Measure shows tokens of unknown keys to every contender: by a crowd, whose
// callers share a fetch that is under way, and one after the other.
func Measure(tokens int) ([]Result, error) {
	var results []Result
	for _, c := range contenders() {
		for _, r := range []Result{{Callers: crowd, Tokens: tokens}, {Callers: 1, Tokens: row}} {
			r.Contender = c.name
			if err := c.stand(&r); err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			results = append(results, r)
		}
	}
	return results, nil
}

// stand takes one contender through its storm.
func (c contender) stand(r *Result) error {
	is, err := newIssuer()
	if err != nil {
		return err
	}
	defer is.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	check, err := c.make(ctx, is)
	if err != nil {
		return err
	}
	good, err := is.good(time.Now())
	if err != nil {
		return err
	}
	if err := check(good); err != nil { // fetches the keys
		return fmt.Errorf("a good token: %w", err)
	}
	before := is.fetches.Load()
	for shown := 0; shown < r.Tokens; shown += turn {
		if err := r.turn(is.strange(shown, min(turn, r.Tokens-shown), time.Now()), check); err != nil {
			return err
		}
	}
	r.CPU /= time.Duration(r.Tokens)
	r.Fetches = is.fetches.Load() - before
	if err := check(good); err != nil {
		return fmt.Errorf("a good token after the storm: %w", err)
	}
	return nil
}

// turn shows tokens, many at once, and counts what that takes.
func (r *Result) turn(raw []string, check func(string) error) error {
	began, err := cpu()
	if err != nil {
		return err
	}
	since := time.Now()
	var next atomic.Int64
	errs := make([]error, r.Callers)
	var all sync.WaitGroup
	for i := range r.Callers {
		all.Go(func() {
			for n := next.Add(1); n <= int64(len(raw)) && errs[i] == nil; n = next.Add(1) {
				errs[i] = refused(r.Contender, check(raw[n-1]))
			}
		})
	}
	all.Wait()
	ended, err := cpu()
	r.CPU += ended - began
	r.Took += time.Since(since)
	return errors.Join(append(errs, err)...)
}

// cpu is the processor time of this process so far, kernel included.
func cpu() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("getrusage: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// Print writes results as a table.
func Print(w io.Writer, results []Result) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "unknown kids\tcallers\ttokens\tfetches\tseconds\tCPU of one refusal\t")
	for _, r := range results {
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%.1f\t%.1f µs\t\n", r.Contender, r.Callers, r.Tokens, r.Fetches, r.Took.Seconds(), float64(r.CPU)/1000)
	}
	return table.Flush()
}
