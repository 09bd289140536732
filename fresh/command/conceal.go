package command

import (
	"regexp"
	"strings"
)

// long is a run of letters and digits that a token or a key may be made of.
var long = regexp.MustCompile(`[A-Za-z0-9_+=~-]{20,}`)

// conceal leaves out what looks like a token or a key: programs print them when
// they fail. Plain words, paths and ids such as UUIDs stay.
func conceal(s string) string {
	return long.ReplaceAllStringFunc(s, func(word string) string {
		if secretive(word) {
			return "[…]"
		}
		return word
	})
}

func secretive(word string) bool {
	const lower, upper, digit = "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789"
	if !strings.ContainsAny(word, digit) {
		return false
	}
	return len(word) >= 40 || strings.ContainsAny(word, lower) && strings.ContainsAny(word, upper)
}
