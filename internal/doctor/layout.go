package doctor

import (
	"regexp"
	"slices"
	"strings"
)

// Layout is whose tables a keyspace has.
type Layout string

// The layouts.
const (
	Apigee   Layout = "Apigee Edge (kms)"
	Longcase Layout = "Longcase"
	Other    Layout = "unknown"
)

// apigeeTokens is the table in which Apigee Edge keeps access and refresh
// tokens; its other oauth tables begin alike.
const (
	apigeeTokens = "oauth_20_access_tokens"
	apigeePrefix = "oauth_"
)

// tokenWords are in the names of tables that hold what should end.
var tokenWords = regexp.MustCompile(`(?i)(token|session|grant|nonce|oauth|auth_?code|authorization_code|revocation|jti|replay)`)

// LayoutOf tells whose tables these are.
func LayoutOf(tables []string) Layout {
	switch {
	case slices.Contains(tables, apigeeTokens):
		return Apigee
	case ours(tables):
		return Longcase
	}
	return Other
}

// Tokens lists which of these tables hold what should end: those that are
// asked for, or those that the layout or a name tells.
func Tokens(tables, asked []string) []string {
	layout, list := LayoutOf(tables), []string{}
	for _, t := range tables {
		if layout.holds(t, asked) {
			list = append(list, t)
		}
	}
	return list
}

func (l Layout) holds(table string, asked []string) bool {
	switch {
	case len(asked) > 0:
		return slices.Contains(asked, table)
	case l == Apigee:
		return strings.HasPrefix(table, apigeePrefix)
	case l == Longcase:
		return ends(table)
	}
	return tokenWords.MatchString(table)
}
