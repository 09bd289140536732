package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/longcase/longcase/fresh/oauth"
	"github.com/longcase/longcase/internal/agent"
	"github.com/longcase/longcase/internal/chains"
	"github.com/longcase/longcase/internal/config"
)

// ExecOptions says what to run, with which credentials.
type ExecOptions struct {
	Config  *config.Config
	Names   []string // of credentials
	Command []string
	Getenv  func(string) string
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
}

const (
	loopback = "127.0.0.1:0" // where exec publishes: a port of its own
	tokenDir = "token"       // where its token files are, apart from the secrets of its endpoints
)

// Exec runs a command with credentials that stay fresh while it lives, published
// for it alone. The error is the command's own *exec.ExitError, one of a
// credential, or ErrConfig.
func Exec(ctx context.Context, o ExecOptions) error {
	dir, release, err := execDir(os.TempDir())
	if err != nil {
		return err
	}
	defer release()
	path, err := exec.LookPath(o.Command[0])
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM) // they end ctx too, for as long as the command has not begun
	defer signal.Stop(signals)
	e := &execution{opts: o, dir: dir, path: path, signals: signals, log: slog.New(slog.NewTextHandler(o.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	return e.run(ctx)
}

// execution is one command and the agent beside it.
type execution struct {
	opts    ExecOptions
	dir     string
	path    string // of the command
	signals chan os.Signal
	log     *slog.Logger
	chains  *chains.Chains
	agent   *agent.Agent
}

func (e *execution) run(ctx context.Context) error {
	if err := e.prepare(); err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if err := e.inHand(ctx); err != nil {
		return err
	}
	r := &room{place: place{room: roomAgent, listen: config.Listener{Listen: loopback}}, handler: newSwap(e.handler())}
	if err := r.open(e.log); err != nil {
		return err
	}
	beside, stop := context.WithCancel(context.WithoutCancel(ctx)) // the command decides when it ends
	defer stop()
	g, beside := errgroup.WithContext(beside)
	g.Go(func() error { return r.serve(beside, e.log) })
	g.Go(func() error { return e.agent.Run(beside) })
	g.Go(func() error { _ = e.chains.Run(beside, e.opts.Names); return nil })
	err := e.command(ctx, r.url())
	stop()
	return errors.Join(err, quiet(g.Wait()))
}

func (e *execution) handler() http.Handler {
	if h := e.agent.Handler(loopback); h != nil {
		return h
	}
	return http.NotFoundHandler() // only files
}

// prepare makes the chains and publishes each credential as its kind is looked
// for.
func (e *execution) prepare() error {
	o := e.opts
	if err := oneOfEachForm(o.Names, o.Config.Agent.Credentials); err != nil {
		return err
	}
	var err error
	e.chains, err = chains.New(chains.Config{Agent: o.Config.Agent, Names: o.Names, Getenv: o.Getenv, Prompt: e.prompt})
	if err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(e.dir, tokenDir), 0o700); err != nil {
		return err
	}
	list := make([]agent.Publication, len(o.Names))
	for i, name := range o.Names {
		if list[i], err = publication(e.chains, publisherFor(name, o.Config.Agent.Credentials[name])); err != nil {
			return err
		}
		if list[i].Form == agent.File {
			list[i].Listen, list[i].Path = "", filepath.Join(e.dir, tokenDir, name)
		}
	}
	if e.agent, err = agent.New(agent.Config{Publish: list, Dir: e.dir, Log: e.log}); err != nil {
		return err
	}
	return e.agent.Prepare()
}

// oneOfEachForm refuses names that one program cannot tell apart: its variables
// lead to one credential of a form. Files have a variable each.
func oneOfEachForm(names []string, credentials map[string]*config.Credential) error {
	taken := map[string]string{} // form -> name
	var wrong []error
	for i, name := range names {
		form := formFor(credentials[name])
		other := taken[form]
		switch {
		case slices.Contains(names[:i], name):
			wrong = append(wrong, fmt.Errorf("credential %q is named twice", name))
		case form == string(agent.File):
		case other != "":
			wrong = append(wrong, fmt.Errorf("one program can have one credential as %s, and %q and %q are two: name one of them", form, other, name))
		default:
			taken[form] = name
		}
	}
	return errors.Join(wrong...)
}

// publisherFor publishes a credential as its kind is looked for.
func publisherFor(name string, c *config.Credential) config.Publisher {
	p := config.Publisher{Credential: name, As: formFor(c), Listen: loopback}
	switch p.As {
	case string(agent.GCEMetadata):
		p.Account = c.ServiceAccount
	case string(agent.AzureAppService):
		p.Account, p.Resource = c.Client, c.ResourceServed()
	}
	return p
}

// formFor is the form in which programs look for a credential of its kind.
func formFor(c *config.Credential) string {
	switch {
	case c.Gives() == config.AWSKeys:
		return string(agent.AWSContainer)
	case strings.HasPrefix(c.Kind, "google-"), c.Kind == "gce-metadata":
		return string(agent.GCEMetadata)
	case strings.HasPrefix(c.Kind, "azure-"):
		return string(agent.AzureAppService)
	}
	return string(agent.File)
}

// inHand waits for every credential, so that the command begins with them.
func (e *execution) inHand(ctx context.Context) error {
	var errs []error
	for _, name := range e.opts.Names {
		if layer := e.chains.Keys(name); layer != nil {
			_, err := layer.Get(ctx)
			errs = append(errs, err)
			continue
		}
		_, err := e.chains.Token(name).Get(ctx)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// command runs the command to its end. Signals go to it; ctx, which the first
// of them ends, does not kill it.
func (e *execution) command(ctx context.Context, url string) error {
	places, err := e.agent.Places(func(string) string { return url }, e.opts.Names...)
	if err != nil {
		return err
	}
	vars, err := agent.Environment(places)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if vars, err = e.hideProfiles(vars); err != nil {
		return err
	}
	cmd := exec.Command(e.path, e.opts.Command[1:]...) //nolint:gosec,noctx // running it is the point, and it ends itself
	cmd.Args[0] = e.opts.Command[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = e.opts.Stdin, e.opts.Stdout, e.opts.Stderr
	cmd.Env = environment(os.Environ(), vars)
	if err := written(ctx, places); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	signal.Notify(e.signals, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return e.wait(cmd)
}

// wait passes signals on until the command ends.
func (e *execution) wait(cmd *exec.Cmd) error {
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case s := <-e.signals:
			if !typed(s) {
				_ = cmd.Process.Signal(s) // it may be gone
			}
		case err := <-ended:
			return err
		}
	}
}

// typed reports whether a signal is one that the terminal sends to the command
// itself: a second interrupt tells many programs to drop everything.
func typed(s os.Signal) bool {
	if s != syscall.SIGINT && s != syscall.SIGQUIT {
		return false
	}
	tty, err := os.OpenFile("/dev/tty", os.O_RDONLY|unix.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	defer tty.Close()
	front, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && front == unix.Getpgrp()
}

// written waits for the token files.
func written(ctx context.Context, places []agent.Place) error {
	for _, p := range places {
		for p.Form == agent.File {
			if _, err := os.Stat(p.File); err == nil {
				break
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
	return nil
}

// prompt asks the person at the terminal to approve a device credential.
func (e *execution) prompt(name string, code oauth.DeviceCode) {
	Prompt(e.opts.Stderr, name, code)
}

// Prompt writes what a person is to do to approve a device credential.
func Prompt(w io.Writer, name string, code oauth.DeviceCode) {
	fmt.Fprintf(w, "%s: open %s and enter the code %s\n", name, code.URI, code.UserCode)
}

// ExitCode is what a shell would say of a program's end.
func ExitCode(e *exec.ExitError) int {
	if status, ok := e.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return e.ExitCode()
}
