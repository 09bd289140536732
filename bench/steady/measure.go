package steady

import (
	"context"
	"fmt"
	"time"

	"github.com/longcase/longcase/internal/plan"
	"github.com/longcase/longcase/store"
)

// Run is one engine under a load for a while, in the store's time.
type Run struct {
	Name  string // of the engine, as plan knows it
	Load  Load
	Setup plan.Setup
	Warm  time.Duration // until as much ends as begins
	For   time.Duration // measured after that
	Each  time.Duration // between two samples: no multiple of a bucket's width, so that they fall anywhere in one
	Early bool          // samples from the beginning, not only after the warm-up
}

// Sample is what an engine took of the disk at one time.
type Sample struct {
	At    time.Duration // since the run's beginning
	Disk  float64       // bytes, all of it
	Paxos float64       // of it, system.paxos
}

// rig is an engine that a run can use.
type rig struct {
	engine  store.Engine
	clock   *clock
	writers int
	moved   func() error                          // tells the engine's servers that the clock was moved; may be nil
	disk    func(context.Context) (Sample, error) // settled
}

// measure lives through the run.
func (r Run) measure(ctx context.Context, on rig) (Result, error) {
	s := newService(r.Load, on.engine, on.clock, on.writers)
	began := on.clock.now()
	result := Result{Run: r}
	next := r.Each
	if !r.Early {
		next += r.Warm
	}
	for on.clock.now().Sub(began) < r.Warm+r.For {
		if err := s.advance(ctx); err != nil {
			return result, fmt.Errorf("%s after %v: %w", r.Name, on.clock.now().Sub(began), err)
		}
		if on.moved != nil {
			if err := on.moved(); err != nil {
				return result, err
			}
		}
		if err := s.retire(ctx); err != nil {
			return result, err
		}
		if at := on.clock.now().Sub(began); at >= next {
			one, err := on.disk(ctx)
			if err != nil {
				return result, err
			}
			one.At = at
			result.Samples = append(result.Samples, one)
			next += r.Each
		}
	}
	result.Records = s.records
	return result, nil
}

// Result is what came of a run.
type Result struct {
	Run
	Samples []Sample
	Records int64 // written: sessions, refreshes, marks
}

// Plan is what plan foresees for the run.
func (r Result) Plan() plan.Estimate { return r.Load.Steady(r.Name, r.Setup) }

// steady are the samples after the warm-up.
func (r Result) steady() []Sample {
	for i, s := range r.Samples {
		if s.At > r.Warm {
			return r.Samples[i:]
		}
	}
	return nil
}

// Disk is the mean of the samples after the warm-up.
func (r Result) Disk() float64 { return r.mean(func(s Sample) float64 { return s.Disk }) }

// Paxos is the part of it that system.paxos takes.
func (r Result) Paxos() float64 { return r.mean(func(s Sample) float64 { return s.Paxos }) }

func (r Result) mean(of func(Sample) float64) float64 {
	sum := 0.0
	for _, s := range r.steady() {
		sum += of(s)
	}
	return sum / float64(len(r.steady()))
}

// Slope is how much of the mean a lifetime adds, by least squares over the
// samples after the warm-up.
func (r Result) Slope() float64 {
	var n, x, y, xx, xy float64
	for _, s := range r.steady() {
		at := float64(s.At) / float64(r.Load.Life)
		n, x, y, xx, xy = n+1, x+at, y+s.Disk, xx+at*at, xy+at*s.Disk
	}
	return (n*xy - x*y) / (n*xx - x*x) / (y / n)
}

// Off is how far plan was from what was measured: 0.1 is 10 % too much.
func (r Result) Off() float64 { return r.Plan().Disk/r.Disk() - 1 }

// Ratio is the disk over what is live, without what is always there and system.paxos;
// what has ended counts as live until gc_grace is over (DESIGN 5).
func (r Result) Ratio() float64 {
	p := r.Plan()
	return (r.Disk() - r.Paxos() - p.Always()) / (p.Live + p.Grace())
}

// String is the run in a few lines.
func (r Result) String() string {
	s := fmt.Sprintf("%s, %g sessions a second for %s, %d records written:\n", r.Name, r.Load.Sessions, r.Load.Life, r.Records)
	for _, one := range r.Samples {
		s += fmt.Sprintf("  %7.1f h %9.3f MB", one.At.Hours(), one.Disk/1e6)
		if one.Paxos > 0 {
			s += fmt.Sprintf(", of it system.paxos %.3f", one.Paxos/1e6)
		}
		s += "\n"
	}
	p := r.Plan()
	s += fmt.Sprintf("  measured %.2f MB (%.2f of system.paxos), slope %+.2f %% a lifetime, %.2f of what is live; foreseen %.2f MB (%+.1f %%) =", r.Disk()/1e6, r.Paxos()/1e6, 100*r.Slope(), r.Ratio(), p.Disk/1e6, 100*r.Off())
	for _, part := range p.Parts {
		s += fmt.Sprintf(" %s %.2f", part.Name, part.Bytes/1e6)
	}
	return s
}
