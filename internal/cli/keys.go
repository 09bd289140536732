package cli

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/longcase/longcase/internal/admin"
)

func keysCommand(env *Env) *cobra.Command {
	o := &office{env: env}
	cmd := group("keys", "Signing keys of the issuer", keysListCommand(o), keysRotateCommand(o), keysRevokeCommand(o))
	o.flags(cmd)
	return cmd
}

func keysListCommand(o *office) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the keys, their states, and when each step comes and why",
		Args:  arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			server, err := o.dial()
			if err != nil {
				return err
			}
			answer, err := server.KeysList(cmd.Context())
			if err != nil {
				return answered(err)
			}
			if asJSON {
				return printJSON(o.env.Stdout, answer)
			}
			return printKeys(o.env.Stdout, answer.Keys, o.env.Now())
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// printKeys writes one line a key, and one for each of its steps to come.
func printKeys(w io.Writer, keys []admin.Key, now time.Time) error {
	rows := [][]string{{"ID", "ALGORITHM", "STATE", "SINCE", "NEXT"}}
	for _, k := range keys {
		since, next := "-", "-"
		for _, s := range k.Steps {
			switch {
			case s.At.After(now) && next == "-":
				next = s.State + " " + away(s.At, now)
				if s.Why != "" {
					next += ": " + s.Why
				}
			case !s.At.After(now) && s.State == k.State:
				since = clock(s.At)
			}
		}
		rows = append(rows, []string{k.ID, k.Algorithm, k.State, since, next})
	}
	return table(w, rows)
}

func keysRotateCommand(o *office) *cobra.Command {
	var algorithm string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Publish a successor, which signs after publish_ahead",
		Args:  arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			server, err := o.dial()
			if err != nil {
				return err
			}
			key, err := server.KeysRotate(cmd.Context(), algorithm)
			if errors.Is(err, admin.ErrWaiting) {
				return no(err)
			}
			if err != nil {
				return answered(err)
			}
			if asJSON {
				return printJSON(o.env.Stdout, key)
			}
			return printKeys(o.env.Stdout, []admin.Key{key}, o.env.Now())
		},
	}
	cmd.Flags().StringVar(&algorithm, "algorithm", "", "`algorithm` of the new key; default: as configured")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func keysRevokeCommand(o *office) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "revoke KID",
		Short: "Take a key out of the set at once, with every token it signed",
		Args:  arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			server, err := o.dial()
			if err != nil {
				return err
			}
			answer, err := server.KeysRevoke(cmd.Context(), args[0])
			if err != nil {
				return answered(err)
			}
			if asJSON {
				return printJSON(o.env.Stdout, answer)
			}
			fmt.Fprintf(o.env.Stderr, "Key %s is revoked: its tokens are refused as soon as a gate hears of it.\n", clean(args[0]))
			return printKeys(o.env.Stdout, answer.Keys, o.env.Now())
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}
