// Command bench-issuer prints goals I1 and I3: tokens a second beside a bare
// signing server, cold start and memory at rest.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/longcase/longcase/bench/issuer"
)

func main() {
	bare := flag.String("bare", "", "be the bare server on this address")
	cfg := issuer.Config{}
	flag.StringVar(&cfg.Longcase, "binary", "../bin/longcase", "the built longcase")
	flag.IntVar(&cfg.Rounds, "rounds", 9, "rounds; the median counts")
	flag.DurationVar(&cfg.Round, "round", 3*time.Second, "length of one server's round")
	flag.IntVar(&cfg.Starts, "starts", 11, "cold starts")
	flag.DurationVar(&cfg.Rest, "rest", 5*time.Second, "rest before memory is read")
	flag.Parse()
	if err := run(*bare, cfg); err != nil {
		fmt.Fprintln(os.Stderr, "bench-issuer:", err)
		os.Exit(1)
	}
}

func run(bare string, cfg issuer.Config) error {
	if bare != "" {
		return issuer.ServeBare(bare)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cfg.Bare = []string{self, "-bare"}
	if cfg.Longcase, err = filepath.Abs(cfg.Longcase); err != nil {
		return err
	}
	return issuer.Run(os.Stdout, cfg)
}
