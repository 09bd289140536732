package servertest

import (
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestWhatDoesNotRunIsNotStopped: its id may be another process's by then.
func TestWhatDoesNotRunIsNotStopped(t *testing.T) {
	for name, args := range map[string][]string{"never begun": {"/nowhere/server"}, "ended": {"true"}} {
		t.Run(name, func(t *testing.T) {
			p := &process{args: args, log: filepath.Join(t.TempDir(), "log")}
			p.stop(syscall.SIGKILL, 0)
			if err := p.start(); err == nil {
				<-p.ended
			}
			p.stop(syscall.SIGINT, time.Minute)
			p.stop(syscall.SIGKILL, 0)
			if !p.over() {
				t.Error("it is not over")
			}
		})
	}
}
