// Command bench-fresh prints what keeping credentials fresh costs: a cached get
// beside the peers' (goal F5), a crowd at an expiry (F4), the way from a 401 to
// the healed answer (F3), and ten thousand layers in one process.
package main

import (
	"fmt"
	"os"

	"github.com/longcase/longcase/bench/fresh"
)

func main() {
	if err := fresh.Run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench-fresh:", err)
		os.Exit(1)
	}
}
