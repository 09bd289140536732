package doctor

import (
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"

	"github.com/longcase/longcase/store/cassandra/survey"
)

// plainName needs no quotes in CQL.
var plainName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// ident is a name as CQL takes it.
func ident(name string) string {
	if plainName.MatchString(name) {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

func (j *judge) name(t *survey.Table) string { return ident(j.k.Name) + "." + ident(t.Name) }

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// short writes a duration in its largest units: 3d, 2h30m.
func short(d time.Duration) string {
	if d >= 24*time.Hour && d%(24*time.Hour) == 0 {
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	}
	s := d.Round(time.Second).String()
	if d > time.Minute {
		s = strings.TrimSuffix(s, "0s")
	}
	if d > time.Hour {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// bytesText writes a size as disks are sold.
func bytesText(n float64) string {
	for _, u := range []struct {
		size float64
		name string
	}{{1e15, "PB"}, {1e12, "TB"}, {1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}} {
		if n >= u.size {
			return figure(n/u.size) + " " + u.name
		}
	}
	return figure(n) + " bytes"
}

// figure writes a number with as many digits as an estimate deserves.
func figure(n float64) string {
	switch {
	case n <= 0:
		return "0"
	case n < 10:
		return fmt.Sprintf("%.2g", n)
	case n < 999.5:
		return fmt.Sprintf("%.0f", n)
	}
	unit := math.Pow(10, math.Floor(math.Log10(n))-2)
	return grouped(int64(math.Round(n/unit) * unit))
}

// grouped writes thousands apart: 864,000.
func grouped(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func percent(share float64) string {
	p := share * 100
	if p > 0 && p < 1 || p > 99 && p < 100 {
		return fmt.Sprintf("%.2g %%", p)
	}
	return fmt.Sprintf("%.0f %%", p)
}
