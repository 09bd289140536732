package issuer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/token"
)

// Keys signs and authenticates. Every method may be called concurrently and
// answers from memory.
type Keys interface {
	// Signer returns the signer of the active key.
	Signer(now time.Time) (token.Signer, error)
	// Set returns the JWK Set (RFC 7517) as it is published at now, and how long
	// it may be cached.
	Set(now time.Time) (body []byte, maxAge time.Duration)
	// Find returns the keys for kid and alg that may have signed a token that is
	// still live; no revoked ones.
	Find(kid string, alg token.Algorithm, now time.Time) []token.Key
	// CurrentMAC names the key that new sessions and codes are authenticated
	// with; MAC computes HMAC-SHA256 with a named key.
	CurrentMAC(now time.Time) string
	MAC(id string, message []byte) ([]byte, error)
}

// Lifetimes are the ends of what is issued; fractions of a second are dropped.
type Lifetimes struct {
	Access    time.Duration // life of an access token; default 5m, 1 s to MaxAccess
	MaxAccess time.Duration // longest Access this issuer ever had; default 1h, at most 24h
	// SessionIdle and SessionAbsolute end a session after its last refresh and
	// after its beginning. Both or none; none: no refresh tokens.
	SessionIdle     time.Duration
	SessionAbsolute time.Duration
	Code            time.Duration // life of an authorization code; default 60s, at most 10m
	Backdate        time.Duration // nbf = iat - Backdate; 0: not dated back, at most 5m
	Grace           time.Duration // how long a lost refresh response may be repeated; 0: never, at most 10m
}

// Config is what an Issuer needs. Fields without a default are required.
type Config struct {
	URL       string // issuer identifier, byte for byte what "iss" will say
	Engine    store.Engine
	Keys      Keys
	Clients   Clients
	Users     Users // nil: nobody can sign in, and sessions depend on no user
	Lifetimes Lifetimes
	Node      token.Node // stands in the id of each token; empty: it names no node
	Hooks     Hooks
	Log       *slog.Logger     // default slog.Default()
	Now       func() time.Time // default time.Now; read once per request
}

// Issuer is a token service. Make one with New; methods may be called
// concurrently.
type Issuer struct {
	cfg     Config
	base    string // URL without a final slash: endpoints begin with it
	path    string // its path
	routes  map[string]route
	early   *earlyEnds
	slow    slow               // failed logins
	ending  singleflight.Group // one end per session and time
	streams atomic.Int64       // open feeds
	over    chan struct{}      // closed when Run ends
}

// New checks cfg and returns an Issuer. It does no I/O and starts no goroutine.
// The error names every field that is wrong, not only the first.
func New(cfg Config) (*Issuer, error) {
	cfg.Lifetimes = cfg.Lifetimes.withDefaults()
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	at, err := url.Parse(cfg.URL)
	if err := errors.Join(checkURL(at, err), cfg.checkParts(), cfg.Lifetimes.check()); err != nil {
		return nil, err
	}
	is := &Issuer{cfg: cfg, over: make(chan struct{})}
	is.early = newEarlyEnds(maxEnds, is.longestLife)
	is.base = strings.TrimSuffix(cfg.URL, "/")
	is.path = strings.TrimSuffix(at.EscapedPath(), "/")
	is.routes = is.table()
	return is, nil
}

// checkURL holds an issuer identifier to RFC 8414 section 2. That plain http
// ends at loopback is the configuration's rule.
func checkURL(u *url.URL, err error) error {
	switch {
	case err != nil:
		return fmt.Errorf("issuer: URL is not a URL: give an https URL without query and fragment")
	case u.Scheme != "https" && u.Scheme != "http", u.Host == "":
		return fmt.Errorf("issuer: URL %q is not absolute: give an https URL", u.Redacted())
	case u.RawQuery != "", u.Fragment != "", u.User != nil, u.ForceQuery:
		return fmt.Errorf("issuer: URL %q has a query, fragment or user: an issuer identifier has none", u.Redacted())
	}
	return nil
}

func (c Config) checkParts() error {
	var errs []error
	missing := func(name string, absent bool) {
		if absent {
			errs = append(errs, fmt.Errorf("issuer: %s is missing", name))
		}
	}
	missing("Engine", c.Engine == nil)
	missing("Keys", c.Keys == nil)
	missing("Clients", c.Clients == nil)
	return errors.Join(errs...)
}

func (l Lifetimes) withDefaults() Lifetimes {
	defaultTo := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	defaultTo(&l.Access, 5*time.Minute)
	defaultTo(&l.MaxAccess, max(l.Access, time.Hour))
	defaultTo(&l.Code, time.Minute)
	return l
}

func (l Lifetimes) check() error {
	var errs []error
	between := func(name string, d, least, most time.Duration) {
		if d < least || d > most {
			errs = append(errs, fmt.Errorf("issuer: lifetime %s is %s: give %s to %s", name, d, least, most))
		}
	}
	between("MaxAccess", l.MaxAccess, time.Second, 24*time.Hour)
	between("Access", l.Access, time.Second, l.MaxAccess)
	between("Code", l.Code, time.Second, 10*time.Minute)
	between("Backdate", l.Backdate, 0, 5*time.Minute)
	between("Grace", l.Grace, 0, 10*time.Minute)
	if l.SessionIdle != 0 || l.SessionAbsolute != 0 {
		between("SessionIdle", l.SessionIdle, time.Second, maxSession)
		between("SessionAbsolute", l.SessionAbsolute, time.Second, maxSession)
	}
	return errors.Join(errs...)
}

// maxSession bounds a session: what has no end in sight is no lease.
const maxSession = 10 * 365 * 24 * time.Hour

// Ready reports why the issuer cannot serve yet: no signing key, or the early
// ends are not loaded.
func (is *Issuer) Ready() error {
	if _, err := is.cfg.Keys.Signer(is.cfg.Now()); err != nil {
		return fmt.Errorf("issuer: no signing key: %w", err)
	}
	return is.early.ready()
}

// Run follows the store's revocations until ctx ends, and then ends the open
// feeds. It returns nil when ctx ends; call it once.
func (is *Issuer) Run(ctx context.Context) error {
	defer close(is.over)
	is.watch(ctx)
	return nil
}
