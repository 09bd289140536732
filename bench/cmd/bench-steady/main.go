// Command bench-steady runs each engine until what it stores is steady and prints
// the disk beside what `longcase plan` foresees (goals S3 and S4). With -svg it
// also writes the graph of incident 4, with -rest it prints what one record takes
// at rest instead: the constants of plan.
//
//	go run ./cmd/bench-steady -svg ../docs/incident-4.svg
//	go run ./cmd/bench-steady -rest
//
// It starts its own PostgreSQL and Cassandra by the scripts in servers/.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/longcase/longcase/bench/steady"
	"github.com/longcase/longcase/internal/config"
)

func main() {
	root := flag.String("root", "..", "the repository")
	dir := flag.String("dir", ".", "a directory on the disk to measure")
	svg := flag.String("svg", "", "write the graph of incident 4 there")
	rest := flag.Bool("rest", false, "what one record takes at rest")
	part := flag.Float64("part", 1, "run with this part of the rates")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := measure(ctx, *root, *dir, *svg, *rest, *part)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-steady:", err)
		os.Exit(1)
	}
}

func measure(ctx context.Context, root, dir, svg string, rest bool, part float64) (err error) {
	if dir, err = os.MkdirTemp(dir, "bench-steady-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // PostgreSQL may run as another user, who enters it
		return err
	}
	p := steady.Place{Root: root, Dir: dir}
	if rest {
		return atRest(ctx, p, os.Stdout)
	}
	lines, err := p.Week(ctx, os.Stdout, part)
	if err != nil || svg == "" {
		return err
	}
	return graph(ctx, p, svg, lines, part)
}

// graph adds incident 4 to the lines and writes them.
func graph(ctx context.Context, p steady.Place, svg string, lines []steady.Line, part float64) (err error) {
	c, _, stop, err := p.StartCassandra(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	tokens := int(432_000 * part) // 10 a second for 12 hours
	endless, err := steady.Incident(ctx, c, tokens, 14)
	if err != nil {
		return err
	}
	line := steady.Line{Name: "a row per token, without an end (incident 4)", Color: "#cf222e", Points: [][2]float64{{0, 0}}}
	fmt.Printf("a row per token, without an end: %d rows a lifetime, MB after each:", tokens)
	for i, disk := range endless {
		fmt.Printf(" %.1f", disk/1e6)
		line.Points = append(line.Points, [2]float64{float64(i + 1), disk / endless[0]})
	}
	fmt.Println()
	f, err := os.Create(svg)
	if err != nil {
		return err
	}
	return errors.Join(steady.Graph(f, "Disk over what is live", append([]steady.Line{line}, lines...)), f.Close())
}

// atRest measures what one record takes, in each engine.
func atRest(ctx context.Context, p steady.Place, w io.Writer) (err error) {
	if err := steady.Rest(ctx, w, config.Embedded, steady.RestEmbedded(ctx, p.Dir)); err != nil {
		return err
	}
	fresh, stop, err := p.StartPostgres(ctx)
	if err != nil {
		return err
	}
	err = errors.Join(steady.Rest(ctx, w, config.Postgres, steady.RestPostgres(fresh)), stop())
	if err != nil {
		return err
	}
	c, moved, stop, err := p.StartCassandra(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	for i, what := range []string{config.Cassandra, "over", "system.paxos"} {
		measure, end, err := steady.RestCassandra(ctx, c, moved, steady.Part(i))
		if err != nil {
			return err
		}
		if err := errors.Join(steady.Rest(ctx, w, what, measure), end()); err != nil {
			return err
		}
	}
	return nil
}
