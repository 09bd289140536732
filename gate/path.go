package gate

import (
	"errors"
	"net/url"
	"strings"
	"unicode/utf8"
)

// errAmbiguous says that two programs could read a path differently.
var errAmbiguous = errors.New("the path can be read in more than one way: no dot segments, empty segments, encoded separators, double encoding, semicolons or controls")

// cleanPath decodes the path of a request, as it was sent, and returns the one
// path that everybody behind the gate will see. Whatever a server, a framework
// or a file system might fold into another path is refused rather than folded:
// a route must not be walked round (CVE-2025-54576 and its kin).
func cleanPath(raw string) (string, error) {
	if !strings.HasPrefix(raw, "/") || strings.ContainsAny(raw, "?#") {
		return "", errAmbiguous
	}
	path, err := url.PathUnescape(raw)
	if err != nil || !utf8.ValidString(path) || stillEncoded(path) {
		return "", errAmbiguous
	}
	// Every separator that is decoded now was an encoded one before.
	if strings.Count(path, "/") != strings.Count(raw, "/") || strings.ContainsAny(path, "\\;?#") {
		return "", errAmbiguous
	}
	if strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", errAmbiguous
	}
	return path, checkSegments(path)
}

// checkSegments refuses dot segments and empty ones but for the last.
func checkSegments(path string) error {
	rest, last := path[1:], false
	for !last {
		var segment string
		segment, rest, last = cutSegment(rest)
		if segment == "." || segment == ".." || segment == "" && !last {
			return errAmbiguous
		}
	}
	return nil
}

func cutSegment(s string) (segment, rest string, last bool) {
	segment, rest, found := strings.Cut(s, "/")
	return segment, rest, !found
}

// stillEncoded reports whether decoding path once more would give another one.
func stillEncoded(path string) bool {
	for i := range len(path) - 2 {
		if path[i] == '%' && isHex(path[i+1]) && isHex(path[i+2]) {
			return true
		}
	}
	return false
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// pathOfURI cuts the path out of a request target in origin form (RFC 9112
// section 3.2.1), as a proxy in front reports it.
func pathOfURI(target string) (string, error) {
	if strings.Contains(target, "#") {
		return "", errAmbiguous
	}
	return cleanPath(pathOnly(target))
}

// pathOnly cuts off query and fragment, which may hold secrets.
func pathOnly(target string) string {
	if i := strings.IndexAny(target, "?#"); i >= 0 {
		return target[:i]
	}
	return target
}
