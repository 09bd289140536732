package cli

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/longcase/longcase/internal/config"
	"github.com/longcase/longcase/internal/plan"
)

// plannedStore is what a command line asks of the store.
type plannedStore struct {
	rate, uses  string
	every, used string
	logins      float64
	revoked     string
	subject     int
	engine      string
	gcGrace     string
	replicas    int
	cores       int
}

// flags are those that go with --rate.
func (p *plannedStore) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&p.rate, "rate", "", "new sessions: a `rate` like 10/s; then the store is foreseen, not the chains")
	f.StringVar(&p.every, "refresh-every", "", "a `duration`: how often a session is refreshed (default: lifetimes.access)")
	f.StringVar(&p.used, "used-for", "", "a `duration`: how long a session is refreshed (default: lifetimes.session_absolute)")
	f.Float64Var(&p.logins, "logins", -1, "logins for one session; 0.2 where browsers stay signed in for five (default 1)")
	f.StringVar(&p.revoked, "revoked", "1%", "share of the sessions that end early, by logout, reuse or an administrator")
	f.StringVar(&p.uses, "single-uses", "", "DPoP proofs, and client assertions of others than these sessions: a `rate`")
	f.IntVar(&p.subject, "subject", 0, "`bytes` of a user's name (default: as in the file, or 24)")
	f.StringVar(&p.engine, "engine", "", "only this engine: embedded, postgres or cassandra")
	f.StringVar(&p.gcGrace, "gc-grace", "3h", "gc_grace_seconds of Cassandra's tables, as a `duration`")
	f.IntVar(&p.replicas, "replicas", 0, "copies that Cassandra keeps (default: as data says, or 3)")
	f.IntVar(&p.cores, "cores", 4, "processors of one node of Longcase")
}

// storeFlags are the names of those flags.
func storeFlags() []string {
	return []string{"refresh-every", "used-for", "logins", "revoked", "single-uses", "subject", "engine", "gc-grace", "replicas", "cores"}
}

// foresight is a command line that was understood.
type foresight struct {
	ask     plan.Ask
	setup   plan.Setup
	engines []string
	cores   int
}

func (p *plannedStore) read(cfg *config.Config) (f foresight, err error) {
	f = foresight{ask: plan.Ask{Logins: p.logins, Subject: p.subject}, engines: plan.Engines(), cores: p.cores}
	if f.ask.Rate, err = plan.ParseRate(p.rate); err != nil {
		return f, usage("--rate: %w", err)
	}
	if p.uses != "" {
		if f.ask.Once, err = plan.ParseRate(p.uses); err != nil {
			return f, usage("--single-uses: %w", err)
		}
	}
	if f.ask.Revoked, err = share(p.revoked); err != nil {
		return f, usage("--revoked: %w", err)
	}
	for _, d := range []struct {
		flag, text string
		into       *time.Duration
	}{{"refresh-every", p.every, &f.ask.Every}, {"used-for", p.used, &f.ask.Used}, {"gc-grace", p.gcGrace, &f.setup.GCGrace}} {
		if d.text == "" {
			continue
		}
		if *d.into, err = config.ParseDuration(d.text); err != nil {
			return f, usage("--%s: %w", d.flag, err)
		}
		if *d.into == 0 && d.flag != "gc-grace" {
			return f, usage("--%s: 0 s is too short: 1s at least", d.flag)
		}
	}
	return f, p.readEngine(cfg, &f)
}

func (p *plannedStore) readEngine(cfg *config.Config, f *foresight) error {
	switch {
	case p.engine != "" && !slices.Contains(f.engines, p.engine):
		return usage("--engine: there is no engine %q; there are %s", p.engine, strings.Join(f.engines, ", "))
	case p.engine != "":
		f.engines = []string{p.engine}
	}
	f.setup.Replicas = p.replicas
	if f.setup.Replicas == 0 {
		f.setup.Replicas = cfg.Data.Cluster.Replication
	}
	if f.setup.Replicas == 0 {
		f.setup.Replicas = 3
	}
	for _, n := range []struct {
		flag  string
		value int
	}{{"replicas", f.setup.Replicas}, {"cores", p.cores}} {
		if n.value < 1 || n.value > 1000 {
			return usage("--%s: %d is not a number from 1 to 1000", n.flag, n.value)
		}
	}
	if p.subject < 0 || p.subject > 1024 {
		return usage("--subject: %d is not a number of bytes up to 1024", p.subject)
	}
	if p.logins != -1 && !(p.logins >= 0 && p.logins <= 1) { // NaN is neither
		return usage("--logins: %v is not a share from 0 to 1", p.logins)
	}
	return nil
}

// share reads 1% or 0.01.
func share(s string) (float64, error) {
	number, percent := strings.CutSuffix(s, "%")
	n, err := strconv.ParseFloat(number, 64)
	if percent {
		n /= 100
	}
	if err != nil || n < 0 || n > 1 || math.IsNaN(n) {
		return 0, fmt.Errorf("%q is not a share like 1%% or 0.01", s)
	}
	return n, nil
}

// foresee prints what the store will hold.
func (p *planned) foresee(cfg *config.Config) error {
	f, err := p.store.read(cfg)
	if err != nil {
		return err
	}
	load, err := f.ask.Load(cfg)
	if err != nil {
		return usage("%s: %w", cfg.File, err)
	}
	v := newStoreView(load, f, cfg)
	if p.asJSON {
		return printJSON(p.env.Stdout, v)
	}
	return v.print(p.env)
}

// storeView is the store at steady state as it is printed. Bytes are of one copy
// unless they say otherwise.
type storeView struct {
	Rate       float64      `json:"sessions_per_second"`
	Tokens     float64      `json:"token_requests_per_second"`
	Live       float64      `json:"sessions_alive"`
	Life       float64      `json:"session_absolute_seconds"`
	Every      float64      `json:"refresh_every_seconds,omitempty"` // none: never refreshed
	Used       float64      `json:"used_for_seconds,omitempty"`
	Subject    int          `json:"subject_bytes"`
	Engines    []engineView `json:"engines"`
	Incident   growthView   `json:"row_per_token"`
	Sizes      []sizeView   `json:"sizes"`
	Cores      int          `json:"cores_per_node"`
	GCGrace    float64      `json:"gc_grace_seconds"`
	configured string
}

type engineView struct {
	Engine string       `json:"engine"`
	Copies int          `json:"copies"`
	Rows   float64      `json:"rows"`
	Disk   float64      `json:"disk_bytes"`
	Most   float64      `json:"disk_bytes_at_most"`
	Live   float64      `json:"live_bytes"`
	Growth float64      `json:"bytes_per_day_without_an_end"`
	Writes float64      `json:"writes_per_second"`
	Stored []storedView `json:"stored"`
	Parts  []plan.Part  `json:"parts"`
}

type storedView struct {
	Kind   plan.Kind `json:"kind"`
	Rate   float64   `json:"per_second"`
	Life   float64   `json:"life_seconds"`
	Stays  float64   `json:"stays_seconds"`
	Bucket float64   `json:"bucket_seconds,omitempty"`
	Rows   float64   `json:"rows"`
	Row    float64   `json:"bytes_per_row"`
	Bytes  float64   `json:"bytes"`
}

// growthView is incident 4: a row for each token, without an end.
type growthView struct {
	Rows  float64 `json:"rows_per_day"`
	Bytes float64 `json:"bytes_per_day"`
}

type sizeView struct {
	Requests float64          `json:"token_requests_per_second"`
	Sessions float64          `json:"sessions_per_second"`
	Live     float64          `json:"sessions_alive"`
	Nodes    int              `json:"longcase_nodes"`
	Engines  []engineSizeView `json:"engines"`
}

type engineSizeView struct {
	Engine string  `json:"engine"`
	Disk   float64 `json:"disk_bytes"`
	Cores  float64 `json:"cores,omitempty"` // of all machines of the engine
	Wall   bool    `json:"beyond_its_wall"`
}

func newStoreView(l plan.Load, f foresight, cfg *config.Config) storeView {
	rows, bytes := l.RowPerToken()
	v := storeView{
		Rate: l.Sessions, Tokens: l.Tokens(), Live: l.Live(), Life: seconds(l.Life), Every: seconds(l.Every), Used: seconds(l.Used), Subject: l.Subject,
		Incident: growthView{rows, bytes}, Cores: f.cores, GCGrace: seconds(f.setup.GCGrace), configured: cfg.Data.Engine,
	}
	if l.Refreshes() == 0 {
		v.Every, v.Used = 0, 0
	}
	for _, name := range f.engines {
		v.Engines = append(v.Engines, newEngineView(l.Steady(name, f.setup)))
	}
	for _, s := range l.Sizes(f.cores, f.setup, f.engines) {
		one := sizeView{Requests: s.Requests, Sessions: s.Sessions, Live: s.Live, Nodes: s.Nodes}
		for _, e := range s.Engines {
			one.Engines = append(one.Engines, engineSizeView(e))
		}
		v.Sizes = append(v.Sizes, one)
	}
	return v
}

func newEngineView(e plan.Estimate) engineView {
	v := engineView{Engine: e.Engine, Copies: e.Copies, Disk: e.Disk, Most: e.Most, Live: e.Live, Growth: e.Growth, Writes: e.Writes, Parts: e.Parts}
	for _, s := range e.Stored {
		v.Rows += s.Rows
		v.Stored = append(v.Stored, storedView{s.Kind, s.Rate, seconds(s.Life), seconds(s.Stays), seconds(s.Bucket), s.Rows, s.Bytes / s.Rows, s.Bytes})
	}
	return v
}
