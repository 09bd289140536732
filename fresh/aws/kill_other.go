//go:build !unix

package aws

import "os/exec"

// killAll leaves it at the process itself.
func killAll(*exec.Cmd) {}
