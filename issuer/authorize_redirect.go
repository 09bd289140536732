package issuer

import (
	"net/url"
	"strings"

	"github.com/longcase/longcase/token"
)

// chooseRedirect returns where the answer to an authorization request goes: the
// redirect URI asked for, if the client registered it, or the only one it has.
// ok is false if there is none: nothing may be sent anywhere then.
func (c Client) chooseRedirect(asked string) (uri string, ok bool) {
	if asked == "" {
		if len(c.RedirectURIs) != 1 {
			return "", false
		}
		return c.RedirectURIs[0], true
	}
	for _, registered := range c.RedirectURIs {
		if asked == registered || sameButPort(asked, registered) {
			return asked, true
		}
	}
	return "", false
}

// sameButPort reports whether asked is the registered redirect URI on another
// port of the same loopback host (RFC 8252 section 7.3, RFC 9700 section 2.1).
// Everything beside the port is compared byte for byte.
func sameButPort(asked, registered string) bool {
	before, _, after, ok := cutPort(registered)
	if !ok {
		return false
	}
	askedBefore, port, askedAfter, ok := cutPort(asked)
	return ok && before == askedBefore && after == askedAfter && validPort(port)
}

// cutPort splits an http URI of a loopback host at its port: "http://127.0.0.1",
// "8080", "/callback". ok is false for every other URI.
func cutPort(uri string) (before, port, after string, ok bool) {
	const scheme = "http://"
	rest, found := strings.CutPrefix(uri, scheme)
	if !found {
		return "", "", "", false
	}
	authority := rest
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, after = rest[:i], rest[i:]
	}
	host, port := authority, ""
	if i := strings.LastIndexByte(authority, ':'); i > strings.LastIndexByte(authority, ']') {
		host, port = authority[:i], authority[i+1:]
		if port == "" {
			return "", "", "", false
		}
	}
	if !loopbackHost(host) {
		return "", "", "", false
	}
	return scheme + host, port, after, true
}

// loopbackHost reports whether host, as it stands in a URI, names this machine.
func loopbackHost(host string) bool {
	inner, bracketed := strings.CutPrefix(host, "[")
	if bracketed {
		inner = strings.TrimSuffix(inner, "]")
	}
	return token.Loopback(inner) && bracketed == strings.Contains(inner, ":")
}

// validPort takes no port and 1 to 65535 without leading zeros.
func validPort(port string) bool {
	if port == "" {
		return true
	}
	n := 0
	for _, c := range port {
		if c < '0' || c > '9' || n > 65535 {
			return false
		}
		n = n*10 + int(c-'0')
	}
	return n > 0 && n <= 65535 && port[0] != '0'
}

// withAnswer adds the answer's parameters to a redirect URI, whose own query
// stays as it is (RFC 6749 section 4.1.2).
func withAnswer(uri string, answer url.Values) string {
	separator := "?"
	if strings.HasSuffix(uri, "?") || strings.HasSuffix(uri, "&") {
		separator = ""
	} else if strings.Contains(uri, "?") {
		separator = "&"
	}
	return uri + separator + answer.Encode()
}

// formTarget is the Content-Security-Policy source for forms that end in a
// redirect to uri: its scheme. Browsers apply form-action to every redirect
// after a submission; a client's callback may lead on to another origin, and
// IPv6 hosts have no spelling there. "http:" contains https.
func formTarget(uri string) string {
	scheme, _, _ := strings.Cut(uri, ":")
	return scheme + ":"
}
