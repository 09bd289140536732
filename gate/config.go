package gate

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"
)

const (
	defaultStaleAfter     = 10 * time.Second
	defaultMaxRevocations = 1_000_000
	idlePerUpstream       = 256 // connections kept open to one upstream
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
	if issuers := cfg.issuers(); cfg.RevocationsFrom == "" && len(issuers) == 1 {
		cfg.RevocationsFrom = issuers[0]
	}
	return cfg
}

func newTransport() *http.Transport {
	t := &http.Transport{ForceAttemptHTTP2: true}
	if std, ok := http.DefaultTransport.(*http.Transport); ok {
		t = std.Clone()
	}
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
	case NoForward, Nginx, Traefik:
	default:
		add("forward: %q is neither %q nor %q", cfg.Forward, Nginx, Traefik)
	}
	if cfg.Forward != NoForward && len(cfg.TrustedProxies) == 0 {
		add("trusted proxies: required with forward %q; name the proxy's address", cfg.Forward)
	}
	for i, p := range cfg.TrustedProxies {
		if !p.IsValid() {
			add("trusted proxies[%d]: not a prefix", i)
		}
	}
	if cfg.KeysStale < 0 {
		add("keys stale: %s is negative", cfg.KeysStale)
	}
	if err := cfg.checkFeed(); err != nil {
		wrong = append(wrong, err)
	}
	return errors.Join(wrong...)
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
