package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	day  = 24 * time.Hour
	none = "none" // where a field says so: -1
)

// orNone reports whether a duration may be none.
func orNone(f field) bool { return f.is == "or-none" }

// durationPattern is the one spelling: a whole number and one unit.
const durationPattern = `^[0-9]{1,9}[smhd]$`

var (
	durationForm = regexp.MustCompile(durationPattern)
	looseForm    = regexp.MustCompile(`^([0-9]{1,9})[ _]*([A-Za-z]*)$`)
)

func unit(c byte) time.Duration {
	switch c {
	case 'm':
		return time.Minute
	case 'h':
		return time.Hour
	case 'd':
		return day
	}
	return time.Second
}

// parseDuration reads 90s, 15m, 12h or 30d, up to a hundred years.
func parseDuration(s string) (time.Duration, bool) {
	if !durationForm.MatchString(s) {
		return 0, false
	}
	n, err := strconv.ParseInt(s[:len(s)-1], 10, 64)
	u := unit(s[len(s)-1])
	if err != nil || n > int64(100*365*day/u) {
		return 0, false
	}
	return time.Duration(n) * u, true
}

// formatDuration writes d in the largest unit that holds it without a rest.
func formatDuration(d time.Duration) string {
	for _, c := range []byte("dhm") {
		if u := unit(c); d >= u && d%u == 0 {
			return strconv.FormatInt(int64(d/u), 10) + string(c)
		}
	}
	return strconv.FormatInt(int64(d/time.Second), 10) + "s"
}

// nearDuration guesses what a wrong duration meant, "" if it cannot.
func nearDuration(s string) string {
	if m := looseForm.FindStringSubmatch(s); m != nil {
		return looseDuration(m[1], strings.ToLower(m[2]))
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < time.Second || d%time.Second != 0 {
		return ""
	}
	return formatDuration(d)
}

func looseDuration(number, word string) string {
	n, err := strconv.Atoi(number)
	if err != nil {
		return ""
	}
	number = strconv.Itoa(n)
	switch {
	case word == "" || strings.HasPrefix("seconds", word) || word == "secs":
		return number + "s"
	case strings.HasPrefix("minutes", word) || word == "mins":
		return number + "m"
	case strings.HasPrefix("hours", word) || word == "hr" || word == "hrs":
		return number + "h"
	case strings.HasPrefix("days", word):
		return number + "d"
	case strings.HasPrefix("weeks", word):
		return strconv.Itoa(7*n) + "d"
	}
	return ""
}

// ParseDuration reads a duration as the file spells it: 90s, 15m, 12h, 30d. The
// error says the nearest right spelling.
func ParseDuration(s string) (time.Duration, error) {
	d, ok := parseDuration(s)
	if ok {
		return d, nil
	}
	if near := nearDuration(s); near != "" && near != s {
		return 0, fmt.Errorf("%s is not a duration like 90s, 15m, 12h or 30d; did you mean %q?", quote(s), near)
	}
	return 0, fmt.Errorf("%s is not a duration like 90s, 15m, 12h or 30d, up to 36500d", quote(s))
}

// Nearest returns the candidate that s most likely meant, or "".
func Nearest(s string, candidates []string) string { return nearest(s, candidates) }
