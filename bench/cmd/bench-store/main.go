// Command bench-store prints durable rotations per second over the disk's own
// fsync rate. Its argument is a directory on the disk to measure (default: the
// current one).
package main

import (
	"fmt"
	"os"

	"github.com/longcase/longcase/bench/store"
)

func main() {
	dir := "."
	if len(os.Args) > 1 {
		dir = os.Args[1]
	}
	if err := store.Run(os.Stdout, dir); err != nil {
		fmt.Fprintln(os.Stderr, "bench-store:", err)
		os.Exit(1)
	}
}
