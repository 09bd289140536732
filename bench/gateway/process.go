package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is one server of a run.
type process struct {
	cmd   *exec.Cmd
	said  tail
	ended chan struct{}
}

// start runs a program with one worker's worth of Go threads.
func start(dir, program string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(program, args...), ended: make(chan struct{})}
	p.cmd.Dir = dir
	p.cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir)
	p.cmd.Stdout, p.cmd.Stderr = &p.said, &p.said
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // how it ends is seen in alive
		close(p.ended)
	}()
	return p, nil
}

// startedWithin is how long a server may take until it listens.
const startedWithin = 20 * time.Second

// listens waits until the process takes connections.
func (p *process) listens(address string) error {
	for end := time.Now().Add(startedWithin); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		select {
		case <-p.ended:
			return fmt.Errorf("%s ended:\n%s", p.cmd.Path, p.said.String())
		default:
		}
		if conn, err := net.Dial("tcp", address); err == nil {
			return conn.Close()
		}
	}
	return fmt.Errorf("%s does not listen on %s:\n%s", p.cmd.Path, address, p.said.String())
}

// kill ends the process and waits for it.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// cpu is the processor time of the process so far, kernel and threads that have
// ended included.
func (p *process) cpu() (time.Duration, error) {
	var ts unix.Timespec
	clock := int32(^p.cmd.Process.Pid<<3 | 2) //nolint:gosec // clock_getcpuclockid(3): CPUCLOCK_SCHED of a process; a pid has at most 22 bits
	if err := unix.ClockGettime(clock, &ts); err != nil {
		return 0, fmt.Errorf("processor time of %s: %w\n%s", p.cmd.Path, err, p.said.String())
	}
	return time.Duration(ts.Nano()), nil
}

// memory is the resident memory of the process in MiB, and the most it was.
func (p *process) memory() (now, peak float64, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(data)) {
		name, rest, _ := strings.Cut(line, ":")
		if name != "VmRSS" && name != "VmHWM" {
			continue
		}
		kib, err := strconv.Atoi(strings.Fields(rest)[0])
		if err != nil {
			return 0, 0, err
		}
		if name == "VmRSS" {
			now = float64(kib) / 1024
		} else {
			peak = float64(kib) / 1024
		}
	}
	if now == 0 {
		return 0, 0, errors.New("/proc/PID/status has no VmRSS")
	}
	return now, peak, nil
}

// freeAddress is a loopback address nobody listens on just now.
func freeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}

// tail keeps the last of what a process says.
type tail struct {
	mu   sync.Mutex
	last bytes.Buffer
}

const tailBytes = 8 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last.Write(p)
	if more := t.last.Len() - tailBytes; more > 0 {
		t.last.Next(more)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last.String()
}
