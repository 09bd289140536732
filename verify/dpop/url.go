package dpop

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// normalize returns the one spelling of an http or https URL without query and
// fragment: the syntax- and scheme-based normalization of RFC 3986 sections
// 6.2.2 and 6.2.3. It is idempotent.
func normalize(raw string) (string, error) {
	raw, _, _ = strings.Cut(raw, "#")
	raw, _, _ = strings.Cut(raw, "?")
	colon := strings.Index(raw, "://")
	if colon < 0 {
		return "", errors.New("not an absolute URL")
	}
	scheme, rest := strings.ToLower(raw[:colon]), raw[colon+len("://"):]
	if scheme != "https" && scheme != "http" {
		return "", errors.New("neither https nor http")
	}
	slash := strings.IndexByte(rest, '/')
	if slash < 0 {
		slash = len(rest)
	}
	authority, err := normalizeAuthority(scheme, rest[:slash])
	if err != nil {
		return "", err
	}
	path, err := normalizePath(rest[slash:])
	if err != nil {
		return "", err
	}
	return scheme + "://" + authority + path, nil
}

// normalizeAuthority writes host and port: lower case, no default port.
func normalizeAuthority(scheme, authority string) (string, error) {
	u, err := url.Parse("//" + authority)
	other := func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`@%\`, r) }
	if err != nil || strings.ContainsFunc(authority, other) || u.Hostname() == "" {
		return "", errors.New("its host must be a name or an address, with or without a port")
	}
	host := strings.ToLower(u.Hostname())
	if ip, err := netip.ParseAddr(host); err == nil {
		host = ip.String()
	} else if strings.ContainsRune(host, ':') {
		return "", errors.New("its host is not an IPv6 address")
	}
	port := u.Port()
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return "", errors.New("its port is beyond 65535")
		}
		port = strconv.FormatUint(n, 10)
	}
	if port == "" || scheme == "https" && port == "443" || scheme == "http" && port == "80" {
		return bracketed(host), nil
	}
	return net.JoinHostPort(host, port), nil
}

func bracketed(host string) string {
	if strings.ContainsRune(host, ':') {
		return "[" + host + "]"
	}
	return host
}

// normalizePath writes a path: escapes in upper case and only where they are
// needed, no dot segments, "/" where it is empty.
func normalizePath(path string) (string, error) {
	var out strings.Builder
	for i := 0; i < len(path); i++ {
		c, escaped := path[i], false
		if c == '%' {
			if i+2 >= len(path) {
				return "", errors.New("a percent sign in it escapes nothing")
			}
			n, err := strconv.ParseUint(path[i+1:i+3], 16, 8)
			if err != nil {
				return "", errors.New("a percent sign in it escapes nothing")
			}
			c, escaped, i = byte(n), true, i+2
		} else if c <= ' ' || c == 0x7f {
			return "", errors.New("it holds a space or a control character")
		}
		if unreserved(c) || !escaped && plain(c) {
			out.WriteByte(c)
			continue
		}
		const hex = "0123456789ABCDEF"
		out.Write([]byte{'%', hex[c>>4], hex[c&15]})
	}
	return withoutDots(out.String()), nil
}

// unreserved characters mean the same escaped or not (RFC 3986 section 2.3).
func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// plain characters may stand in a path as they are, and mean something else when
// they are escaped (RFC 3986 section 3.3).
func plain(c byte) bool { return strings.IndexByte("/!$&'()*+,;=:@", c) >= 0 }

// withoutDots removes dot segments (RFC 3986 section 5.2.4).
func withoutDots(path string) string {
	if !strings.Contains(path, "/.") {
		return "/" + strings.TrimPrefix(path, "/")
	}
	var out []string
	segments := strings.Split(path[1:], "/")
	for i, s := range segments {
		last := i == len(segments)-1
		switch {
		case s != "." && s != "..":
			out = append(out, s)
			continue
		case s == ".." && len(out) > 0:
			out = out[:len(out)-1]
		}
		if last {
			out = append(out, "")
		}
	}
	return "/" + strings.Join(out, "/")
}
