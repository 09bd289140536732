package gate

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/longcase/longcase/token"
)

// identityHeaders say who was accepted; fillIdentity writes them in this order.
var identityHeaders = [...]string{"X-Token-Subject", "X-Token-Client", "X-Token-Scope", "X-Token-Expires"}

// fillIdentity says who was accepted, in all the headers there are: what is
// absent is empty, so that it takes the place of what the client sent. Nil
// claims are nobody.
func fillIdentity(h http.Header, c *token.Claims) {
	values := make([]string, len(identityHeaders))
	if c != nil {
		values = identityOf(c, values)
	}
	for i, name := range identityHeaders {
		h[name] = values[i : i+1 : i+1]
	}
}

// setIdentity says who was accepted where nobody else can have: what is absent
// has no header.
func setIdentity(h http.Header, c *token.Claims) {
	values := identityOf(c, make([]string, len(identityHeaders)))
	for i, name := range identityHeaders {
		if values[i] != "" {
			h[name] = values[i : i+1 : i+1]
		}
	}
}

// identityOf are the values of identityHeaders. X-Token-Expires is in Unix
// seconds, rounded down.
func identityOf(c *token.Claims, values []string) []string {
	values[0], values[1], values[2] = headerText(c.Subject), headerText(c.ClientID), headerText(c.Scope)
	values[3] = strconv.FormatInt(c.Expires.Unix(), 10)
	return values
}

// headerText writes s so that no two values look alike in a header: visible
// ASCII and inner spaces stay, everything else and the percent sign itself are
// percent-encoded.
func headerText(s string) string {
	const hex = "0123456789ABCDEF"
	if isHeaderText(s) {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if !staysInHeader(s, i) {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

func isHeaderText(s string) bool {
	for i := range len(s) {
		if !staysInHeader(s, i) {
			return false
		}
	}
	return true
}

func staysInHeader(s string, i int) bool {
	c, edge := s[i], i == 0 || i == len(s)-1
	return c > ' ' && c <= '~' && c != '%' || c == ' ' && !edge
}

// stripHeaders removes the headers whose name, in any spelling, is one that
// only the gate may write. Servers that turn headers into variables see no
// difference between "-", "_" and "." (CVE-2025-64484).
func stripHeaders(h http.Header, reserved func(name string) bool) {
	for name := range h {
		if reserved(name) {
			delete(h, name)
		}
	}
}

// Reserved tells, in every spelling, the headers that say who was accepted
// (X-Token-…). An adapter takes them out of what a client sent.
func Reserved(name string) bool { return isTokenHeader(name) }

// folded is c as fold writes it.
func folded(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c + 'a' - 'A'
	case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		return c
	}
	return '-'
}

// fold writes a header's name in lower case, and all but letters and digits
// as "-".
func fold(name string) string {
	b := make([]byte, len(name))
	for i := range len(name) {
		b[i] = folded(name[i])
	}
	return string(b)
}

// foldsTo reports whether name, folded, begins with prefix.
func foldsTo(name, prefix string) bool {
	if len(name) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		if folded(name[i]) != prefix[i] {
			return false
		}
	}
	return true
}

// isTokenHeader tells the headers that say who was accepted.
func isTokenHeader(name string) bool { return foldsTo(name, "x-token-") }

// isForwardingHeader tells headers that say where a request came from, which
// path or method it had before, which certificate its sender showed (RFC 9440
// and Envoy's X-Forwarded-Client-Cert), who its sender is (CGI and Authelia,
// Kubernetes, oauth2-proxy, Grafana), or what it should be taken for.
func isForwardingHeader(name string) bool {
	switch {
	case name == "":
		return false
	case name[0]|0x20 == 'x':
		return isExtension(name)
	}
	for _, whole := range []string{"forwarded", "client-cert", "client-cert-chain", "true-client-ip", "cf-connecting-ip"} {
		if is(name, whole) {
			return true
		}
	}
	return foldsTo(name, "ssl-client-") || foldsTo(name, "remote-")
}

func isExtension(name string) bool {
	for _, prefix := range []string{"x-token-", "x-forwarded-", "x-original-", "x-ssl-client-", "x-client-cert", "x-remote-", "x-auth-request-", "x-webauth-"} {
		if foldsTo(name, prefix) {
			return true
		}
	}
	for _, whole := range []string{"x-real-ip", "x-client-ip", "x-cluster-client-ip", "x-rewrite-url", "x-http-method", "x-http-method-override", "x-method-override"} {
		if is(name, whole) {
			return true
		}
	}
	return false
}

// is reports whether name, folded, is whole.
func is(name, whole string) bool { return len(name) == len(whole) && foldsTo(name, whole) }
