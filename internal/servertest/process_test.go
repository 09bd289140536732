package servertest

import (
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestASignalReachesNobodyElse gives the number of a process that is over to
// another, as the system does sooner or later.
func TestASignalReachesNobodyElse(t *testing.T) {
	over := &process{args: []string{"true"}, log: filepath.Join(t.TempDir(), "log")}
	other := &process{args: []string{"sleep", "60"}, log: over.log}
	for _, p := range []*process{over, other} {
		if err := p.start(); err != nil {
			t.Fatal(err)
		}
	}
	<-over.ended
	over.cmd.Process.Pid = other.cmd.Process.Pid
	for _, s := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGCONT, syscall.SIGKILL} {
		over.signal(s)
	}
	select {
	case <-other.ended:
		t.Error("a process that is over was killed, and a stranger died of it")
	case <-time.After(200 * time.Millisecond):
	}
	other.stop(syscall.SIGKILL, 0)
}
