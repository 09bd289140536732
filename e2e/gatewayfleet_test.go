package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"text/template"
	"time"

	"golang.org/x/net/websocket"

	"github.com/longcase/longcase/gate"
	"github.com/longcase/longcase/internal/clock"
	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify"
	"github.com/longcase/longcase/verify/skew"
)

// fleet is every adapter, each before a gate of its own with one and the same
// policy, and one upstream behind them all.
type fleet struct {
	t      *testing.T
	own    *world // our issuer, whose feed ends tokens early
	house  *mint  // where most tokens come from
	late   *mint  // its clock seems ahead by nbf
	ahead  *mint  // and this one's by iat
	dead   *mint  // accepted, and nobody answers there
	behind *backend
	edges  []*edge
}

// edge is one adapter as a caller sees it.
type edge struct {
	name string
	URL  string   // what callers call, and what a proof of possession names
	gate *process // behind it; nil in the test's own process
	mute bool     // a refusal that is the service's fault comes as a bare status
	ask  func(t *testing.T, p probe) answer
}

// probe is one request to be judged.
type probe struct {
	method, path string // default POST /orders/1
	scheme       string // default Bearer
	token        string // none if empty
	header       http.Header
}

// fleetFile is the policy of every gate. The addresses differ.
const fleetFile = `data: longcase-data
gate:
  listen: {{.Gate}}
  url: {{.URL}}
{{if .ExtAuthz}}  ext_authz: {{.ExtAuthz}}
{{end}}{{if .Forward}}  forward: {{.Forward}}
{{end}}{{if .Trusted}}  trusted_proxies: [127.0.0.1/32]
{{end}}  accept:
{{range .Issuers}}    - {issuer: {{.}}, audience: ` + audience + `, algorithms: [ES256]}
{{end}}  revocations: {follow: {{.Own}}, client: gate, secret: {file: gate.secret}, stale_after: 4s}
  rates: {client: 5/s}
  routes:
    - {path: /orders/, methods: [GET, POST], scopes: [orders.read], upstream: "{{.Upstream}}"}
    - {path: /orders/new, methods: [POST], scopes: [orders.write], upstream: "{{.Upstream}}"}
    - {path: /partner/, clients: [partner], upstream: "{{.Upstream}}"}
    - {path: /once/, once: true, upstream: "{{.Upstream}}"}
    - {path: /bound/, binding: dpop, upstream: "{{.Upstream}}"}
    - {path: /read/, methods: [GET], upstream: "{{.Upstream}}"}
    - {path: /admin/, scopes: [admin], upstream: "{{.Upstream}}"}
`

// fleetRoutes is fleetFile's policy for the gates of this process.
func fleetRoutes() []gate.Route {
	return []gate.Route{
		{Path: "/orders/", Methods: []string{"GET", "POST"}, Scopes: []string{"orders.read"}},
		{Path: "/orders/new", Methods: []string{"POST"}, Scopes: []string{"orders.write"}},
		{Path: "/partner/", Clients: []string{"partner"}},
		{Path: "/once/", Once: true},
		{Path: "/bound/", Binding: verify.DPoP},
		{Path: "/read/", Methods: []string{"GET"}},
		{Path: "/admin/", Scopes: []string{"admin"}},
	}
}

// newFleet starts everything.
func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{
		t: t, own: prepare(t, plan{Remote: true}), behind: newBackend(t),
		house: newMint(t, "house"), late: newMint(t, "late"), ahead: newMint(t, "ahead"),
		dead: &mint{t: t, URL: "http://" + freeAddress(t), kid: "dead", key: newKey(t)},
	}
	f.own.process = serve(t, f.own.dir, "-c", f.own.file)
	f.own.hide()
	f.middleware()
	f.grpc()
	a, p := f.gate("", gateway{by: byProxy})
	f.add("proxy", "http://"+a.Front, p)
	for _, g := range gateways(t) {
		f.front(g)
		if g.name == "envoy grpc" {
			g.name, g.config = "envoy for istio", asIstio(t, g.config)
			f.front(g)
		}
	}
	return f
}

// asIstio is Envoy's file as Istio writes it for a provider of CUSTOM
// authorization: without what only our page has.
func asIstio(t *testing.T, config string) string {
	t.Helper()
	before, rest, found := strings.Cut(config, "                  - name: envoy.filters.http.header_mutation\n")
	_, after, ends := strings.Cut(rest, "                  - name: envoy.filters.http.ext_authz\n")
	if !found || !ends || !strings.Contains(after, "encode_raw_headers: true") {
		t.Fatal("docs/envoy.md: the file is not the one that Istio's differs from")
	}
	return before + "                  - name: envoy.filters.http.ext_authz\n" + strings.Replace(after, "encode_raw_headers: true", "encode_raw_headers: false", 1)
}

// issuers are those that every gate accepts.
func (f *fleet) issuers() []string {
	return []string{f.own.Issuer, f.house.URL, f.late.URL, f.ahead.URL, f.dead.URL}
}

// gate runs a gate behind front, which is "" where the gate itself is called.
func (f *fleet) gate(front string, g gateway) (addresses, *process) {
	f.t.Helper()
	a := addresses{Front: front, Gate: freeAddress(f.t), Upstream: f.behind.address}
	if g.by == byCheck {
		a.ExtAuthz = freeAddress(f.t)
	}
	trusted := front != "" && g.by != byCheck
	if front == "" {
		a.Front = a.Gate
	}
	dir := f.t.TempDir()
	writeFile(f.t, dir, "gate.secret", f.own.Secret["gate"].Secret+"\n")
	var text bytes.Buffer
	err := template.Must(template.New("gate").Parse(fleetFile)).Execute(&text, map[string]any{
		"Gate": a.Gate, "URL": "http://" + a.Front, "ExtAuthz": a.ExtAuthz, "Forward": g.forward(), "Trusted": trusted,
		"Issuers": f.issuers(), "Own": f.own.Issuer, "Upstream": "http://" + f.behind.address,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return a, serve(f.t, dir, "-c", writeFile(f.t, dir, "gate.yaml", text.String()))
}

// front adds a gateway before a gate of its own.
func (f *fleet) front(g gateway) {
	f.t.Helper()
	a, p := f.gate(freeAddress(f.t), g)
	f.add(g.name, g.start(f.t, a, g.config), p).mute = g.by == "envoy"
}

// middleware adds net/http's, in a program as people write it.
func (f *fleet) middleware() {
	f.t.Helper()
	s := httptest.NewUnstartedServer(nil)
	url := "http://" + s.Listener.Addr().String()
	s.Config.Handler = f.inProcess(url).Middleware(f.behind)
	s.Start()
	f.t.Cleanup(s.Close)
	f.add("middleware", url, nil)
}

// inProcess is a gate of the test's own process, which knows of its host's clock
// what longcase serve would.
func (f *fleet) inProcess(url string) *gate.Gate {
	f.t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	feed, err := gate.NewFollower(gate.Follow{Issuer: f.own.Issuer, ClientID: "gate", Secret: f.own.Secret["gate"].Secret})
	if err != nil {
		f.t.Fatal(err)
	}
	book := skew.New()
	watch, err := clock.New(clock.Config{Tell: book.SetHost, Log: quiet})
	if err != nil {
		f.t.Fatal(err)
	}
	cfg := gate.Config{
		Routes: fleetRoutes(), URL: url, Rates: gate.Rates{Client: 5}, Skew: book,
		Revocations: feed, RevocationsFrom: f.own.Issuer, StaleAfter: 4 * time.Second,
		Log: quiet,
	}
	for _, is := range f.issuers() {
		cfg.Issuers = append(cfg.Issuers, verify.Issuer{URL: is, Audience: audience, Algorithms: []token.Algorithm{token.ES256}})
	}
	g, err := gate.New(cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = g.Run(ctx) })
	running.Go(func() { _ = watch.Run(ctx) })
	f.t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return g
}

// add takes an adapter that is called over HTTP.
func (f *fleet) add(name, url string, p *process) *edge {
	e := &edge{name: name, URL: url, gate: p}
	e.ask = func(t *testing.T, p probe) answer { return send(t, p.request(t, url)) }
	f.edges = append(f.edges, e)
	return e
}

// request makes the HTTP request of p.
func (p probe) request(t *testing.T, url string) *http.Request {
	t.Helper()
	p = p.filled()
	r, err := http.NewRequest(p.method, url+p.path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range p.header {
		r.Header[name] = values
	}
	if p.token != "" {
		r.Header.Set("Authorization", p.scheme+" "+p.token)
	}
	return r
}

func (p probe) filled() probe {
	if p.method == "" {
		p.method = http.MethodPost
	}
	if p.path == "" {
		p.path = "/orders/1"
	}
	if p.scheme == "" {
		p.scheme = "Bearer"
	}
	return p
}

// backend is the service behind every gateway. It says what it got, keeps it,
// and has a WebSocket that echoes and a stream of events that goes on.
type backend struct {
	address string
	mu      sync.Mutex
	got     []seen
}

// seen is a request as the service behind got it.
type seen struct {
	Method string      `json:"method"`
	Target string      `json:"target"`
	Header http.Header `json:"header"`
}

func newBackend(t *testing.T) *backend {
	t.Helper()
	b := &backend{}
	s := httptest.NewServer(b)
	t.Cleanup(s.Close)
	b.address = strings.TrimPrefix(s.URL, "http://")
	return b
}

// ServeHTTP answers by path.
func (b *backend) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	s := seen{r.Method, r.RequestURI, r.Header}
	if c, ok := gate.FromContext(r.Context()); ok { // there is no gate in front, but in it
		s.Header = r.Header.Clone()
		s.Header.Set("X-Token-Subject", c.Subject)
	}
	b.mu.Lock()
	b.got = append(b.got, s)
	b.mu.Unlock()
	switch r.URL.Path {
	case "/read/socket":
		websocket.Server{Handler: echo}.ServeHTTP(rw, r)
	case "/read/events":
		tick(rw, r)
	default:
		rw.Header().Set("Access-Control-Allow-Origin", "*")
		rw.Header().Set("X-Upstream", "yes")
		_ = json.NewEncoder(rw).Encode(s)
	}
}

// take returns what came since it was last asked.
func (b *backend) take() []seen {
	b.mu.Lock()
	defer b.mu.Unlock()
	got := b.got
	b.got = nil
	return got
}

// echo says back what it is told.
func echo(c *websocket.Conn) { _, _ = io.Copy(c, c) }

// tick sends three events, each by itself, and then waits until the caller goes
// away.
func tick(rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set("Content-Type", "text/event-stream")
	for i := range 3 {
		fmt.Fprintf(rw, "data: %d\n\n", i)
		if http.NewResponseController(rw).Flush() != nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	<-r.Context().Done()
}
