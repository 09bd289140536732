package cli

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/longcase/longcase/internal/admin"
)

// office is which server a command administers.
type office struct {
	env          *Env
	file, socket string
}

// flags adds -c and --admin to a group of administration commands.
func (o *office) flags(cmd *cobra.Command) {
	fileFlag(cmd, &o.file)
	cmd.PersistentFlags().StringVar(&o.socket, "admin", "", "admin `socket` of the server; default DATA/admin.sock")
}

// dial finds the socket: the one named, else that of the configuration's data
// directory, else that of the local setup.
func (o *office) dial() (*admin.Caller, error) {
	if o.socket != "" {
		return admin.Dial(o.socket), nil
	}
	dir := "longcase-data"
	if name := o.env.configFile(o.file); name != "" {
		cfg, err := load(name)
		if err != nil {
			return nil, err
		}
		dir = cfg.Data.Dir
	}
	return admin.Dial(filepath.Join(dir, admin.Socket)), nil
}

// answered gives the server's no its exit code.
func answered(err error) error {
	var refusal *admin.Refusal
	switch {
	case err == nil:
		return nil
	case errors.Is(err, admin.ErrDown):
		return unreachable(fmt.Errorf("%w: start 'longcase serve', or name its configuration with -c or its socket with --admin", err))
	case errors.Is(err, admin.ErrInvalid):
		return &exit{exitUsage, err}
	case errors.As(err, &refusal) && refusal.Is != nil && !errors.Is(err, admin.ErrDenied):
		return no(err)
	}
	return unreachable(err)
}
