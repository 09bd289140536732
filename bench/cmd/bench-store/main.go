// Command bench-store prints durable rotations per second over the disk's own
// fsync rate (goal S1), then what it costs to retire ended sessions (goal S2).
// Its argument is a directory on the disk to measure (default: the current one).
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/longcase/longcase/bench/store"
)

func main() {
	only := flag.String("only", "", "rotate or retire; default both")
	sessions := flag.Int("sessions", 0, "how many ended sessions are retired; default 1,000,000")
	flag.Parse()
	dir := "."
	if flag.NArg() > 0 {
		dir = flag.Arg(0)
	}
	if err := run(*only, dir, *sessions); err != nil {
		fmt.Fprintln(os.Stderr, "bench-store:", err)
		os.Exit(1)
	}
}

func run(only, dir string, sessions int) error {
	if only != "retire" {
		if err := store.Rotate(os.Stdout, dir); err != nil {
			return err
		}
		fmt.Println()
	}
	if only == "rotate" {
		return nil
	}
	return store.Retire(os.Stdout, dir, store.Retirement{Sessions: sessions})
}
