package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long anything may take before a test gives up; it asserts
// nothing about speed.
const patience = 30 * time.Second

// binary is the longcase under test: LONGCASE_BINARY, or built by TestMain.
var binary = os.Getenv("LONGCASE_BINARY")

func TestMain(m *testing.M) {
	if name := os.Getenv(clientSwitch); name != "" {
		os.Exit(beClient(name))
	}
	_ = flag.Set("test.parallel", "16") // those who run at once wait for ends, they do not compute
	_ = os.Setenv(lookerVariable, "looker-secret")
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	if binary != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "longcase-e2e-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "longcase")
	build := exec.Command("go", "build", "-o", binary, "./cmd/longcase")
	build.Dir, build.Env = "..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		os.Stderr.Write(out)
		return 1
	}
	return m.Run()
}

// long multiplies a twentieth of a count to the whole under LONGCASE_LONG=1.
func long(twentieth int) int {
	if os.Getenv("LONGCASE_LONG") == "1" {
		return 20 * twentieth
	}
	return twentieth
}

// run is one finished command.
type run struct {
	stdout, stderr string
	code           int
}

// longcase runs one command of the product to its end.
func longcase(t *testing.T, stdin string, args ...string) run {
	t.Helper()
	return command(t, stdin, exec.Command(binary, args...))
}

func command(t *testing.T, stdin string, cmd *exec.Cmd) run {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	return run{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// must runs one command of the product that has to succeed and decodes its
// --json answer into out, unless that is nil.
func must(t *testing.T, stdin string, out any, args ...string) {
	t.Helper()
	r := longcase(t, stdin, args...)
	if r.code != 0 {
		t.Fatalf("longcase %v exits %d: %s%s", args, r.code, r.stdout, r.stderr)
	}
	if out == nil {
		return
	}
	if err := json.Unmarshal([]byte(r.stdout), out); err != nil {
		t.Fatalf("longcase %v: %v in %q", args, err, r.stdout)
	}
}

// process is a running `longcase serve`.
type process struct {
	t        *testing.T
	cmd      *exec.Cmd
	dir      string
	out, log notes // stdout and stderr
	ready    chan struct{}
	exited   chan struct{}

	mu      sync.Mutex
	secrets map[string]bool
}

// serve starts `longcase serve args` in dir and waits until it says ready. At
// the end of the test it is stopped, must exit 0, and must have kept every
// secret out of its output.
func serve(t *testing.T, dir string, args ...string) *process {
	t.Helper()
	return start(t, dir, exec.Command(binary, append([]string{"serve"}, args...)...))
}

// start is serve for a command of one's own.
func start(t *testing.T, dir string, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, dir: dir, exited: make(chan struct{}), secrets: map[string]bool{}, ready: make(chan struct{})}
	cmd.Dir, cmd.Stdout = dir, &p.out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.read(stderr)
	t.Cleanup(p.check)
	select {
	case <-p.ready:
	case <-p.exited:
		t.Fatalf("%v exits %d:\n%s", cmd.Args, cmd.ProcessState.ExitCode(), p.output())
	case <-time.After(patience):
		t.Fatalf("%v is not ready:\n%s", cmd.Args, p.output())
	}
	return p
}

func (p *process) read(stderr io.Reader) {
	said := false
	lines := bufio.NewReader(stderr)
	for {
		line, err := lines.ReadString('\n')
		_, _ = io.WriteString(&p.log, line)
		if strings.TrimSpace(line) == "ready" && !said {
			said = true
			close(p.ready)
		}
		if err != nil {
			break
		}
	}
	_ = p.cmd.Wait()
	close(p.exited)
}

// output is all that the process has said, stdout first.
func (p *process) output() string { return p.out.String() + p.log.String() }

// hide names texts that must never be seen in the output or the data.
func (p *process) hide(secrets ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range secrets {
		if s != "" {
			p.secrets[s] = true
		}
	}
}

// kill ends the process as a crash would.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// stop drains the process and returns its exit code.
func (p *process) stop() int {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.t.Errorf("serve does not end at SIGTERM:\n%s", p.output())
		p.kill()
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) check() {
	if code := p.stop(); code != 0 && code != -1 { // -1: killed by the test
		p.t.Errorf("serve exits %d:\n%s", code, p.output())
	}
	output := p.output()
	if strings.Contains(output, "panic") || strings.Contains(output, "goroutine ") || strings.Contains(output, "DATA RACE") {
		p.t.Errorf("serve panicked:\n%s", output)
	}
	if p.t.Failed() {
		p.t.Logf("serve said:\n%.8000s", output)
	}
	for s := range p.secrets {
		if strings.Contains(output, s) {
			p.t.Errorf("the output holds a secret that begins with %.12q", s)
		}
	}
	p.checkData(filepath.Join(p.dir, "longcase-data"))
}

// checkData reads every file of the data directory for secrets.
func (p *process) checkData(root string) {
	_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		data, _ := os.ReadFile(path)
		for s := range p.secrets {
			if bytes.Contains(data, []byte(s)) {
				p.t.Errorf("%s holds a secret that begins with %.12q", path, s)
			}
		}
		return nil
	})
}

// notes is what a program says.
type notes struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (n *notes) Write(b []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.Write(b)
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.String()
}

// eventually waits until ok says true, and fails with what it was waiting for.
func eventually(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(within); ; time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}

// freeAddress returns a loopback address nobody listens on just now.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
