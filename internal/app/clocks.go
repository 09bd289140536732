package app

import (
	"time"

	"github.com/longcase/longcase/verify/skew"
)

// clockLine is what readyz tells of one issuer's clocks, or of this host's.
// The seconds of issuers are rounded to a tenth.
type clockLine struct {
	Issuer string      `json:"issuer"`
	Low    float64     `json:"ahead_at_least"` // of this host; negative: behind
	High   float64     `json:"ahead_at_most"`
	Tokens int         `json:"tokens"`
	Dates  int         `json:"dates"`
	Clocks []nodeClock `json:"instances,omitempty"` // that can be told apart, if more than one can
	Says   string      `json:"says"`                // the sentence that a refusal has
}

type nodeClock struct {
	Node string  `json:"node,omitempty"`
	Low  float64 `json:"ahead_at_least"`
	High float64 `json:"ahead_at_most"`
}

type hostLine struct {
	Source       string   `json:"source"`
	Synchronised bool     `json:"synchronised"`
	Ahead        *float64 `json:"ahead_of_ntp,omitempty"`
	Within       *float64 `json:"within,omitempty"`
}

// clocks is what is known of clocks at now, for readyz.
func clocks(book *skew.Book, now time.Time) map[string]any {
	issuers := []clockLine{}
	for _, n := range book.All(now) {
		line := clockLine{Issuer: n.Issuer, Low: tenths(n.Low), High: tenths(n.High), Tokens: n.Tokens, Dates: n.Dates, Says: book.Sentence(n.Issuer, now)}
		for _, c := range n.Clocks {
			if len(n.Clocks) > 1 || c.Node != "" {
				line.Clocks = append(line.Clocks, nodeClock{c.Node, tenths(c.Low), tenths(c.High)})
			}
		}
		issuers = append(issuers, line)
	}
	out := map[string]any{"issuers": issuers}
	if h, known := book.Host(now); known {
		line := hostLine{Source: h.Source, Synchronised: !h.Unsynchronised}
		if line.Synchronised {
			ahead, within := h.Offset.Seconds(), h.Bound.Seconds()
			line.Ahead, line.Within = &ahead, &within
		}
		out["host"] = line
	}
	return out
}

func tenths(d time.Duration) float64 { return d.Round(100 * time.Millisecond).Seconds() }
