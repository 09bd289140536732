package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// program is a running client of a cloud: converse.mjs and converse.py say how
// it is spoken with.
type program struct {
	t       *testing.T
	name    string
	in      io.WriteCloser
	answers chan reply
	said    bytes.Buffer // stderr; to be read when it has ended
}

// reply is one line of a program.
type reply struct {
	Ready bool
	Who   string
	Error string
}

// task is what a program of another language is told first.
type task struct {
	Library  string   `json:"library,omitempty"`
	Scopes   []string `json:"scopes,omitempty"`
	Audience string   `json:"audience,omitempty"`
	API      string   `json:"api,omitempty"`
	STS      string   `json:"sts,omitempty"`
	Region   string   `json:"region,omitempty"`
}

// converse starts a program with the environment given and nothing else of this
// process's that clients of clouds look at.
func converse(t *testing.T, what task, env []string, command ...string) *program {
	t.Helper()
	p := &program{t: t, name: strings.Join(command, " "), answers: make(chan reply, 1)}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(bare(t), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = &p.said
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.in = in
	go p.read(out)
	t.Cleanup(func() {
		_ = in.Close()
		timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
		for range p.answers { // until its stdout ends
		}
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%.4000s", p.name, p.said.String())
		}
	})
	if r := p.ask(encode(t, what)); !r.Ready {
		t.Fatalf("%s does not start: %s", p.name, r.Error)
	}
	return p
}

// bare is an environment in which no client finds a credential.
func bare(t *testing.T) []string {
	t.Helper()
	nowhere := t.TempDir()
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + nowhere,
		"AWS_CONFIG_FILE=" + nowhere + "/none", "AWS_SHARED_CREDENTIALS_FILE=" + nowhere + "/none",
		"CLOUDSDK_CONFIG=" + nowhere, "GOOGLE_CLOUD_PROJECT=project", // else some ask the internet for its number
		"PYTHONWARNINGS=ignore", "NODE_NO_WARNINGS=1",
	}
}

func (p *program) read(out io.Reader) {
	defer close(p.answers)
	for lines := json.NewDecoder(bufio.NewReader(out)); ; {
		var r reply
		if lines.Decode(&r) != nil {
			return
		}
		p.answers <- r
	}
}

// call makes the program use its credential once.
func (p *program) call() reply {
	p.t.Helper()
	return p.ask("call")
}

func (p *program) ask(line string) reply {
	p.t.Helper()
	if _, err := io.WriteString(p.in, line+"\n"); err != nil {
		return reply{Error: "gone: " + err.Error()}
	}
	select {
	case r, ok := <-p.answers:
		if !ok {
			r.Error = "gone"
		}
		return r
	case <-time.After(2 * patience):
		p.t.Fatalf("%s does not answer", p.name)
	}
	return reply{}
}

// keepCalling calls until done says so, with a pause between, and returns how
// many calls held; one that does not ends the test.
func (p *program) keepCalling(who string, pause time.Duration, done func() bool) (calls int) {
	p.t.Helper()
	for end := time.Now().Add(longest); !done(); calls++ {
		if time.Now().After(end) {
			p.t.Fatalf("%s: %d calls and no end", p.name, calls)
		}
		if r := p.call(); r.Who != who {
			p.t.Fatalf("%s: call %d is answered for %q, want %q: %s", p.name, calls+1, r.Who, who, r.Error)
		}
		time.Sleep(pause)
	}
	return calls
}

// longest is how long a program may be kept calling before a test gives up.
const longest = 5 * time.Minute
