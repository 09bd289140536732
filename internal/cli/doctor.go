package cli

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/longcase/longcase/internal/app"
	"github.com/longcase/longcase/internal/config"
	"github.com/longcase/longcase/internal/doctor"
)

// checkup is what a command line asks of doctor.
type checkup struct {
	env    *Env
	file   string
	tables []string
	disk   string
	asJSON bool

	backfill string
	life     string
	most     int
	from     string
}

func doctorCommand(env *Env) *cobra.Command {
	d := &checkup{env: env}
	cmd := &cobra.Command{
		Use:   "doctor [TARGET...]",
		Short: "Examine live keyspaces of Cassandra, and say what repairs them",
		Long: "Examine live keyspaces of Cassandra, Longcase's own and Apigee's kms: compaction, indexes, gc_grace_seconds,\n" +
			"rows without an end, tombstones, sizes, replication, versions and clocks. Nothing is ever written. A TARGET is\n" +
			"cassandra://[USER:${PASSWORD_VARIABLE}@]HOST,HOST/KEYSPACE[?tls=true&ca=FILE]; without one, the data of the\n" +
			"configuration is examined.\n\n" +
			"With --backfill, statements that give rows without an end one are printed instead, to be piped into cqlsh:\n" +
			"they hold the rows' values. Run it again with --from until it says that the table is at its end.\n\n" +
			"Exit codes: 0 nothing found, 1 findings, 2 usage, 3 a target cannot be reached.",
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"cassandra://"}, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, targets []string) error { return d.run(cmd.Context(), targets) },
	}
	fileFlag(cmd, &d.file)
	f := cmd.Flags()
	f.StringArrayVar(&d.tables, "table", nil, "`name` of a table that holds tokens, if its name does not tell; may be repeated")
	f.StringVar(&d.disk, "disk", "", "`size` of each node's disk, like 500GB: when is it full?")
	f.StringVar(&d.backfill, "backfill", "", "`table` whose rows without an end get one: print the statements")
	f.StringVar(&d.life, "life", "", "with --backfill: how long such a row may still live, a `duration` like 30d")
	f.IntVar(&d.most, "most", 1000, "with --backfill: so many statements at a time")
	f.StringVar(&d.from, "from", "", "with --backfill: the `token` where the last time ended")
	jsonFlag(cmd, &d.asJSON)
	return cmd
}

func (d *checkup) run(ctx context.Context, named []string) error {
	targets, err := d.targets(named)
	if err != nil {
		return err
	}
	if d.backfill != "" {
		return d.fill(ctx, targets)
	}
	ask, err := d.ask()
	if err != nil {
		return err
	}
	views := d.examine(ctx, targets, ask)
	if err := ctx.Err(); err != nil {
		return err
	}
	if d.asJSON {
		err = printJSON(d.env.Stdout, map[string]any{"targets": views})
	} else {
		err = printDoctor(d.env, views)
	}
	if code := codeOf(views); err == nil && code != exitYes {
		return &exit{code: code}
	}
	return err
}

// targets are those named, or the data of the configuration.
func (d *checkup) targets(named []string) ([]config.Data, error) {
	var all []config.Data
	for _, name := range named {
		if err := known(name); err != nil {
			return nil, err
		}
		data, err := config.ParseData(name, d.env.Getenv)
		if err != nil {
			return nil, usage("TARGET %d: %w", len(all)+1, err)
		}
		all = append(all, data)
	}
	if len(all) > 0 {
		return all, nil
	}
	file := d.env.configFile(d.file)
	if file == "" {
		return nil, &misuse{errors.New("what shall be examined? give cassandra://HOST/KEYSPACE, or -c FILE"), "longcase doctor [-c FILE | TARGET...]"}
	}
	cfg, err := load(file)
	if err != nil {
		return nil, err
	}
	if cfg.Data.Engine != config.Cassandra {
		return nil, usage("%s: data is %s: %w", cfg.File, cfg.Data, app.ErrNotSurveyed)
	}
	return []config.Data{cfg.Data}, nil
}

// known refuses targets of another kind by name, without repeating what may
// hold a password.
func known(target string) error {
	scheme, _, isURL := strings.Cut(target, "://")
	switch {
	case isURL && scheme == config.Cassandra:
		return nil
	case isURL && (scheme == "postgres" || scheme == "postgresql"):
		return usage("a database of PostgreSQL is not examined: %w", app.ErrNotSurveyed)
	case isURL && (scheme == "https" || scheme == "http"):
		return usage("an issuer or a gate (%s://…) is not examined: %w", scheme, app.ErrNotSurveyed)
	case isURL:
		return usage("TARGET %q://… is not known: %w", clean(scheme), app.ErrNotSurveyed)
	}
	return usage("TARGET %q is a host or a file, which is not examined: %w", clean(target), app.ErrNotSurveyed)
}

func (d *checkup) ask() (doctor.Ask, error) {
	ask := doctor.Ask{Tables: d.tables}
	if d.disk == "" {
		return ask, nil
	}
	var ok bool
	if ask.Disk, ok = parseSize(d.disk); !ok {
		return ask, usage("--disk %q is not a size like 500GB, 500GiB or 2TB", clean(d.disk))
	}
	return ask, nil
}

// parseSize reads 500GB (powers of 1000) and 500GiB (of 1024).
func parseSize(s string) (float64, bool) {
	for _, unit := range []struct {
		name string
		size float64
	}{{"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}} {
		if number, ok := strings.CutSuffix(s, unit.name); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
			return n * unit.size, err == nil && n > 0 && !math.IsInf(n, 0)
		}
	}
	return 0, false
}

// doctorView is one target as it is printed.
type doctorView struct {
	Target string         `json:"target"`
	Error  string         `json:"error,omitempty"` // it could not be examined
	Report *doctor.Report `json:"report,omitempty"`

	code int
}

// examine asks all targets at once; they come out in the order they were named.
func (d *checkup) examine(ctx context.Context, targets []config.Data, ask doctor.Ask) []doctorView {
	views := make([]doctorView, len(targets))
	var asked sync.WaitGroup
	for i, data := range targets {
		asked.Go(func() {
			v := doctorView{Target: data.String()}
			r, err := app.Examine(ctx, data, ask, app.StoreOptions{Getenv: d.env.Getenv, Now: d.env.Now})
			switch {
			case err != nil:
				v.Error, v.code = err.Error(), codeFor(err)
			case doctor.Fails(r.Findings):
				v.Report, v.code = r, exitNo
			default:
				v.Report = r
			}
			views[i] = v
		})
	}
	asked.Wait()
	return views
}

// codeFor is the exit code of a target that was not examined.
func codeFor(err error) int {
	if app.Unreached(err) {
		return exitUnreachable
	}
	return exitUsage
}

// codeOf is the worst of all targets.
func codeOf(views []doctorView) int {
	code := exitYes
	for _, v := range views {
		code = max(code, v.code)
	}
	return code
}

func printDoctor(env *Env, views []doctorView) error {
	printed := false
	for _, v := range views {
		if v.Report == nil {
			fmt.Fprintf(env.Stderr, "longcase: %s: %s\n", clean(v.Target), clean(v.Error))
			continue
		}
		if printed {
			fmt.Fprintln(env.Stdout)
		}
		printed = true
		if err := printReport(env, v); err != nil {
			return err
		}
	}
	return nil
}

// printReport writes what is so in a few lines, then all of it.
func printReport(env *Env, v doctorView) error {
	out, r := env.Stdout, v.Report
	fmt.Fprintf(out, "%s: %s\n  %s\n", clean(v.Target), verdictOf(r.Findings), clean(r.Summary()))
	for _, f := range r.Findings {
		fmt.Fprintf(out, "  %s %s %s\n", signOf(f), f.ID, clean(subject(f)+f.Says))
	}
	if len(r.Tokens) == 0 {
		fmt.Fprintf(out, "  no table was judged: none has a name that tells of tokens; name them with --table\n")
	}
	fmt.Fprintln(out)
	if err := table(out, r.Machines()); err != nil {
		return err
	}
	fmt.Fprintln(out)
	if err := table(out, r.Rows()); err != nil {
		return err
	}
	for _, f := range r.Findings {
		printFinding(env, f)
	}
	if len(r.Commands) > 0 {
		fmt.Fprintf(out, "\nCommands, in this order, by a user who may ALTER (read the above first):\n\n")
		for _, c := range r.Commands {
			fmt.Fprintf(out, "    %s\n", clean(c))
		}
	}
	for i, g := range r.Keyspace.Gaps {
		if i == 0 {
			fmt.Fprintf(out, "\nNot read:\n")
		}
		fmt.Fprintf(out, "  %s: %s%s\n", clean(g.What), clean(g.Why), clean(prefixed("; ", g.Do)))
	}
	return nil
}

func printFinding(env *Env, f doctor.Finding) {
	fmt.Fprintf(env.Stdout, "\n%s %s: %s\n", f.ID, f.Severity, clean(subject(f)+f.Says))
	line := func(head, text string) {
		if text != "" {
			fmt.Fprintf(env.Stdout, "  %-7s %s\n", head, clean(text))
		}
	}
	line("why", f.Why)
	line("first", f.Repair.First)
	for _, c := range f.Repair.Commands {
		line("repair", c)
	}
	line("beware", f.Repair.Beware)
	line("source", f.Source)
}

func signOf(f doctor.Finding) string {
	return map[doctor.Severity]string{doctor.Error: "!", doctor.Warning: "!", doctor.Note: "-"}[f.Severity]
}

func subject(f doctor.Finding) string {
	if f.Table == "" {
		return ""
	}
	return f.Table + " "
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

// verdictOf counts findings by what they are.
func verdictOf(findings []doctor.Finding) string {
	var parts []string
	for _, s := range []doctor.Severity{doctor.Error, doctor.Warning, doctor.Note} {
		n := 0
		for _, f := range findings {
			if f.Severity == s {
				n++
			}
		}
		switch {
		case n == 1:
			parts = append(parts, "1 "+string(s))
		case n > 1:
			parts = append(parts, fmt.Sprintf("%d %ss", n, s))
		}
	}
	if !doctor.Fails(findings) {
		return strings.Join(append([]string{"well"}, parts...), ", ")
	}
	return strings.Join(parts, ", ")
}

// fill prints statements that give rows an end.
func (d *checkup) fill(ctx context.Context, targets []config.Data) error {
	fill, err := d.filling(targets)
	if err != nil {
		return err
	}
	done, err := app.Backfill(ctx, targets[0], fill, app.StoreOptions{Getenv: d.env.Getenv, Now: d.env.Now})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return &exit{codeFor(err), err}
	}
	fmt.Fprintf(d.env.Stderr, "%d statements for %d rows looked at; %s\n", done.Statements, done.Looked, next(done))
	return nil
}

func next(done app.Filled) string {
	if done.Done {
		return "the table is at its end"
	}
	return "go on with --from=" + strconv.FormatInt(done.Next, 10)
}

// filling checks what --backfill was given.
func (d *checkup) filling(targets []config.Data) (fill app.Fill, err error) {
	if f, ok := d.env.Stdout.(*os.File); ok && terminal(f) {
		return fill, usage("--backfill prints statements that hold the rows' values, tokens too: pipe them into cqlsh")
	}
	if len(targets) != 1 || d.asJSON {
		return fill, usage("--backfill wants one TARGET, and no --json")
	}
	if d.life == "" {
		return fill, usage("--backfill needs --life: how long may such a row still live?")
	}
	fill = app.Fill{Table: d.backfill, Most: d.most, From: math.MinInt64, Out: func(s string) error {
		_, err := fmt.Fprintln(d.env.Stdout, s)
		return err
	}}
	if fill.Life, err = config.ParseDuration(d.life); err != nil {
		return fill, usage("--life: %w", err)
	}
	if fill.Life < time.Second || d.most < 1 {
		return fill, usage("--life is at least 1s, --most at least 1")
	}
	if d.from != "" {
		if fill.From, err = strconv.ParseInt(d.from, 10, 64); err != nil {
			return fill, usage("--from %q is not the token that the last time printed", clean(d.from))
		}
	}
	return fill, nil
}
