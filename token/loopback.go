package token

import (
	"net/netip"
	"strings"
)

// Loopback reports whether host, as URL.Hostname returns it, can only be this
// machine: an address of 127.0.0.0/8, ::1, or the name localhost. Where it is
// true, plain http is allowed.
//
// Names below localhost are not: RFC 6761 section 6.3 asks resolvers to answer
// them with loopback, but Go's and others ask the DNS, and a secret in plain
// http would go wherever that leads.
func Loopback(host string) bool {
	if strings.ToLower(host) == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Zone() == "" && a.Unmap().IsLoopback()
}
