// Command bench-verify prints goal V1's table: the cost of one token check over
// its bare cryptographic operation, beside the peers.
package main

import (
	"fmt"
	"os"

	"github.com/longcase/longcase/bench/verify"
)

func main() {
	if err := verify.Run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench-verify:", err)
		os.Exit(1)
	}
}
