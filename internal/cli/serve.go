package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/longcase/longcase/internal/app"
	"github.com/longcase/longcase/internal/config"
)

func serveCommand(env *Env) *cobra.Command {
	var file, data, admin string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run what the configuration names; without one, a complete local setup",
		Args:  arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var cfg *config.Config
			if name := env.configFile(file); name != "" {
				var err error
				if cfg, err = load(name); err != nil {
					return err
				}
			}
			err := app.Serve(cmd.Context(), app.Options{
				Config: cfg, Data: data, Admin: admin, Version: version(),
				Getenv: env.Getenv, Stdout: env.Stdout, Stderr: env.Stderr,
			})
			return served(err)
		},
	}
	fileFlag(cmd, &file)
	cmd.Flags().StringVar(&data, "data", "", "data `directory`, instead of the configuration's")
	cmd.Flags().StringVar(&admin, "admin", "", "admin `socket`, instead of DATA/admin.sock")
	return cmd
}

// served says whether a server ended for its configuration or for something it
// needs.
func served(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, app.ErrConfig):
		return &exit{exitUsage, err}
	}
	return unreachable(err)
}
