package discovery

import (
	"fmt"
	"net/netip"
)

// CheckAddress reports why an address, as a net.Dialer's Control sees it after
// its name was resolved, must not be dialled: it is not in the public Internet,
// and not on loopback where local says that the configuration itself names a
// loopback host. A name must not lead to the inside of a network.
func CheckAddress(address string, local bool) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("dial %.200q: it is no address and port", address)
	}
	if addr := to.Addr().Unmap(); !isPublic(addr) && (!local || !addr.IsLoopback()) {
		return fmt.Errorf("dial %s: the address is private; only public addresses are asked", addr)
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
