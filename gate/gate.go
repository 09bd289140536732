// Package gate puts verify at the edges: middleware for net/http, an answer for
// forward-auth (/verify behind nginx, Caddy, Traefik and Envoy), a reverse proxy,
// and Judge for the adapters of other servers (gate/grpc, gate/extauthz). There is
// one judgement; an edge only builds a Request and says the Answer, so the same
// request has the same status, reason, detail and challenge everywhere (RFC 6750,
// RFC 9449, RFC 9457).
//
//	g, err := gate.New(gate.Config{Issuers: []verify.Issuer{{URL: iss, Audience: aud}}})
//	go g.Run(ctx) // keys and early ends
//	http.Handle("/orders/", g.Middleware(orders)) // claims: gate.FromContext(ctx)
//
// A judgement goes through these steps, and the first that fails is the answer:
// the rate of the address, whether the proxy in front is believed, the path and
// its route, the token with its proof of a key (a CORS preflight needs none), and
// the rate of the client. Hooks, the log and the audit record hear of each
// judgement once.
//
// A gate keeps no state beside the keys, the early ends it was told of, what was
// used once, and the rates, all of them bounded. It never guesses: a path that two
// programs could read differently is refused, and so is every token when nobody
// knows which ones have ended. What a client says of itself under a name that only
// a proxy may write does not get past it.
package gate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/longcase/longcase/jwks/remote"
	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify"
	"github.com/longcase/longcase/verify/skew"
)

// Forward names the proxy in front whose headers say what the original request
// was.
type Forward string

// The proxies whose forward-auth headers are understood.
const (
	NoForward Forward = ""        // none: /verify judges by Issuers alone
	Nginx     Forward = "nginx"   // X-Original-Method, X-Original-URI
	Traefik   Forward = "traefik" // X-Forwarded-Method, X-Forwarded-Uri; Caddy too
	Envoy     Forward = "envoy"   // the method itself, and the path below /verify
)

// WhenStale says what happens while the feed of early ends is out of date.
type WhenStale string

// The two answers.
const (
	RefuseStale WhenStale = "refuse" // 503 revocations_stale; the default
	AcceptStale WhenStale = "accept" // judge by what is known
)

// Config is what a Gate needs. Only Issuers is required.
type Config struct {
	Issuers        []verify.Issuer // nil Keys: found by discovery, kept fresh by Run
	KeysStale      time.Duration   // how long found keys serve when they cannot be fetched; default 24 h
	Routes         []Route         // none: Issuers alone decide
	Forward        Forward
	TrustedProxies []netip.Prefix // peers whose Forward and X-Forwarded headers are believed; required with Forward

	Revocations     Feed          // early ends; nil: nothing ends early
	RevocationsFrom string        // the issuer whose tokens the feed ends; default: the only one
	MaxRevocations  int           // entries kept; default 1,000,000; more are refused and the feed is stale
	StaleAfter      time.Duration // silence after which the feed is stale; default 10 s
	WhenStale       WhenStale     // default RefuseStale

	// URL is what clients call this gate: what proofs of DPoP must be for. Empty: the
	// Host of each request, which behind another proxy is not what the client called,
	// and which whoever passes on a proof for another host may choose.
	URL      string
	Rates    Rates      // none by default
	Skew     *skew.Book // what is known of issuers' clocks; default: one of its own
	NonceKey []byte     // makes DPoP nonces, 32 bytes or more; nodes that share it take each other's; default: random
	// First remembers single uses: true for the first use of key. Default:
	// Remember, whose memory is this gate's alone and ends with it.
	First      verify.First
	CacheBytes int // memory of verified tokens; default 64 MiB; negative: none

	Client    *http.Client      // fetches keys; default: jwks/remote's own
	Transport http.RoundTripper // calls upstreams; default: one of its own, no proxy from the environment
	Hooks     Hooks
	Log       *slog.Logger     // default slog.Default(); one line for each refusal, never a token
	Now       func() time.Time // default time.Now; read once per request
}

// Hooks are called as things happen; nil ones are not. They must not block.
type Hooks struct {
	Decided    func(Decision)  // after each judgement, and where no route takes the request
	FeedBroken func(err error) // the feed ended and will be opened again
	Audit      func(Record)    // after each decision
}

// Gate judges requests. Make one with New.
type Gate struct {
	cfg      Config
	verifier *verify.Verifier
	routes   routes
	any      *route // asks for nothing but a token that Issuers accept
	sources  []*remote.Source
	index    *index // nil without a feed
	upstream http.RoundTripper
	own      []*http.Transport // of routes with TLS of their own
	buffers  buffers
	realm    string
	keys     possession

	clients, addresses *limiter // nil: no bound
}

// New checks cfg and returns a Gate. It does no I/O and starts no goroutine.
// The error names every field that is wrong, not only the first.
func New(cfg Config) (*Gate, error) {
	cfg = cfg.withDefaults()
	g := &Gate{cfg: cfg, any: &route{}, upstream: cfg.Transport}
	wrong := []error{cfg.check(), g.findKeys()}
	g.clients, g.addresses = newLimiter(cfg.Rates.Client, maxBuckets), newLimiter(cfg.Rates.Address, maxBuckets)
	if cfg.Revocations != nil {
		g.index = newIndex(cfg.MaxRevocations, cfg.StaleAfter)
	}
	var err error
	g.keys, _ = newPossession(cfg) // its one error is cfg.check's as well
	g.verifier, err = verify.New(verify.Config{
		Issuers: g.cfg.Issuers, Ended: g.ended, Skew: cfg.Skew, First: cfg.First, CacheBytes: max(cfg.CacheBytes, 0),
	})
	wrong = append(wrong, err)
	g.routes, err = newRoutes(cfg.Routes, cfg.audiences(), g)
	if err = errors.Join(append(wrong, err)...); err != nil {
		return nil, err
	}
	g.realm = realm(cfg)
	return g, nil
}

// findKeys makes one source for each issuer that has no keys of its own.
func (g *Gate) findKeys() error {
	g.cfg.Issuers = append([]verify.Issuer(nil), g.cfg.Issuers...)
	found := make(map[string]*remote.Source)
	var wrong []error
	for i := range g.cfg.Issuers {
		is := &g.cfg.Issuers[i]
		if is.Keys != nil || is.Introspect != nil {
			continue
		}
		src, ok := found[is.URL]
		if !ok {
			var err error
			src, err = g.newSource(is.URL)
			if err != nil {
				wrong = append(wrong, fmt.Errorf("gate: issuers[%d]: %w", i, err))
				continue
			}
			found[is.URL] = src
			g.sources = append(g.sources, src)
		}
		is.Keys = src
	}
	return errors.Join(wrong...)
}

func (g *Gate) newSource(issuer string) (*remote.Source, error) {
	return remote.New(remote.Config{
		Issuer: issuer, Client: g.cfg.Client, Stale: g.cfg.KeysStale, Now: g.cfg.Now, Log: g.cfg.Log,
		Dated: func(sent, received, date time.Time) { g.cfg.Skew.Date(issuer, sent, received, date) },
	})
}

// Run keeps keys and early ends fresh until ctx ends, and then returns nil.
func (g *Gate) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, src := range g.sources {
		wg.Go(func() { _ = src.Run(ctx) })
	}
	if g.index != nil {
		wg.Go(func() { g.followFeed(ctx) })
	}
	<-ctx.Done()
	wg.Wait()
	if t, ok := g.upstream.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
	for _, t := range g.own {
		t.CloseIdleConnections()
	}
	return nil
}

// Ready reports what is missing before every request can be judged: the feed,
// loaded whole, and the keys of each issuer. Where a stale feed is accepted it
// need be loaded only once.
func (g *Gate) Ready() error {
	var missing []error
	if g.index != nil {
		missing = append(missing, g.index.ready(g.cfg.RevocationsFrom, g.cfg.WhenStale == AcceptStale, g.cfg.Now()))
	}
	for _, is := range g.cfg.Issuers {
		if k, ok := is.Keys.(interface{ Ready() error }); ok {
			if err := k.Ready(); err != nil {
				missing = append(missing, fmt.Errorf("gate: keys of %s: %w", is.URL, err))
			}
		}
	}
	return errors.Join(missing...)
}

// Revocations is how many early ends the gate holds.
func (g *Gate) Revocations() int {
	if g.index == nil {
		return 0
	}
	return g.index.Len()
}

// ended is verify's question whether a token ended early. Only the issuer that
// the feed speaks for is asked about.
func (g *Gate) ended(kid string, c *token.Claims, now time.Time) error {
	if g.index == nil || c.Issuer != g.cfg.RevocationsFrom {
		return nil
	}
	if g.cfg.WhenStale == RefuseStale {
		if err := g.index.stale(now); err != nil {
			return err
		}
	}
	return g.index.Ended(kid, c)
}

type contextKey struct{}

// FromContext returns the claims of the token that Middleware accepted. They are
// the caller's own: verify goes on judging by those it keeps.
func FromContext(ctx context.Context) (token.Claims, bool) {
	c, ok := ctx.Value(contextKey{}).(*token.Claims)
	if !ok {
		return token.Claims{}, false
	}
	own := *c
	own.Audience, own.Raw = slices.Clone(c.Audience), slices.Clone(c.Raw)
	return own, true
}
