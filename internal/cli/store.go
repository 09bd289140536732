package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/longcase/longcase/internal/app"
	"github.com/longcase/longcase/internal/config"
	"github.com/longcase/longcase/internal/move"
	"github.com/longcase/longcase/store"
)

func storeCommand(env *Env) *cobra.Command {
	return group("store", "The state: copy it to another engine, back it up, set it read only",
		storeCopyCommand(env), storeBackupCommand(env), storeReadOnlyCommand(env), storeWritableCommand(env))
}

func storeReadOnlyCommand(env *Env) *cobra.Command {
	var reason string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "read-only DATA --reason TEXT",
		Short: "Make every server refuse to write to a store",
		Args:  arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if reason == "" {
				return &misuse{errors.New("--reason is what those who are refused are told: give one"), cmd.UseLine()}
			}
			return withStore(cmd.Context(), env, args[0], func(ctx context.Context, s store.Movable, data config.Data) error {
				if err := s.SetReadOnly(ctx, reason); err != nil {
					return fmt.Errorf("%s: %w", data, err)
				}
				if asJSON {
					return printJSON(env.Stdout, writability{Data: data.String(), ReadOnly: reason})
				}
				fmt.Fprintf(env.Stdout, "%s is read only; undo with: longcase store writable %s\n", data, typed(args[0], data))
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "`text` that servers log and operators read")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// writability is the result for programs.
type writability struct {
	Data     string `json:"data"`
	ReadOnly string `json:"read_only"` // why; empty: it takes writes
	Was      string `json:"was"`       // why it was read only; empty: it was not
}

func storeWritableCommand(env *Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "writable DATA",
		Short: "Let servers write to a store again",
		Args:  arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withStore(cmd.Context(), env, args[0], func(ctx context.Context, s store.Movable, data config.Data) error {
				reason, err := s.ReadOnly(ctx)
				if err == nil && reason != "" {
					err = s.SetReadOnly(ctx, "")
				}
				if err != nil {
					return fmt.Errorf("%s: %w", data, err)
				}
				warnCopied(env, reason)
				if asJSON {
					return printJSON(env.Stdout, writability{Data: data.String(), Was: reason})
				}
				tellWritable(env, data, reason)
				return nil
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func tellWritable(env *Env, data config.Data, reason string) {
	if reason == "" {
		fmt.Fprintf(env.Stdout, "%s takes writes already\n", data)
		return
	}
	fmt.Fprintf(env.Stdout, "%s takes writes; it was read only: %s\n", data, reason)
}

// warnCopied says what it means that a store takes writes that was copied.
func warnCopied(env *Env, reason string) {
	if !move.IsReason(reason) {
		return
	}
	fmt.Fprint(env.Stderr, `longcase: if a copy of it is in use, never serve both: a refresh token that was used up there is good here once more
longcase: a copy that is under way cannot go on: begin it anew with an empty target
`)
}

// withStore opens the store that is named as data: names it, and which is
// there.
func withStore(ctx context.Context, env *Env, named string, work func(context.Context, store.Movable, config.Data) error) error {
	data, err := parseStore(env, named)
	if err != nil {
		return err
	}
	s, err := openStore(ctx, env, data, app.StoreOptions{Existing: true})
	if err != nil {
		return err
	}
	return kept(errors.Join(work(ctx, s, data), s.Close()))
}

// typed names a store on a command line: as it was typed, unless a password was.
func typed(named string, data config.Data) string {
	if data.Password != (config.DataPassword{}) && !strings.Contains(named, "${") {
		return data.String()
	}
	return named
}

func parseStore(env *Env, named string) (config.Data, error) {
	data, err := config.ParseData(named, env.Getenv)
	if err != nil {
		return data, &exit{exitUsage, err}
	}
	return data, nil
}

func openStore(ctx context.Context, env *Env, data config.Data, o app.StoreOptions) (store.Movable, error) {
	o.Getenv, o.Now, o.Log = env.Getenv, env.Now, warnings(env.Stderr)
	s, err := app.OpenStore(ctx, data, o)
	switch {
	case errors.Is(err, store.ErrNoStore):
		return nil, usage("%s: %w", data, err)
	case errors.Is(err, store.ErrLocked):
		return nil, unreachable(fmt.Errorf("%s is in use: stop the server on it first: %w", data, store.ErrLocked))
	case err != nil:
		return nil, kept(fmt.Errorf("%s: %w", data, err))
	}
	return s, nil
}

// kept gives an error of a store its exit code, unless it has one.
func kept(err error) error {
	var e *exit
	switch {
	case err == nil || errors.As(err, &e) || errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, app.ErrConfig):
		return &exit{exitUsage, err}
	}
	return unreachable(err)
}

// screen reports whether a person watches w.
func screen(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && terminal(f)
}
