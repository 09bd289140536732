package plan

import (
	"math"

	"github.com/longcase/longcase/internal/config"
)

// What a request costs, measured on one small machine (2 cores, 2026-11). They
// say how things compare; measure on your own before you buy.
const (
	// processor time of longcase serve for one refresh (embedded store, 8
	// connections): docs/benchmarks.md
	requestCPU = 240e-6
	// how busy a machine may be: what is left is for peaks and for the machines
	// that are down
	busy = 0.7
)

// Size is what a number of token requests a second needs.
type Size struct {
	Requests float64 // a second
	Sessions float64 // new ones a second
	Live     float64 // that can be refreshed
	Nodes    int     // of Longcase
	Engines  []EngineSize
}

// EngineSize is one engine at that size.
type EngineSize struct {
	Engine string
	Disk   float64 // of one copy
	Cores  float64 // of the engine's own; 0: it runs in Longcase's process
	Wall   bool    // more than one machine of that engine does
}

// wallCores is the largest machine that is thought of: what needs more than that
// in one place has hit a wall.
const wallCores = 64

// Sizes are 10 to 1,000,000 token requests a second, in the proportions of l, on
// nodes of so many cores.
func (l Load) Sizes(cores int, s Setup, engines []string) []Size {
	var all []Size
	for requests := 10.0; requests <= 1e6; requests *= 10 {
		all = append(all, l.at(requests).size(cores, s, engines))
	}
	return all
}

// at is l with so many token requests a second.
func (l Load) at(requests float64) Load {
	part := requests / l.Tokens()
	l.Sessions *= part
	l.Proofs *= part
	return l
}

func (l Load) size(cores int, s Setup, names []string) Size {
	size := Size{Requests: l.Tokens(), Sessions: l.Sessions, Live: l.Live()}
	size.Nodes = int(math.Ceil(l.Tokens() * requestCPU / (float64(cores) * busy)))
	for _, name := range names {
		est := l.Steady(name, s)
		one := EngineSize{Engine: name, Disk: est.Disk}
		if name == config.Embedded {
			one.Wall = l.Tokens()*requestCPU > wallCores*busy
		} else {
			one.Cores = est.Writes / engines[name].writes / busy * float64(est.Copies)
			one.Wall = name == config.Postgres && one.Cores > wallCores
		}
		size.Engines = append(size.Engines, one)
	}
	return size
}
