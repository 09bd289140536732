package command

import (
	"regexp"
	"strings"
)

// long is a run of letters and digits that a token or a key may be made of.
var long = regexp.MustCompile(`[A-Za-z0-9_+=~-]{20,}`)

// slashed is a run that a path or a secret in base64 may be made of.
var slashed = regexp.MustCompile(`[A-Za-z0-9+/]{40,}`)

// conceal leaves out what looks like a token or a key: programs print them when
// they fail. Plain words, paths and ids such as UUIDs stay.
func conceal(s string) string {
	s = slashed.ReplaceAllStringFunc(s, func(word string) string {
		if len(word) == 40 && word[0] != '/' && mixed(word) { // as AWS's secret keys are
			return "[…]"
		}
		return word
	})
	return long.ReplaceAllStringFunc(s, func(word string) string {
		if secretive(word) {
			return "[…]"
		}
		return word
	})
}

const digits = "0123456789"

func secretive(word string) bool {
	return len(word) >= 40 && strings.ContainsAny(word, digits) || mixed(word)
}

// mixed reports whether word has a digit and letters of both cases.
func mixed(word string) bool {
	const lower, upper = "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	return strings.ContainsAny(word, digits) && strings.ContainsAny(word, lower) && strings.ContainsAny(word, upper)
}
