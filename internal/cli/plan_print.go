package cli

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/longcase/longcase/internal/config"
	"github.com/longcase/longcase/internal/plan"
)

// print writes what it comes to first, and then why.
func (v storeView) print(env *Env) error {
	fmt.Fprintf(env.Stdout, "%s new sessions a second, %s: %s token requests a second, %s sessions alive\n\n",
		amount(v.Rate), v.refreshed(), amount(v.Tokens), amount(v.Live))
	rows := [][]string{{"ENGINE", "ROWS", "DISK", "AT MOST", "WRITES/S", "WITHOUT AN END"}}
	for _, e := range v.Engines {
		rows = append(rows, []string{v.title(e), amount(e.Rows), size(e.Disk), size(e.Most), amount(e.Writes), "+" + size(e.Growth) + " a day"})
	}
	if err := table(env.Stdout, rows); err != nil {
		return err
	}
	fmt.Fprintf(env.Stdout, "\nA row for each token, without an end, as in incident 4: %s rows a day, +%s a day in each copy, for ever.\n",
		amount(v.Incident.Rows), size(v.Incident.Bytes))
	for _, e := range v.Engines {
		if err := v.printEngine(env, e); err != nil {
			return err
		}
	}
	return v.printSizes(env)
}

func (v storeView) refreshed() string {
	if v.Every <= 0 {
		return "never refreshed"
	}
	return fmt.Sprintf("each refreshed every %s for %s", lifeText(v.Every), lifeText(v.Used))
}

func (v storeView) title(e engineView) string {
	s := e.Engine
	if e.Copies > 1 {
		s += fmt.Sprintf(", each of %d copies", e.Copies)
	}
	if e.Engine == v.configured && len(v.Engines) > 1 {
		s += " (this file's)"
	}
	return s
}

// printEngine says what the disk of one engine is made of.
func (v storeView) printEngine(env *Env, e engineView) error {
	fmt.Fprintf(env.Stdout, "\n%s\n", v.title(e))
	rows := [][]string{{"  RECORDS", "NEW/S", "LIVE FOR", "GONE AFTER", "ROWS", "BYTES EACH", "DISK"}}
	for _, s := range e.Stored {
		rows = append(rows, []string{"  " + string(s.Kind), amount(s.Rate), lifeText(s.Life), lifeText(s.Stays), amount(s.Rows), amount(s.Row), size(s.Bytes)})
	}
	if err := table(env.Stdout, rows); err != nil {
		return err
	}
	var parts []string
	for _, p := range e.Parts {
		parts = append(parts, p.Name+" "+size(p.Bytes))
	}
	fmt.Fprintf(env.Stdout, "  = %s\n", strings.Join(parts, " + "))
	if e.Engine == config.Cassandra {
		fmt.Fprintf(env.Stdout, "  with gc_grace_seconds %.0f (%s)\n", v.GCGrace, lifeText(v.GCGrace))
	}
	fmt.Fprintf(env.Stdout, "  wall: %s\n", plan.Wall(e.Engine))
	return nil
}

// printSizes says what ten to a million requests a second take.
func (v storeView) printSizes(env *Env) error {
	head := []string{"TOKEN REQUESTS/S", "SESSIONS ALIVE", "LONGCASE NODES"}
	for _, e := range v.Engines {
		name := strings.ToUpper(e.Engine)
		if e.Engine != config.Embedded {
			name += ", PROCESSORS"
		}
		head = append(head, name)
	}
	rows := [][]string{head}
	for _, s := range v.Sizes {
		row := []string{amount(s.Requests), amount(s.Live), amount(float64(s.Nodes))}
		for _, e := range s.Engines {
			row = append(row, e.text())
		}
		rows = append(rows, row)
	}
	fmt.Fprintln(env.Stdout)
	if err := table(env.Stdout, rows); err != nil {
		return err
	}
	fmt.Fprintf(env.Stdout, "\nNodes have %d processors. %s\n", v.Cores, plan.Basis())
	return nil
}

func (e engineSizeView) text() string {
	switch {
	case e.Wall:
		return "beyond its wall"
	case e.Engine == config.Embedded:
		return size(e.Disk)
	}
	return fmt.Sprintf("%s, %s", size(e.Disk), amount(math.Ceil(e.Cores)))
}

// amount writes a number with three digits that count, or all of a whole one:
// "0.25", "4.17", "432,000".
func amount(n float64) string {
	if n < 100 && n != math.Trunc(n) {
		return strconv.FormatFloat(n, 'g', 3, 64)
	}
	digits := strconv.FormatFloat(n, 'f', 0, 64)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// size writes bytes: "61.4 MB", decimal as disks are sold.
func size(bytes float64) string {
	unit := 0
	units := []string{"B", "kB", "MB", "GB", "TB", "PB", "EB"}
	for bytes >= 999.5 && unit < len(units)-1 {
		bytes /= 1000
		unit++
	}
	digits := 0
	if unit > 0 && bytes < 99.95 {
		digits = 1
	}
	return strconv.FormatFloat(bytes, 'f', digits, 64) + " " + units[unit]
}
