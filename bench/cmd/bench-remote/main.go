// Command bench-remote prints goal V6's table: a storm of tokens whose keys
// nobody knows, and what it makes of the issuer's key set.
package main

import (
	"fmt"
	"os"

	"github.com/longcase/longcase/bench/remote"
)

func main() {
	if err := remote.Run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench-remote:", err)
		os.Exit(1)
	}
}
