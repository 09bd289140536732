package steady

import (
	"fmt"
	"io"
	"math"
	"strings"
)

// Line is one line of the graph: the disk over what is live, lifetime by
// lifetime.
type Line struct {
	Name   string
	Points [][2]float64 // lifetimes, times what is live
	Dash   string       // "", or as stroke-dasharray
	Color  string
}

// The graph's frame, in its own pixels.
const (
	graphWidth, graphHeight = 720, 400
	left, right             = 52, 16
	top, bottom             = 44, 48
)

const graphStyle = `<style>
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-size: 15px; font-weight: 600 }
.grid { stroke: #8c959f; stroke-opacity: .35 }
.axis { stroke: #8c959f }
.line { fill: none; stroke-width: 2; stroke-linejoin: round }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } }
</style>
`

// Graph writes an SVG that is readable on light and on dark ground.
func Graph(w io.Writer, title string, lines []Line) error {
	wide, high := 1.0, 1.0
	for _, l := range lines {
		for _, p := range l.Points {
			wide, high = max(wide, p[0]), max(high, p[1])
		}
	}
	wide, high = math.Ceil(wide), 2*math.Ceil(high/2)
	x := func(v float64) float64 { return left + v/wide*(graphWidth-left-right) }
	y := func(v float64) float64 { return graphHeight - bottom - v/high*(graphHeight-top-bottom) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="%s">`+"\n%s", graphWidth, graphHeight, title, graphStyle)
	fmt.Fprintf(&b, `<text class="title" x="%d" y="24">%s</text>`+"\n", left, title)
	for v := 0.0; v <= high; v += 2 {
		fmt.Fprintf(&b, `<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/><text x="%d" y="%.1f" text-anchor="end">%g×</text>`+"\n", left, graphWidth-right, y(v), y(v), left-8, y(v)+4, v)
	}
	for v := 0.0; v <= wide; v += 2 {
		fmt.Fprintf(&b, `<line class="axis" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/><text x="%.1f" y="%.1f" text-anchor="middle">%g</text>`+"\n", x(v), x(v), y(0), y(0)+5, x(v), y(0)+19, v)
	}
	fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">lifetimes of a session (12 h: 14 are a week)</text>`+"\n", (left+float64(graphWidth)-right)/2, graphHeight-10)
	for i, l := range lines {
		l.write(&b, x, y)
		at := top + 12 + 20*i
		fmt.Fprintf(&b, `<line x1="%d" x2="%d" y1="%d" y2="%d" stroke="%s" stroke-width="2" stroke-dasharray="%s"/><text x="%d" y="%d">%s</text>`+"\n", left+16, left+44, at-4, at-4, l.Color, l.Dash, left+52, at, l.Name)
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func (l Line) write(b *strings.Builder, x, y func(float64) float64) {
	fmt.Fprintf(b, `<polyline class="line" stroke="%s" stroke-dasharray="%s" points="`, l.Color, l.Dash)
	for i, p := range l.Points {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(b, "%.1f,%.1f", x(p[0]), y(p[1]))
	}
	b.WriteString("\"/>\n")
}

// Line is the run as a line from the beginning, in the terms of Ratio.
func (r Result) Line(title, color, dash string) Line {
	p := r.Plan()
	l := Line{Name: title, Color: color, Dash: dash}
	for _, s := range r.Samples {
		l.Points = append(l.Points, [2]float64{float64(s.At) / float64(r.Load.Life), (s.Disk - s.Paxos - p.Always()) / (p.Live + p.Grace())})
	}
	return l
}
