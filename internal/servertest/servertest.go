// Package servertest starts real engines for tests: PostgreSQL and Apache
// Cassandra by the scripts in servers/. A server that cannot start fails the
// test; none is ever skipped.
package servertest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// process is one server in the foreground of its script, in a process group of
// its own, that ends with the test's process.
type process struct {
	args  []string
	env   []string
	log   string // path
	cmd   *exec.Cmd
	ended <-chan struct{}
}

func (p *process) start() error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	p.cmd = exec.Command(p.args[0], p.args[1:]...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.Env = append(os.Environ(), p.env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	ended := make(chan struct{})
	p.ended = ended
	started := make(chan error)
	go func() {
		runtime.LockOSThread()         // the parent of PR_SET_PDEATHSIG is this thread: it must live on
		defer runtime.UnlockOSThread() // or it ends, and with it the children that others began on it
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // how it ended is in its log
			close(ended)
		}
	}()
	return <-started
}

// signal reaches the server and its children, which may have groups of their
// own, the server first: it starts no others then. It returns whom it reached.
func (p *process) signal(s syscall.Signal) []int {
	if p.over() {
		return nil
	}
	pid := p.cmd.Process.Pid
	children := childrenOf(pid)
	_ = p.cmd.Process.Signal(s) // it may be gone
	if more := childrenOf(pid); len(more) > 0 {
		children = more
	}
	for _, child := range children {
		_ = syscall.Kill(child, s)
	}
	return append(children, pid)
}

func childrenOf(pid int) (children []int) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for _, child := range strings.Fields(string(text)) {
		if id, err := strconv.Atoi(child); err == nil {
			children = append(children, id)
		}
	}
	return children
}

// pause stops all of it. A signal is on its way when it is sent: pause returns
// when no thread runs any more.
func (p *process) pause(tb testing.TB) {
	tb.Helper()
	if !soon(p.signal(syscall.SIGSTOP), stopped) {
		tb.Error("a server runs on 10 s after SIGSTOP")
	}
}

// kill ends all of it. It returns when nothing is left that holds the memory
// which its processes share: the next one would refuse to start.
func (p *process) kill() {
	pid := p.cmd.Process.Pid
	_ = p.cmd.Process.Signal(syscall.SIGSTOP) // it starts no others then
	soon([]int{pid}, stopped)
	pids := p.signal(syscall.SIGKILL)
	<-p.ended
	soon(pids, gone)
}

// The states of threads (proc(5)).
const (
	gone    = "ZX"
	stopped = "Tt" + gone
)

// soon waits until every thread of these processes is in one of states, or is
// no more; false: 10 s were not enough.
func soon(pids []int, states string) bool {
	for end := time.Now().Add(10 * time.Second); !are(pids, states); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

func are(pids []int, states string) bool {
	for _, pid := range pids {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		for _, thread := range threads {
			text, err := os.ReadFile(thread)
			if err != nil {
				continue
			}
			_, state, _ := strings.Cut(string(text), ") ")
			if !strings.ContainsAny(state[:1], states) {
				return false
			}
		}
	}
	return true
}

// over reports whether nothing of it runs: its ids may be somebody else's.
func (p *process) over() bool {
	if p.cmd == nil || p.cmd.Process == nil {
		return true
	}
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// stop ends it with s, and with SIGKILL if that takes longer than patience.
func (p *process) stop(s syscall.Signal, patience time.Duration) {
	if p.over() {
		return
	}
	if s != syscall.SIGKILL {
		_ = p.cmd.Process.Signal(s)
		select {
		case <-p.ended:
			return
		case <-time.After(patience):
		}
	}
	p.kill()
}

// wait waits until ready says yes.
func (p *process) wait(what string, patience time.Duration, ready func() bool) error {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if ready() {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("%s ended by itself:\n%s", what, p.tail())
		default:
		}
	}
	return fmt.Errorf("%s is not ready after %s:\n%s", what, patience, p.tail())
}

func (p *process) tail() []byte {
	text, _ := os.ReadFile(p.log)
	if len(text) > 2000 {
		text = text[len(text)-2000:]
	}
	return bytes.TrimSpace(text)
}

// script is the path of a script of servers/, above the package under test.
func script(name string) (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		path := filepath.Join(dir, "servers", name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path, nil
		}
		above := filepath.Dir(dir)
		if above == dir {
			return "", errors.New("no servers/" + name + " above the working directory")
		}
		dir = above
	}
}

// tempDir is a directory that a server which gave up root's rights can enter.
func tempDir(tb testing.TB) string {
	dir, err := os.MkdirTemp("", "longcase-server-")
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func answers(address string) bool {
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return false
	}
	return c.Close() == nil
}
