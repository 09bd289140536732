package gateway

import (
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/longcase/longcase/token"
)

// Config is what a run needs.
type Config struct {
	Longcase string   // the product's binary
	Self     []string // the command that calls Serve; role, address, upstream and key are added
	Cache    string   // folder with bench/python or python, where Envoy is
	Rounds   int      // the median counts
	Requests int      // in one round of one lane
	OnlyGo   bool     // leave out the lanes that need servers of others
	Distinct int      // tokens of the memory measurement; none: leave it out

	Algorithm token.Algorithm // of the tokens: ES256 or RS256
}

// Run measures everything and prints it.
func Run(out io.Writer, cfg Config) error {
	s, m, end, err := raise(cfg)
	if err != nil {
		return err
	}
	defer end()
	if err := s.compare(out, m); err != nil {
		return err
	}
	if err := s.decisions(out, m); err != nil {
		return err
	}
	if cfg.Distinct == 0 {
		return nil
	}
	return s.memory(out, m)
}

// raise makes keys and starts the upstream.
func raise(cfg Config) (s *stage, m *mint, end func(), err error) {
	if m, err = newMint(time.Now(), cfg.Algorithm); err != nil {
		return nil, nil, nil, err
	}
	s = &stage{cfg: cfg}
	if s.dir, err = os.MkdirTemp("", "longcase-bench-"); err != nil {
		return nil, nil, nil, err
	}
	end = func() { os.RemoveAll(s.dir) }
	if s.keys, s.pem, err = m.write(s.dir); err == nil {
		s.upstream, err = freeAddress()
	}
	if err != nil {
		end()
		return nil, nil, nil, err
	}
	service, err := s.front(kind{role: Upstream}, place{Dir: s.dir, Front: s.upstream, Upstream: s.upstream, PEM: s.pem})
	if err == nil {
		err = service.listens(s.upstream)
	}
	if err != nil {
		end()
		return nil, nil, nil, err
	}
	return s, m, func() { service.kill(); os.RemoveAll(s.dir) }, nil
}

// compare is the table of gateways.
func (s *stage) compare(out io.Writer, m *mint) error {
	kinds := ours()
	if !s.cfg.OnlyGo {
		kinds = append(kinds, others()...)
	}
	fresh, err := m.tokens(hot, s.cfg.Requests*(s.cfg.Rounds+1))
	if err != nil {
		return err
	}
	few, err := m.tokens(0, hot)
	if err != nil {
		return err
	}
	var lanes []*lane
	defer func() {
		for _, l := range lanes {
			l.kill()
		}
	}()
	for _, k := range kinds {
		l, err := s.open(k)
		if err != nil {
			return err
		}
		lanes = append(lanes, l)
		l.tokens, l.hot = fresh, repeat(few, s.cfg.Requests)
		if err := l.right(m); err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
	}
	if err := rounds(s.cfg, lanes); err != nil {
		return err
	}
	return report(out, s.cfg, lanes)
}

func repeat(few []string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = few[i%len(few)]
	}
	return list
}

// right asks a lane what it must know: good tokens pass, none and bad ones do
// not, where it checks tokens at all.
func (l *lane) right(m *mint) error {
	bad, err := m.bad()
	if err != nil {
		return err
	}
	blind := l.plain || l.role == Crypto // to a token's end
	for raw, pass := range map[string]bool{l.hot[0]: true, "": l.plain, bad[0]: blind, bad[1]: l.plain} {
		a, err := l.settled(raw)
		if err != nil {
			return err
		}
		if pass && a != (reply{200, serviceBytes}) || !pass && a.status != 401 && a.status != 403 {
			return fmt.Errorf("%d and %d bytes for %.60q:\n%s", a.status, a.bytes, raw, l.front.said.String())
		}
	}
	return nil
}

// settled asks until the gateway knows its neighbours: 503 is no answer yet.
func (l *lane) settled(raw string) (a reply, err error) {
	for range 100 {
		if a, err = once(l.address, "/orders/1", raw); err != nil || a.status != 503 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return a, err
}

// rounds lets the lanes take turns; the first round warms up.
func rounds(cfg Config, lanes []*lane) error {
	for round := range cfg.Rounds + 1 {
		for i := range lanes {
			l := lanes[(i+round)%len(lanes)]
			if err := l.round(cfg.Requests, round > 0); err != nil {
				return fmt.Errorf("%s: %w\n%s", l.name, err, l.front.said.String())
			}
		}
	}
	return nil
}

func (l *lane) round(n int, counts bool) error {
	batch := l.hot
	if !l.cached {
		batch, l.tokens = l.tokens[:n], l.tokens[n:]
	}
	front, verifier, err := l.spent()
	if err != nil {
		return err
	}
	if err := load(l.address, "/orders/1", batch, serviceBytes); err != nil {
		return err
	}
	front2, verifier2, err := l.spent()
	if err != nil || !counts {
		return err
	}
	l.gateway = append(l.gateway, each(front2-front, n))
	l.asked = append(l.asked, each(verifier2-verifier, n))
	return nil
}

// each is microseconds per request.
func each(d time.Duration, n int) float64 { return float64(d) / float64(n) / 1000 }

// spent is the processor time of the lane's two processes so far.
func (l *lane) spent() (front, verifier time.Duration, err error) {
	if front, err = l.front.cpu(); err != nil || l.verifier == nil {
		return front, 0, err
	}
	verifier, err = l.verifier.cpu()
	return front, verifier, err
}

func report(out io.Writer, cfg Config, lanes []*lane) error {
	bare := lanes[slices.IndexFunc(lanes, func(l *lane) bool { return l.name == measure })]
	fmt.Fprintf(out, "V3: processor time per request, one worker each, %s tokens, %d connections, median of %d rounds of %d requests\n\n", cfg.Algorithm, connections, cfg.Rounds, cfg.Requests)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\tgateway µs\tverifier µs\tover bare Go proxy\tover itself plain\t")
	for _, l := range lanes {
		asked := "-"
		if l.verifier != nil {
			asked = fmt.Sprintf("%.1f", median(l.asked))
		}
		fmt.Fprintf(table, "%s\t%.1f\t%s\t%.2f\t%s\t\n", l.name, median(l.gateway), asked, median(ratios(l, bare)), overPlain(l, lanes))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprint(out, "\ngoals: longcase proxy at most 1.10 cached, 1.65 uncached; at most 45 µs of the verifier for a cached forward-auth decision\n\n")
	return err
}

// overPlain compares a lane of Envoy or nginx with the same server that checks
// nothing.
func overPlain(l *lane, lanes []*lane) string {
	i := slices.IndexFunc(lanes, func(p *lane) bool { return p.server == l.server && p.plain && l.server != "" })
	if i < 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", median(ratios(l, lanes[i])))
}

// ratios compares round by round.
func ratios(of, over *lane) []float64 {
	list := make([]float64, len(of.gateway))
	for i := range list {
		list[i] = (of.gateway[i] + of.asked[i]) / (over.gateway[i] + over.asked[i])
	}
	return list
}

func median(of []float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2]
}
