package store

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/longcase/longcase/store"
)

// Rotation is how long rotations are measured.
type Rotation struct {
	Live     int           // sessions, at least one a client; default 100,000, on Cassandra 10,000
	Rounds   int           // in which each contender has its turn; default 5
	Interval time.Duration // of a turn; default 1.2 s
}

func (r Rotation) withDefaults(live int) Rotation {
	return Rotation{or(r.Live, live), or(r.Rounds, 5), or(r.Interval, 1200*time.Millisecond)}
}

// lane is a contender; client returns what the i-th of n clients does again and
// again.
type lane struct {
	name   string
	client func(i, n int) (step func() error)
}

// table prints what measure returns for so many clients: for each column the
// rates in every round. The first column is what the others are held against.
func (r Rotation) table(w io.Writer, on string, clients []int, columns []string, measure func(clients int) ([][]float64, error)) error {
	fmt.Fprintf(w, "rotations per second on %s among %d live sessions, median of %d rounds of %v each, in turn,\n", on, r.Live, r.Rounds, r.Interval)
	fmt.Fprintf(w, "and over the %s: the medians, in brackets the least and the most of a round\n\nclients  %s", columns[0], columns[0])
	for _, name := range columns[1:] {
		fmt.Fprintf(w, " %27s", name)
	}
	fmt.Fprintln(w)
	for _, n := range clients {
		rates, err := measure(n)
		if err != nil {
			return fmt.Errorf("%d clients: %w", n, err)
		}
		fmt.Fprintf(w, "%-7d  %*.0f", n, len(columns[0]), median(rates[0]))
		for _, own := range rates[1:] {
			fmt.Fprintf(w, " %27s", fmt.Sprintf("%.0f  %v", median(own), over(own, rates[0])))
		}
		fmt.Fprintln(w)
	}
	return nil
}

// beside measures the lanes, of which the first is the bare statement, and prints
// the table. A round of each is thrown away: programs and caches warm up.
func (r Rotation) beside(w io.Writer, on string, lanes ...lane) error {
	if _, err := (Rotation{r.Live, 1, 2 * r.Interval}).measure(16, lanes); err != nil {
		return err
	}
	names := make([]string, len(lanes))
	for i, l := range lanes {
		names[i] = l.name
	}
	return r.table(w, on, []int{1, 16, 64}, names, func(clients int) ([][]float64, error) { return r.measure(clients, lanes) })
}

// measure returns the rates of each lane, a round each. Every other round goes
// backwards, so that no lane always follows the same one.
func (r Rotation) measure(clients int, lanes []lane) ([][]float64, error) {
	rates := make([][]float64, len(lanes))
	for round := range r.Rounds {
		for at := range lanes {
			if round%2 == 1 {
				at = len(lanes) - 1 - at
			}
			n, err := rate(r.Interval, clients, func(i int) func() error { return lanes[at].client(i, clients) })
			if err != nil {
				return nil, fmt.Errorf("%s: %w", lanes[at].name, err)
			}
			rates[at] = append(rates[at], n)
		}
	}
	return rates, nil
}

// ratio is how the rates of one lane stand to those of another.
type ratio struct{ medians, least, most float64 }

func over(own, bare []float64) ratio {
	each := make([]float64, len(own))
	for i := range own {
		each[i] = own[i] / bare[i]
	}
	return ratio{median(own) / median(bare), slices.Min(each), slices.Max(each)}
}

func (r ratio) String() string { return fmt.Sprintf("%.2f (%.2f-%.2f)", r.medians, r.least, r.most) }

func median(rates []float64) float64 {
	sorted := slices.Sorted(slices.Values(rates))
	return sorted[len(sorted)/2]
}

// stock is an engine's sessions as they stand in it. A client has some of them
// to itself.
type stock struct {
	sessions store.Sessions
	all      []store.Session
}

// newStock draws sessions; they are in no engine yet.
func newStock(sessions store.Sessions, n int) *stock {
	s := &stock{sessions, make([]store.Session, n)}
	for i := range s.all {
		s.all[i] = newSession(time.Now().Add(lifetime))
	}
	return s
}

// create writes them all.
func (s *stock) create(ctx context.Context) error {
	return inParallel(len(s.all), func(i int) error { return s.sessions.Create(ctx, s.all[i]) })
}

func (s *stock) at(i int) store.Session { return s.all[i] }

// replace is the compare-and-set alone.
func (s *stock) replace(ctx context.Context) lane {
	return lane{"Replace", func(i, n int) func() error {
		next := turn(len(s.all), i, n)
		return func() error {
			at := &s.all[next()]
			one := *at
			one.Generation++
			if err := s.sessions.Replace(ctx, one, at.Generation); err != nil {
				return err
			}
			*at = one
			return nil
		}
	}}
}

// rotate loads a session and replaces it, as a token endpoint does.
func (s *stock) rotate(ctx context.Context) lane {
	return lane{"Load and Replace", func(i, n int) func() error {
		next := turn(len(s.all), i, n)
		return func() error {
			at := &s.all[next()]
			one, err := s.sessions.Load(ctx, at.ID)
			if err != nil {
				return err
			}
			one.Generation++
			if err := s.sessions.Replace(ctx, one, one.Generation-1); err != nil {
				return err
			}
			*at = one
			return nil
		}
	}}
}
