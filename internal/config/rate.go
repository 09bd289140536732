package config

import (
	"regexp"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"
)

const ratePattern = `^[0-9]{1,7}/(s|m|h)$`

var rateForm = regexp.MustCompile(ratePattern)

// perUnit is read only.
var perUnit = map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour}

// rate reads a rate like 100/s.
func (l *loader) rate(p *Rate, n *yaml.Node, path string) {
	if n.Kind != yaml.ScalarNode || !rateForm.MatchString(n.Value) {
		near := ""
		if _, err := strconv.ParseUint(n.Value, 10, 20); err == nil {
			near = n.Value + "/s"
		}
		l.fail(n, near, "%s is a rate like 100/s, 600/m or 5000/h", path)
		return
	}
	unit := n.Value[len(n.Value)-1]
	count, err := strconv.ParseFloat(n.Value[:len(n.Value)-2], 64)
	if err != nil || count == 0 {
		l.fail(n, "", "%s is %s: nothing would pass; leave it out for no bound", path, n.Value)
		return
	}
	*p = Rate(count / perUnit[unit].Seconds())
}
