package config

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

const percentPattern = `^[0-9]{1,3}(\.[0-9]{1,3})?%$`

var percentForm = regexp.MustCompile(percentPattern)

// parsePercent reads 33% or 2.5%, above 0 and at most 100.
func parsePercent(s string) (float64, bool) {
	if !percentForm.MatchString(s) {
		return 0, false
	}
	p, err := strconv.ParseFloat(strings.TrimSuffix(s, "%"), 64)
	return p / 100, err == nil && p > 0 && p <= 100
}

// span reads a duration or a percentage of a life.
func (l *loader) span(p *Span, n *yaml.Node, path string) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" {
		l.fail(n, "", "%s is a duration like 90s or a percentage like 33%%, not %s", path, kindOf(n))
		return
	}
	if part, ok := parsePercent(n.Value); ok {
		p.Part = part
		return
	}
	d, ok := parseDuration(n.Value)
	switch {
	case percentForm.MatchString(n.Value):
		l.fail(n, "", "%s is %s: it is above 0%% and at most 100%%", path, n.Value)
	case !ok:
		l.fail(n, nearSpan(n.Value), "%s: %s is not a duration like 90s or a percentage like 33%%", path, quote(n.Value))
	case d < time.Second:
		l.fail(n, "", "%s is %s: 1s is the least", path, n.Value)
	default:
		p.Length = d
	}
}

// nearSpan guesses what a wrong span meant: 0.33 is 33%, 33 % too.
func nearSpan(s string) string {
	if part, ok := strings.CutSuffix(s, "%"); ok {
		if near := strings.TrimSpace(part) + "%"; percentForm.MatchString(near) {
			return near
		}
		return ""
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil && strings.HasPrefix(s, "0.") && f > 0 {
		return strconv.FormatFloat(f*100, 'f', -1, 64) + "%"
	}
	return nearDuration(s)
}

// String writes s as the file would.
func (s Span) String() string {
	switch {
	case s.Part > 0:
		return strconv.FormatFloat(s.Part*100, 'f', -1, 64) + "%"
	case s.Length > 0:
		return formatDuration(s.Length)
	}
	return ""
}

// maxUID is the largest user id: the one above means none.
const maxUID = 1<<32 - 2

func (l *loader) uid(p *uint32, n *yaml.Node, path string) {
	id, err := strconv.ParseUint(n.Value, 10, 32)
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" || err != nil || id > maxUID {
		l.fail(n, "", "%s is a user's number like 1000, not %s", path, quote(n.Value))
		return
	}
	*p = uint32(id)
}
