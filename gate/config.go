package gate

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/longcase/longcase/verify/skew"
)

const (
	defaultStaleAfter     = 10 * time.Second
	defaultMaxRevocations = 1_000_000
	defaultCacheBytes     = 64 << 20
	idlePerUpstream       = 256 // connections kept open to one upstream
	nonceKeyBytes         = 32
)

func (cfg Config) withDefaults() Config {
	if cfg.StaleAfter == 0 {
		cfg.StaleAfter = defaultStaleAfter
	}
	if cfg.MaxRevocations == 0 {
		cfg.MaxRevocations = defaultMaxRevocations
	}
	if cfg.WhenStale == "" {
		cfg.WhenStale = RefuseStale
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Transport == nil {
		cfg.Transport = newTransport()
	}
	cfg.withMemory()
	if issuers := cfg.issuers(); cfg.RevocationsFrom == "" && len(issuers) == 1 {
		cfg.RevocationsFrom = issuers[0]
	}
	return cfg
}

// withMemory fills in what a gate remembers by itself.
func (cfg *Config) withMemory() {
	if cfg.Skew == nil {
		cfg.Skew = skew.New()
	}
	if cfg.First == nil {
		cfg.First = Remember(cfg.Now)
	}
	if cfg.CacheBytes == 0 {
		cfg.CacheBytes = defaultCacheBytes
	}
	if cfg.NonceKey == nil {
		cfg.NonceKey = make([]byte, nonceKeyBytes)
		_, _ = rand.Read(cfg.NonceKey) // never fails
	}
}

// newTransport calls upstreams over HTTP/1.1, and over HTTP/2 where an https
// upstream offers it.
func newTransport() *http.Transport {
	t := &http.Transport{}
	if std, ok := http.DefaultTransport.(*http.Transport); ok {
		t = std.Clone()
	}
	t.ForceAttemptHTTP2 = true
	t.Proxy = nil
	t.MaxIdleConns = 0
	t.MaxIdleConnsPerHost = idlePerUpstream
	return t
}

// check reports what verify.New and newRoutes do not look at.
func (cfg Config) check() error {
	var wrong []error
	add := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf("gate: "+format, args...)) }
	switch cfg.Forward {
	case NoForward, Nginx, Traefik, Envoy:
	default:
		add("forward: %q is none of %q, %q and %q", cfg.Forward, Nginx, Traefik, Envoy)
	}
	if cfg.Forward != NoForward && len(cfg.TrustedProxies) == 0 {
		add("trusted proxies: required with forward %q; name the proxy's address", cfg.Forward)
	}
	for i, p := range cfg.TrustedProxies {
		if !p.IsValid() {
			add("trusted proxies[%d]: not a prefix", i)
		}
	}
	for i, r := range cfg.Routes {
		if cfg.Forward == Envoy && strings.HasPrefix(r.Path, verifyPath+"/") {
			add("routes[%d] %q: with forward %q what stands below /verify is the gate's own", i, r.Path, Envoy)
		}
	}
	if !isRate(cfg.Rates.Client) || !isRate(cfg.Rates.Address) {
		add("rates: client %g, address %g: requests per second, none negative", cfg.Rates.Client, cfg.Rates.Address)
	}
	if len(cfg.NonceKey) < nonceKeyBytes {
		add("nonce key: %d bytes; at least %d", len(cfg.NonceKey), nonceKeyBytes)
	}
	if err := checkURL(cfg.URL); err != nil {
		add("URL: %w", err)
	}
	if cfg.KeysStale < 0 {
		add("keys stale: %s is negative", cfg.KeysStale)
	}
	if err := cfg.checkFeed(); err != nil {
		wrong = append(wrong, err)
	}
	return errors.Join(wrong...)
}

// checkURL checks what clients call the gate, or an upstream. It may have a path,
// which a proxy in front takes off, or the gate puts before.
func checkURL(s string) error {
	if s == "" {
		return nil
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return errors.New("not a URL")
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return fmt.Errorf("%q is neither http nor https", u.Redacted())
	case u.User != nil, u.RawQuery != "", u.Fragment != "":
		return fmt.Errorf("%q: no user, query or fragment", u.Redacted())
	}
	return nil
}

func (cfg Config) checkFeed() error {
	if cfg.Revocations == nil {
		return nil
	}
	var wrong []error
	add := func(format string, args ...any) {
		wrong = append(wrong, fmt.Errorf("gate: revocations: "+format, args...))
	}
	if cfg.RevocationsFrom == "" {
		add("several issuers are accepted; name the one the feed comes from")
	} else if !slices.Contains(cfg.issuers(), cfg.RevocationsFrom) {
		add("%q is not an accepted issuer", cfg.RevocationsFrom)
	}
	if cfg.StaleAfter < time.Second {
		add("stale after %s: at least 1s", cfg.StaleAfter)
	}
	if cfg.WhenStale != RefuseStale && cfg.WhenStale != AcceptStale {
		add("when stale: %q is neither %q nor %q", cfg.WhenStale, RefuseStale, AcceptStale)
	}
	if cfg.MaxRevocations < 0 {
		add("at most %d entries: must be positive", cfg.MaxRevocations)
	}
	return errors.Join(wrong...)
}

// issuers lists the accepted issuers, each once.
func (cfg Config) issuers() []string {
	var urls []string
	for _, is := range cfg.Issuers {
		if !slices.Contains(urls, is.URL) {
			urls = append(urls, is.URL)
		}
	}
	return urls
}

// audiences lists the accepted audiences, each once.
func (cfg Config) audiences() []string {
	var list []string
	for _, is := range cfg.Issuers {
		if !slices.Contains(list, is.Audience) {
			list = append(list, is.Audience)
		}
	}
	return list
}
