// Command fault-matrix runs Longcase and the caches people use through the same
// faults, in virtual time, and prints who did what.
package main

import (
	"os"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"

	"github.com/longcase/longcase/bench/fresh"
)

func main() {
	klog.SetLogger(logr.Discard()) // client-go logs each failure
	matrix := func(t *testing.T) {
		if err := fresh.Matrix(t, os.Stdout); err != nil {
			t.Fatal(err)
		}
	}
	always := func(_, _ string) (bool, error) { return true, nil }
	testing.Main(always, []testing.InternalTest{{Name: "faults", F: matrix}}, nil, nil)
}
