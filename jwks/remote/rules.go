package remote

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
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
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("remote: dial %s: %w", address, err)
	}
	if addr := to.Addr().Unmap(); !isPublic(addr) && (!r.loopback || !addr.IsLoopback()) {
		return fmt.Errorf("remote: dial %s: the address is private; keys of %s are fetched from public addresses only", addr, r.name)
	}
	return nil
}

// isPublic reports whether addr is in the public Internet: the registries of
// special-purpose addresses (RFC 6890) are not; of an address that embeds an
// IPv4 address, that one counts or it is refused.
func isPublic(addr netip.Addr) bool {
	if netip.MustParsePrefix("64:ff9b::/96").Contains(addr) { // NAT64, RFC 6052
		b := addr.As16()
		addr = netip.AddrFrom4([4]byte(b[12:]))
	}
	if !addr.IsGlobalUnicast() || addr.IsPrivate() || addr.Zone() != "" {
		return false
	}
	for _, p := range special {
		if p.Contains(addr) {
			return false
		}
	}
	return true
}

// special is read only.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),   // shared address space
	netip.MustParsePrefix("192.0.0.0/24"),    // protocol assignments
	netip.MustParsePrefix("192.0.2.0/24"),    // documentation
	netip.MustParsePrefix("192.88.99.0/24"),  // 6to4 relays
	netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks
	netip.MustParsePrefix("198.51.100.0/24"), // documentation
	netip.MustParsePrefix("203.0.113.0/24"),  // documentation
	netip.MustParsePrefix("240.0.0.0/4"),     // reserved
	netip.MustParsePrefix("::/96"),           // IPv4-compatible
	netip.MustParsePrefix("64:ff9b:1::/48"),  // NAT64, local
	netip.MustParsePrefix("100::/64"),        // discard
	netip.MustParsePrefix("2001::/23"),       // protocol assignments, Teredo
	netip.MustParsePrefix("2001:db8::/32"),   // documentation
	netip.MustParsePrefix("2002::/16"),       // 6to4: an IPv4 address inside
	netip.MustParsePrefix("fec0::/10"),       // site-local
}
