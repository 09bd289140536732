package gateway

import (
	"fmt"
	"io"
)

// memory sends tokens through the proxy, no two alike, and reads what the
// process holds after each eighth of them.
func (s *stage) memory(out io.Writer, m *mint) error {
	l, err := s.open(kind{name: "longcase proxy", server: "longcase"})
	if err != nil {
		return err
	}
	defer l.kill()
	rest, _, err := l.front.memory()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "resident memory with distinct tokens seen: %.0f MiB at rest", rest)
	const steps = 8
	next := 1_000_000_000 // not one of the others
	for step := 1; step <= steps; step++ {
		for until := next + s.cfg.Distinct/steps; next < until; {
			n := min(batch, until-next)
			tokens, err := m.tokens(next, n)
			if err != nil {
				return err
			}
			next += n
			if err := load(l.address, "/orders/1", tokens, serviceBytes); err != nil {
				return err
			}
		}
		now, _, err := l.front.memory()
		if err != nil {
			return err
		}
		fmt.Fprintf(out, ", %.0f after %d", now, step*s.cfg.Distinct/steps)
	}
	_, peak, err := l.front.memory()
	fmt.Fprintf(out, "; peak %.0f MiB\n\n", peak)
	return err
}

// batch is how many tokens are made ahead.
const batch = 5000
