package remote

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"

	"github.com/longcase/longcase/discovery"
	"github.com/longcase/longcase/token"
)

// rules say what may be fetched on behalf of one issuer. Metadata is a
// stranger's word: it must not lead to the inside of a network.
type rules struct {
	name     string   // for messages: the issuer, or the set's URL
	issuer   string   // byte for byte
	keys     string   // the set's URL; empty: by discovery
	metadata []string // where discovery asks, in order
	loopback bool     // the configuration itself names a loopback host
}

func newRules(cfg Config) (rules, error) {
	r := rules{name: cfg.Issuer, issuer: cfg.Issuer, keys: cfg.URL}
	var errs []error
	if cfg.Stale < 0 {
		errs = append(errs, fmt.Errorf("remote: Stale is %s, want 0 for the default, or more", cfg.Stale))
	}
	named := cfg.Issuer
	if cfg.URL != "" {
		named = cfg.URL
		if r.name == "" {
			r.name = cfg.URL
		}
	}
	u, err := url.Parse(named)
	if err != nil {
		return rules{}, errors.Join(append(errs, fmt.Errorf("remote: Issuer or URL: %w", err))...)
	}
	r.loopback = token.Loopback(u.Hostname())
	if err := r.check(named); err != nil {
		errs = append(errs, fmt.Errorf("remote: Issuer or URL: %w", err))
	}
	if cfg.URL == "" {
		if u.RawQuery != "" {
			errs = append(errs, fmt.Errorf("remote: Issuer: %q has a query", named))
		}
		r.metadata = discovery.Places(u)
	}
	return r, errors.Join(errs...)
}

// check reports why a URL must not be asked: it is not https, and not http on
// loopback for an issuer on loopback.
func (r rules) check(raw string) error { return discovery.CheckURL(raw, r.loopback) }

// newClient is the client of one issuer: given, or one that dials no private
// address. Neither follows a redirect.
func newClient(given *http.Client, r rules) *http.Client {
	client := &http.Client{}
	if given != nil {
		*client = *given
	} else {
		client.Transport = r.transport()
	}
	client.Jar = nil
	client.CheckRedirect = func(req *http.Request, _ []*http.Request) error {
		return fmt.Errorf("redirect to %s is not followed: name the last URL instead", req.URL.Redacted())
	}
	return client
}

// transport keeps no connection: sets are fetched minutes apart.
func (r rules) transport() *http.Transport {
	dialer := &net.Dialer{Timeout: timeout, Control: r.control}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		ForceAttemptHTTP2:      true,
		DisableKeepAlives:      true,
		TLSHandshakeTimeout:    timeout,
		ResponseHeaderTimeout:  timeout,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// control sees each address after its name was resolved, so that a name cannot
// lead inside.
func (r rules) control(_, address string, _ syscall.RawConn) error {
	if err := discovery.CheckAddress(address, r.loopback); err != nil {
		return fmt.Errorf("remote: keys of %s: %w", r.name, err)
	}
	return nil
}
