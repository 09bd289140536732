// Package discovery reads what a token service says of itself: where its
// metadata lies, what it holds, and which of the addresses in it may be asked.
// It fetches nothing.
//
//	for _, place := range discovery.Places(issuer) { … fetch … }
//	doc, err := discovery.Parse(body, issuer.String())
//	err = discovery.CheckURL(doc.Keys, false)
//
// Sources: RFC 8414, OpenID Connect Discovery 1.0, RFC 8628 section 4, RFC 8705
// section 5.
package discovery

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"github.com/longcase/longcase/token"
)

// Document is what clients and gates need of a metadata document (RFC 8414
// section 2). Its addresses are a stranger's word: CheckURL each before it is
// asked.
type Document struct {
	Issuer string `json:"issuer"`
	Keys   string `json:"jwks_uri"`
	Endpoints
	MutualTLS  Endpoints `json:"mtls_endpoint_aliases"` // for clients with a certificate; what is absent has no alias
	Methods    []string  `json:"token_endpoint_auth_methods_supported"`
	Algorithms []string  `json:"token_endpoint_auth_signing_alg_values_supported"`
}

// Endpoints are where a client asks.
type Endpoints struct {
	Token  string `json:"token_endpoint"`
	Device string `json:"device_authorization_endpoint"`
}

// Places are where an issuer's metadata lies, in the order to ask: the
// well-known path before its own path (RFC 8414 section 3.1), then behind it
// (OpenID Connect Discovery 1.0 section 4).
func Places(issuer *url.URL) []string {
	base := issuer.Scheme + "://" + issuer.Host
	path := strings.TrimSuffix(issuer.EscapedPath(), "/")
	return []string{
		base + "/.well-known/oauth-authorization-server" + path,
		base + path + "/.well-known/openid-configuration",
	}
}

// Parse reads a metadata document. Its issuer must be the one it was asked for,
// byte for byte (RFC 8414 section 3.3).
func Parse(body []byte, issuer string) (Document, error) {
	var doc Document
	if err := json.Unmarshal(body, &doc); err != nil {
		return Document{}, fmt.Errorf("not a metadata document: %w", err)
	}
	if doc.Issuer != issuer {
		return Document{}, fmt.Errorf("it speaks for issuer %.200q, not for %.200q: name the issuer exactly as it names itself", doc.Issuer, issuer)
	}
	return doc, nil
}

// CheckURL reports why an address must not be asked: it is not https, and not
// http on loopback for an issuer on loopback. local says that the issuer, or the
// address that was configured, is on loopback itself: a stranger's metadata must
// not lead to this machine.
func CheckURL(raw string, local bool) error {
	u, err := url.Parse(raw)
	if err != nil {
		return fmt.Errorf("%.200q is no URL", raw)
	}
	loopback := token.Loopback(u.Hostname())
	switch {
	case u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.Opaque != "":
		return fmt.Errorf("%.200q is no https URL", raw)
	case u.User != nil || u.Fragment != "":
		return fmt.Errorf("%.200q has a user or a fragment", u.Redacted())
	case u.Scheme == "http" && (!local || !loopback):
		return fmt.Errorf("%.200q is not https: http is for an issuer on loopback only", raw)
	case !local && (loopback || leadsHere(u.Hostname())):
		return fmt.Errorf("%.200q is on loopback, its issuer is not", raw)
	}
	return nil
}

// leadsHere reports whether host is this machine in a spelling that is not a
// loopback host's own: the unspecified address, an address with a zone, a name
// with a dot at its end.
func leadsHere(host string) bool {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return token.Loopback(strings.TrimSuffix(host, "."))
	}
	addr = addr.WithZone("").Unmap()
	return addr.IsUnspecified() || addr.IsLoopback()
}
