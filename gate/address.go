package gate

import (
	"net/http"
	"net/netip"
	"strings"
)

// addressOf reads an address with or without a port or brackets. IPv4 in IPv6 is
// IPv4, and a zone says nothing.
func addressOf(s string) (netip.Addr, bool) {
	if ip, err := netip.ParseAddrPort(s); err == nil {
		return ip.Addr().Unmap().WithZone(""), true
	}
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		s = s[1 : len(s)-1]
	}
	ip, err := netip.ParseAddr(s)
	return ip.Unmap().WithZone(""), err == nil
}

// trusts reports whether what peer says of a client is believed.
func (g *Gate) trusts(peer string) bool {
	ip, ok := addressOf(peer)
	return ok && g.trustsAddress(ip)
}

func (g *Gate) trustsAddress(ip netip.Addr) bool {
	for _, p := range g.cfg.TrustedProxies {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// client is the address that a request of peer came from: peer's own, unless it
// is a trusted proxy; then the right-most entry of X-Forwarded-For that is not
// one. Each proxy adds the address it was called from at the right, so whatever
// stands further left is the client's own tale. An entry that is no address ends
// the search at the proxy that wrote it.
func (g *Gate) client(peer string, h http.Header) (netip.Addr, bool) {
	ip, ok := addressOf(peer)
	if !ok || !g.trustsAddress(ip) {
		return ip, ok
	}
	lines := h["X-Forwarded-For"]
	for i := len(lines) - 1; i >= 0; i-- {
		for rest, more := lines[i], true; more; {
			var entry string
			entry, rest, more = cutLast(rest)
			next, ok := addressOf(strings.Trim(entry, " \t"))
			if !ok {
				return ip, true
			}
			if ip = next; !g.trustsAddress(ip) {
				return ip, true
			}
		}
	}
	return ip, true
}

// cutLast cuts the last entry off a list with commas.
func cutLast(list string) (last, rest string, more bool) {
	i := strings.LastIndexByte(list, ',')
	if i < 0 {
		return list, "", false
	}
	return list[i+1:], list[:i], true
}
