package command

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/run"
)

const (
	maxOutput = 256 << 10
	maxStderr = 4 << 10
	maxLine   = 300
)

// kubernetesInfo is what an ExecCredential plugin is told of its caller.
const kubernetesInfo = `KUBERNETES_EXEC_INFO={"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","spec":{"interactive":false}}`

// name is the program's, for errors; arguments may hold secrets.
func (c Config) name() string { return filepath.Base(c.Argv[0]) }

// run returns what the program printed.
func (c Config) run(ctx context.Context) ([]byte, error) {
	limited, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	stderr := &tail{most: maxStderr}
	out, err := run.Output(c.command(limited, stderr), maxOutput)
	switch {
	case err == nil:
		return out, nil
	case errors.Is(err, run.ErrTooMuch):
		return nil, fresh.Fail(fresh.Malformed, "%s printed more than %d bytes", c.name(), maxOutput)
	case ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, ctx.Err()
	case limited.Err() != nil:
		return nil, fresh.Fail(fresh.Unavailable, "%s was killed: it did not end in time%s", c.name(), stderr.line())
	}
	return nil, c.failed(err, stderr)
}

func (c Config) command(ctx context.Context, stderr io.Writer) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.Argv[0], c.Argv[1:]...) //nolint:gosec // the operator's own program
	cmd.Env = os.Environ()
	if c.Format == Kubernetes {
		cmd.Env = append(cmd.Env, kubernetesInfo)
	}
	cmd.Env = append(cmd.Env, c.Env...)
	cmd.Stderr = stderr
	return cmd
}

// failed explains why the program gave nothing.
func (c Config) failed(err error, stderr *tail) error {
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.Exited():
		return fresh.Fail(fresh.Refused, "%s exited with %d%s", c.name(), exit.ExitCode(), stderr.line())
	case errors.As(err, &exit):
		return fresh.Fail(fresh.Unavailable, "%s ended by a signal: %s%s", c.name(), exit, stderr.line())
	}
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	var e *exec.Error
	if errors.As(err, &e) {
		err = e.Err
	}
	return &fresh.Error{Reason: fresh.Misconfigured, Detail: c.name() + " cannot be started", Err: err}
}

// tail keeps the last bytes.
type tail struct {
	kept []byte
	most int
}

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - t.most; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(p), nil
}

// line is the last line that says something, to be put behind a sentence.
func (t *tail) line() string {
	lines := strings.FieldsFunc(string(t.kept), func(r rune) bool { return r == '\n' || r == '\r' })
	for i := len(lines) - 1; i >= 0; i-- {
		if s := conceal(printable(strings.TrimSpace(lines[i]))); s != "" {
			return ": " + s
		}
	}
	return ""
}

// printable drops what a terminal would obey, and shortens.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, s)
	if len(s) > maxLine {
		s = strings.ToValidUTF8(s[:maxLine], "") + "…"
	}
	return s
}
