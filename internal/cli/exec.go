package cli

import (
	"errors"
	"os/exec"

	"github.com/spf13/cobra"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/internal/app"
)

func execCommand(env *Env) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "exec NAME... -- CMD ARG...",
		Short: "Run a program with credentials that stay fresh while it lives",
		Long: "Run CMD with the named credentials (agent.credentials), published on a loopback endpoint of its own\n" +
			"for as long as it lives: AWS keys as container credentials, Google's tokens as a metadata server,\n" +
			"Azure's as App Service's identity, every other token in a file that LONGCASE_TOKEN_FILE_NAME names.\n" +
			"CMD begins when every credential is in hand. Signals go to it, and its exit code is this command's.",
		ValidArgsFunction: env.completeNames(&file),
		RunE: func(cmd *cobra.Command, args []string) error {
			dash := cmd.ArgsLenAtDash()
			if dash < 1 || dash == len(args) {
				return &misuse{errors.New("give the names of credentials, then --, then a command"), cmd.UseLine()}
			}
			cfg, err := env.agentConfig(file, args[:dash])
			if err != nil {
				return err
			}
			err = app.Exec(cmd.Context(), app.ExecOptions{Config: cfg, Names: args[:dash], Command: args[dash:],
				Getenv: env.Getenv, Stdin: env.Stdin, Stdout: env.Stdout, Stderr: env.Stderr})
			return executed(err)
		},
	}
	fileFlag(cmd, &file)
	return cmd
}

// executed gives the program's own exit code.
func executed(err error) error {
	var (
		ended  *exec.ExitError
		notRun *exec.Error
		own    *fresh.Error
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &ended):
		return &exit{code: app.ExitCode(ended)}
	case errors.As(err, &own): // of a credential, whose own program may be missing
		return credentialError(err)
	case errors.Is(err, app.ErrConfig), errors.As(err, &notRun):
		return &exit{exitUsage, err}
	}
	return credentialError(err)
}
