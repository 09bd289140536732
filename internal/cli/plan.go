package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/longcase/longcase/internal/config"
	"github.com/longcase/longcase/internal/plan"
)

// planned is what a command line asks of plan.
type planned struct {
	env     *Env
	file    string
	length  string
	once    bool
	renewed []string
	asJSON  bool
	store   plannedStore
}

func planCommand(env *Env) *cobra.Command {
	p := &planned{env: env}
	cmd := &cobra.Command{
		Use:   "plan [NAME...] | plan --rate RATE",
		Short: "Foresee how long chains of credentials last, or what the store will hold",
		Long: "With --rate, foresee what the store holds when as much ends as begins: sessions, rows and disk on each\n" +
			"engine, what it would grow by without an end, and what 10 to 1,000,000 requests a second take.\n\n" +
			"Without it, foresee how long chains of credentials last: each link's life, who renews it, and what ends the chain.\n" +
			"Without names, of each credential that is published or that no other is got with. With --for, a chain\n" +
			"that ends before the job does is named, with a remedy (exit code 1). No service is asked: lives are those\n" +
			"that the configuration asks for, that a token in a file says, or that vendors document.",
		ValidArgsFunction: env.completeNames(&p.file),
		RunE:              func(cmd *cobra.Command, names []string) error { return p.choose(cmd, names) },
	}
	fileFlag(cmd, &p.file)
	f := cmd.Flags()
	f.StringVar(&p.length, "for", "", "how long the job runs that the credentials are for: a `duration` like 6h")
	f.BoolVar(&p.once, "once", false, "the job takes each credential once, at its beginning, and never asks again")
	f.StringArrayVar(&p.renewed, "renewed", nil, "`name` of a credential whose file somebody keeps fresh; may be repeated")
	p.store.flags(cmd)
	jsonFlag(cmd, &p.asJSON)
	return cmd
}

// choose tells the two plans apart: flags of one mean nothing to the other.
func (p *planned) choose(cmd *cobra.Command, names []string) error {
	rated := cmd.Flags().Changed("rate")
	foreign := storeFlags()
	if rated {
		foreign = []string{"for", "once", "renewed"}
	}
	for _, flag := range foreign {
		switch {
		case !cmd.Flags().Changed(flag):
		case rated:
			return usage("--%s is about chains of credentials, --rate about the store: give one of them", flag)
		default:
			return usage("--%s is about the store: how many sessions begin? give --rate, like 10/s", flag)
		}
	}
	if !rated {
		return p.run(names)
	}
	if len(names) > 0 {
		return usage("%s: credentials have chains, --rate is about the store: leave one of them out", strings.Join(names, " "))
	}
	cfg, _, err := p.read()
	if err != nil {
		return err
	}
	return p.foresee(cfg)
}

func (p *planned) run(names []string) error {
	cfg, job, err := p.read()
	if err != nil {
		return err
	}
	chains, err := plan.Chains(cfg, plan.Files{Life: p.lifeOf, Read: readSome}, names, p.renewed...)
	if err != nil {
		return usage("%s: %w", cfg.File, err)
	}
	views, fails := judged(chains, job)
	if p.asJSON {
		err = printJSON(p.env.Stdout, map[string]any{"for_seconds": seconds(job.Length), "once": job.Once, "chains": views})
	} else {
		err = printPlan(p.env, cfg, views)
	}
	if err == nil && fails {
		return &exit{code: exitNo}
	}
	return err
}

// read checks the command line and loads the configuration.
func (p *planned) read() (*config.Config, plan.Job, error) {
	job := plan.Job{Once: p.once}
	file := p.env.configFile(p.file)
	if file == "" {
		return nil, job, &misuse{errors.New("which configuration? give -c FILE or LONGCASE_CONFIG"), "longcase plan -c FILE [--rate R] [NAME...]"}
	}
	if p.once && p.length == "" {
		return nil, job, usage("--once needs --for: how long does the job hold what it took?")
	}
	if p.length != "" {
		d, err := config.ParseDuration(p.length)
		if err != nil {
			return nil, job, usage("--for: %w", err)
		}
		job.Length = d
	}
	cfg, err := load(file)
	return cfg, job, err
}

// lifeOf is exp - iat of a token in a file.
func (p *planned) lifeOf(path string) (time.Duration, bool) {
	data, err := readSome(path)
	if err != nil {
		return 0, false
	}
	raw := string(bytes.TrimSpace(data))
	if strings.Count(raw, ".") != 2 {
		return 0, false
	}
	x, ok := explainJWT(raw, p.env.Now())
	if !ok || x.Window == nil || x.Window.Life <= 0 {
		return 0, false
	}
	return time.Duration(x.Window.Life * float64(time.Second)), true
}

// readSome reads a file of a token or an account: no longer one is.
func readSome(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxInput))
}

// planView is one chain as it is printed.
type planView struct {
	Name     string         `json:"name"`
	Life     float64        `json:"life_seconds,omitempty"`     // of one lease; none: not known
	Shortest string         `json:"shortest,omitempty"`         // link of the chain
	Least    float64        `json:"shortest_seconds,omitempty"` // its life
	Forever  bool           `json:"renews_forever"`
	Renews   float64        `json:"renews_seconds,omitempty"` // with no help from outside
	Lasts    float64        `json:"lasts_seconds,omitempty"`  // the last lease included
	Links    []linkView     `json:"links"`
	Findings []plan.Finding `json:"findings"`
}

type linkView struct {
	Name  string  `json:"name"`
	Kind  string  `json:"kind"`
	Depth int     `json:"depth"`
	Life  float64 `json:"life_seconds,omitempty"`
	From  string  `json:"life_from"`
	By    string  `json:"renewed_by"`
}

func judged(chains []plan.Chain, job plan.Job) (views []planView, fails bool) {
	views = []planView{}
	for _, c := range chains {
		v := planView{Name: c.Name, Life: seconds(c.Life()), Forever: c.Reach.Forever, Lasts: seconds(c.Reach.Least), Findings: c.Judge(job)}
		if l, ok := c.Shortest(); ok {
			v.Shortest, v.Least = l.Name, seconds(l.Life)
		}
		if d, known := c.Renews(); known {
			v.Renews = seconds(d)
		}
		for _, l := range c.Links {
			v.Links = append(v.Links, linkView{l.Name, l.Kind, l.Depth, seconds(l.Life), l.From, l.By})
		}
		for _, f := range v.Findings {
			fails = fails || f.Fails
		}
		views = append(views, v)
	}
	return views, fails
}

func seconds(d time.Duration) float64 { return d.Seconds() }

// printPlan writes a table of links, what they stand on below them, and then
// what is worth knowing.
func printPlan(env *Env, cfg *config.Config, views []planView) error {
	if len(views) == 0 {
		fmt.Fprintf(env.Stderr, "%s names no credentials: they stand under agent.credentials.\n", clean(cfg.File))
		return nil
	}
	rows := [][]string{{"CREDENTIAL", "KIND", "LIFE", "RENEWED BY", "LIFE KNOWN FROM"}}
	for _, v := range views {
		for _, l := range v.Links {
			rows = append(rows, []string{strings.Repeat("  ", l.Depth) + l.Name, l.Kind, lifeText(l.Life), l.By, l.From})
		}
	}
	if err := table(env.Stdout, rows); err != nil {
		return err
	}
	for _, v := range views {
		fmt.Fprintf(env.Stdout, "\n%s: %s\n", v.Name, v.summary())
		for _, f := range v.Findings {
			fmt.Fprintf(env.Stdout, "  %s %s\n    %s\n", map[bool]string{true: "!", false: "-"}[f.Fails], clean(f.Says), clean(f.Remedy))
		}
	}
	return nil
}

// summary is a chain in one line.
func (v planView) summary() string {
	s := "the life of no link is known here"
	if v.Shortest != "" {
		s = fmt.Sprintf("the shortest link is %s, %s", v.Shortest, lifeText(v.Least))
	}
	switch {
	case v.Forever:
		return s + "; every link is renewed"
	case v.Renews > 0:
		return s + "; it renews for " + lifeText(v.Renews) + " and lasts " + lifeText(v.Lasts)
	}
	return s
}

func lifeText(s float64) string {
	if s <= 0 {
		return "?"
	}
	return span(time.Duration(s * float64(time.Second)))
}
