// Package cli is the commands: what a person or a script types, and the words
// and exit codes they get. Each command is a file; none decides anything about
// tokens.
//
// Results go to stdout, the rest to stderr. Exit codes: 0 yes or done; 1 the
// answer is no; 2 usage or configuration; 3 something needed cannot be reached; 128 and the
// signal's number if one ended it before it was done.
// Secrets come from files, the environment or stdin, never from flags.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/longcase/longcase/internal/config"
)

// Env is the process around a command.
type Env struct {
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	Getenv func(string) string
	Now    func() time.Time // default time.Now
}

// The exit codes of the contract.
const (
	exitYes         = 0
	exitNo          = 1
	exitUsage       = 2
	exitUnreachable = 3
)

// exit is an error that knows its exit code. An error of nil has been told
// already, as a result on stdout.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

func no(err error) error          { return &exit{exitNo, err} }
func unreachable(err error) error { return &exit{exitUnreachable, err} }

func usage(format string, args ...any) error { return &exit{exitUsage, fmt.Errorf(format, args...)} }

// misuse is a wrong command line: its usage is worth a line.
type misuse struct {
	err  error
	line string
}

func (m *misuse) Error() string { return m.err.Error() }

// Main runs one command and returns its exit code. The first SIGINT or SIGTERM
// asks the command to end; the second ends the process.
func Main(ctx context.Context, args []string, env Env) int {
	ctx, stop := untilSignal(ctx)
	defer stop()
	if env.Now == nil {
		env.Now = time.Now
	}
	root := newRoot(&env) //nolint:contextcheck // ExecuteContext hands ctx to the command
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if s := new(signalled); errors.Is(err, context.Canceled) && errors.As(context.Cause(ctx), &s) {
		return 128 + int(s.by) // as a shell says it; whoever sent it needs no words
	}
	return tell(env.Stderr, err)
}

// signalled is why a command was asked to end.
type signalled struct{ by syscall.Signal }

func (s *signalled) Error() string { return s.by.String() }

// untilSignal returns a context that the first SIGINT or SIGTERM ends.
func untilSignal(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	came := make(chan os.Signal, 1)
	signal.Notify(came, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		select {
		case s := <-came:
			signal.Stop(came) // the next one ends the process
			by, _ := s.(syscall.Signal)
			cancel(&signalled{by})
		case <-ctx.Done():
			signal.Stop(came)
		}
	}()
	return ctx, func() { cancel(nil) }
}

// tell writes what went wrong and returns the exit code that says it.
func tell(w io.Writer, err error) int {
	var (
		problems config.Problems
		wrong    *misuse
		e        *exit
	)
	switch {
	case err == nil:
		return exitYes
	case errors.As(err, &problems):
		fmt.Fprintln(w, problems)
		return exitUsage
	case errors.As(err, &wrong):
		fmt.Fprintf(w, "longcase: %s\nusage: %s\n", oneLine(wrong.err), wrong.line)
		return exitUsage
	case errors.As(err, &e) && e.err == nil:
		return e.code
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(w, "longcase: %s\n", strings.TrimRight(line, "\n"))
	}
	if e != nil {
		return e.code
	}
	return exitUsage
}

// oneLine keeps what cobra says to its first line.
func oneLine(err error) string {
	s, _, _ := strings.Cut(err.Error(), "\n")
	return s
}

func newRoot(env *Env) *cobra.Command {
	root := &cobra.Command{
		Use:               "longcase",
		Short:             "Issue tokens, keep them fresh, verify them and retire them",
		SilenceErrors:     true,
		SilenceUsage:      true,
		Version:           version(),
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: false},
	}
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return &misuse{err, cmd.UseLine()} })
	root.AddCommand(
		serveCommand(env), configCommand(env), tokenCommand(env), execCommand(env), credentialCommand(env), clientCommand(env), sessionCommand(env),
		keysCommand(env), storeCommand(env), userCommand(env), planCommand(env), doctorCommand(env), versionCommand(env),
	)
	asGroup(root)
	return root
}

// group is a command that only leads to others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short}
	cmd.AddCommand(commands...)
	asGroup(cmd)
	return cmd
}

// asGroup makes a missing or unknown command below cmd a misuse.
func asGroup(cmd *cobra.Command) {
	cmd.Args = cobra.ArbitraryArgs
	cmd.SuggestionsMinimumDistance = 2
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		line := cmd.CommandPath() + " " + strings.Join(namesBelow(cmd), "|")
		if len(args) == 0 {
			return &misuse{fmt.Errorf("%q needs a command", cmd.CommandPath()), line}
		}
		err := fmt.Errorf("unknown command %q", cmd.CommandPath()+" "+args[0])
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			err = fmt.Errorf("%w; did you mean %q?", err, near[0])
		}
		return &misuse{err, line}
	}
}

func namesBelow(cmd *cobra.Command) []string {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return names
}

// arguments wants least to most arguments.
func arguments(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return &misuse{fmt.Errorf("%q needs an argument", cmd.CommandPath()), cmd.UseLine()}
		case len(args) > most:
			return &misuse{fmt.Errorf("unexpected argument %q", args[most]), cmd.UseLine()}
		}
		return nil
	}
}

// fileFlag adds -c; configFile says which file it or the environment names.
func fileFlag(cmd *cobra.Command, file *string) {
	cmd.PersistentFlags().StringVarP(file, "config", "c", "", "configuration `file` (or LONGCASE_CONFIG)")
}

func (env *Env) configFile(flag string) string {
	if flag != "" {
		return flag
	}
	return env.Getenv("LONGCASE_CONFIG")
}

// load reads a configuration; what is wrong with it is a matter of exit code 2.
func load(file string) (*config.Config, error) {
	cfg, err := config.Load(file)
	var problems config.Problems
	if err != nil && !errors.As(err, &problems) {
		return nil, &exit{exitUsage, err}
	}
	return cfg, err
}

func jsonFlag(cmd *cobra.Command, asJSON *bool) {
	cmd.Flags().BoolVar(asJSON, "json", false, "print the result as JSON")
}

// isTerminal reports whether r is a person's keyboard.
func isTerminal(r io.Reader) bool {
	f, ok := r.(*os.File)
	return ok && terminal(f)
}
