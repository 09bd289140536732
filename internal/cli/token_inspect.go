package cli

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func tokenInspectCommand(env *Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "inspect [TOKEN|-]",
		Short: "Explain a token; nothing leaves the machine",
		Long: "Explain a token: what it says, when it is over, and what is wrong with it. The signature is not\n" +
			"checked, for that needs the issuer's keys ('longcase token verify'). Nothing leaves the machine.",
		Args: arguments(0, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			raw, err := env.tokenText(args)
			if err != nil {
				return err
			}
			x := explain(raw, env.Now())
			if asJSON {
				return printJSON(env.Stdout, x)
			}
			return x.print(env.Stdout, env.Now())
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// print writes the explanation for people.
func (x explanation) print(w io.Writer, now time.Time) error {
	fmt.Fprintf(w, "%s\n", x.Title)
	if len(x.rows) > 0 {
		fmt.Fprintln(w)
		if err := indented(w, x.rows); err != nil {
			return err
		}
	}
	if x.Window != nil && (!x.Window.begin().IsZero() || !x.Window.Expires.IsZero()) {
		fmt.Fprintln(w)
		if err := x.Window.print(w, now); err != nil {
			return err
		}
	}
	if x.Refused != nil {
		fmt.Fprintf(w, "\nno gate takes it: %s: %s\n", x.Refused.Reason, clean(x.Refused.Detail))
	}
	if len(x.Problems) > 0 {
		fmt.Fprintln(w, "\nproblems")
	}
	for _, p := range x.Problems {
		fmt.Fprintf(w, "  - %s\n    %s\n", p.Problem, p.Remedy)
	}
	return nil
}

func indented(w io.Writer, rows [][2]string) error {
	lines := make([][]string, 0, len(rows))
	for _, r := range rows {
		lines = append(lines, []string{"  " + r[0], r[1]})
	}
	return table(w, lines)
}

// print draws the window against now.
func (v *window) print(w io.Writer, now time.Time) error {
	var rows [][2]string
	for _, r := range []struct {
		name string
		at   time.Time
	}{{"not before", v.NotBefore}, {"issued", v.Issued}, {"expires", v.Expires}} {
		if !r.at.IsZero() {
			rows = append(rows, [2]string{r.name, clock(r.at) + "   " + away(r.at, now)})
		}
	}
	if err := indented(w, rows); err != nil {
		return err
	}
	begin := v.begin()
	if begin.IsZero() || !v.Expires.After(begin) {
		return nil
	}
	_, err := fmt.Fprintf(w, "\n  %s  %s\n", bar(begin, v.Expires, now), v.words(begin, now))
	return err
}

func (v *window) words(begin, now time.Time) string {
	life := span(v.Expires.Sub(begin))
	switch v.State {
	case "not_yet_valid":
		return "its life of " + life + " has not begun"
	case "expired":
		return "its life of " + life + " is over"
	}
	return fmt.Sprintf("%.0f %% of %s is over", math.Floor(100*part(begin, v.Expires, now)), life)
}

// part is how much of [begin, end) is over at now, from 0 to 1.
func part(begin, end, now time.Time) float64 {
	return float64(now.Sub(begin)) / float64(end.Sub(begin))
}

// bar draws [begin, end) with now in it, before it or behind it.
func bar(begin, end, now time.Time) string {
	const width = 40
	switch {
	case now.Before(begin):
		return "> [" + strings.Repeat("-", width) + "]"
	case !now.Before(end):
		return "[" + strings.Repeat("=", width) + "] >"
	}
	at := min(int(width*part(begin, end, now)), width-1)
	return "[" + strings.Repeat("=", at) + ">" + strings.Repeat("-", width-1-at) + "]"
}
