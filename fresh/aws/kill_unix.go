//go:build unix

package aws

import (
	"os/exec"
	"syscall"
)

// killAll makes the end of cmd's context end its children, too.
func killAll(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
