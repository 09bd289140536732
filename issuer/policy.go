package issuer

import (
	"slices"
	"strings"
)

// The scopes that are the protocol's own: OpenID Connect Core sections 3.1.2.1
// and 11.
const (
	scopeOpenID  = "openid"
	scopeOffline = "offline_access"
)

// chooseAudience returns the one audience of a token: the one asked for, or the
// client's only one.
func (c Client) chooseAudience(asked []string) (string, *refusal) {
	switch {
	case len(asked) > 1:
		return "", refuse(invalidTarget, "a token has one audience: send one resource or audience, once")
	case len(asked) == 1 && slices.Contains(c.Audiences, asked[0]):
		return asked[0], nil
	case len(asked) == 1:
		return "", refuse(invalidTarget, "the client may not ask for this audience: name one that is configured for it, byte for byte")
	case len(c.Audiences) == 1:
		return c.Audiences[0], nil
	default:
		return "", refuse(invalidTarget, "name the audience: the client has %d", len(c.Audiences))
	}
}

// chooseScopes returns the scopes of a token: those asked for, each of which the
// client must have, or all of the client's. openid is everybody's who signs
// users in; offline_access asks for nothing that the client's grants do not
// decide already, and is left out.
func (c Client) chooseScopes(asked string) ([]string, *refusal) {
	if asked == "" {
		return slices.Clone(c.Scopes), nil
	}
	var chosen []string
	for _, s := range strings.Split(asked, " ") {
		switch {
		case c.has(s):
			if !slices.Contains(chosen, s) {
				chosen = append(chosen, s)
			}
		case s == scopeOffline && c.may(GrantAuthorizationCode):
		default:
			return nil, refuse(invalidScope, "the client may not ask for one of these scopes: ask for those configured for it, separated by single spaces")
		}
	}
	return chosen, nil
}

// has reports whether the client may have scope.
func (c Client) has(scope string) bool {
	return slices.Contains(c.Scopes, scope) || scope == scopeOpenID && c.may(GrantAuthorizationCode)
}
