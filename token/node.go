package token

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"
)

// Node names the clock of one machine in the ids of the tokens it issues, so
// that whoever sees one from the future can say which machine of a cluster made
// it. It is eight characters of a-z and 2-7; empty: unknown.
type Node string

const (
	nodeLength = 8
	idPrefix   = "lc." // of a "jti" that names its node: lc.NODE.RANDOM
)

// NodeOf returns the node of a host: a hash, for the name of a host is nobody's
// business who holds a token.
func NodeOf(host string) Node {
	sum := sha256.Sum256([]byte("longcase node\x00" + host))
	return Node(strings.ToLower(base32.StdEncoding.EncodeToString(sum[:nodeLength])[:nodeLength]))
}

// ID is a "jti" that names its node: random alone where n is empty.
func (n Node) ID(random string) string {
	if n == "" {
		return random
	}
	return idPrefix + string(n) + "." + random
}

// IssuedBy is the node that a "jti" names, empty if it names none. It is as
// good as the token's signature.
func IssuedBy(jti string) Node {
	rest, ours := strings.CutPrefix(jti, idPrefix)
	name, _, found := strings.Cut(rest, ".")
	if !ours || !found || len(name) != nodeLength {
		return ""
	}
	if strings.ContainsFunc(name, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '2' || r > '7') }) {
		return ""
	}
	return Node(name)
}
