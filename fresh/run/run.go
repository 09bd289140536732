// Package run runs a program for what it prints: bounded in size, in a
// process group of its own, with nothing left behind.
package run

import (
	"errors"
	"os/exec"
	"time"
)

// drain is how long the output may stay open after the program's end: what it
// left behind may hold it.
const drain = 2 * time.Second

// ErrTooMuch says that the program printed more than it may. It was killed.
var ErrTooMuch = errors.New("too much output")

// Output runs cmd, made with exec.CommandContext, and returns what it printed, at
// most so many bytes. At the end of cmd's context, at one byte too many, and
// after a failure the whole process group is killed. A program that ended well
// did so even if a child of it holds the output open. Stderr is the caller's. The
// error is nil, ErrTooMuch, or exec's own; what was printed comes with each.
func Output(cmd *exec.Cmd, most int) ([]byte, error) {
	ownGroup(cmd)
	out := &head{most: most}
	out.stop = func() { _ = killGroup(cmd.Process) }
	cmd.Stdout, cmd.WaitDelay = out, drain
	cmd.Cancel = func() error { return killGroup(cmd.Process) }
	err := cmd.Run()
	if err != nil && cmd.Process != nil {
		_ = killGroup(cmd.Process)
	}
	switch {
	case out.over:
		return out.kept, ErrTooMuch
	case errors.Is(err, exec.ErrWaitDelay):
		return out.kept, nil
	}
	return out.kept, err
}

// head keeps the first bytes; at one too many it stops the program.
type head struct {
	kept []byte
	most int
	over bool
	stop func()
}

func (h *head) Write(p []byte) (int, error) {
	if len(h.kept)+len(p) > h.most {
		h.over = true
		h.stop()
		return 0, ErrTooMuch
	}
	h.kept = append(h.kept, p...)
	return len(p), nil
}
