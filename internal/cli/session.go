package cli

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/longcase/longcase/internal/admin"
)

func sessionCommand(env *Env) *cobra.Command {
	o := &office{env: env}
	cmd := group("session", "Sessions: authorizations that can be refreshed", sessionListCommand(o), sessionRevokeCommand(o))
	o.flags(cmd)
	return cmd
}

func sessionListCommand(o *office) *cobra.Command {
	var filter admin.SessionFilter
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the live sessions",
		Args:  arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			server, err := o.dial()
			if err != nil {
				return err
			}
			page, err := server.SessionList(cmd.Context(), filter)
			if err != nil {
				return answered(err)
			}
			if asJSON {
				return printJSON(o.env.Stdout, page)
			}
			return printSessions(o.env, page)
		},
	}
	f := cmd.Flags()
	f.StringVar(&filter.Client, "client", "", "only those of a `client`")
	f.StringVar(&filter.Subject, "subject", "", "only those of a `subject`")
	f.StringVar(&filter.After, "after", "", "only those after this `id`: the next page")
	f.IntVar(&filter.Limit, "limit", 0, "at most this `many`; default and most 1000")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func printSessions(env *Env, page admin.SessionPage) error {
	now := env.Now()
	rows := [][]string{{"ID", "CLIENT", "SUBJECT", "REFRESHED", "ENDS"}}
	for _, s := range page.Sessions {
		ends := away(s.End, now)
		if s.Ended {
			ends = "ended"
		}
		rows = append(rows, []string{s.ID, s.Client, s.Subject, strconv.FormatUint(max(s.Generation, 1)-1, 10), ends})
	}
	if err := table(env.Stdout, rows); err != nil {
		return err
	}
	if page.Next != "" {
		return table(env.Stderr, [][]string{{"more: longcase session list --after " + page.Next}})
	}
	return nil
}

func sessionRevokeCommand(o *office) *cobra.Command {
	var r admin.SessionRevoke
	var before string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "revoke ID | --client C | --subject S | --before TIME",
		Short: "End sessions, and the access tokens that came from them",
		Args:  arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				r.ID = args[0]
			}
			if err := checkRevoke(&r, before); err != nil {
				return &misuse{err, cmd.CommandPath() + " ID | --client C | --subject S | --before TIME"}
			}
			server, err := o.dial()
			if err != nil {
				return err
			}
			ended, err := server.SessionRevoke(cmd.Context(), r)
			if err != nil {
				return answered(err)
			}
			if asJSON {
				return printJSON(o.env.Stdout, ended)
			}
			fmt.Fprintf(o.env.Stdout, "sessions ended: %d\n", ended.Sessions)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.Client, "client", "", "all of a `client`")
	f.StringVar(&r.Subject, "subject", "", "all of a `subject`")
	f.StringVar(&before, "before", "", "what began before this `time` (2026-11-22T10:00:00Z); alone: whoever it belongs to, sign-ins included: after a backup was restored")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// checkRevoke wants exactly one of the ways to say which sessions.
func checkRevoke(r *admin.SessionRevoke, before string) error {
	if before != "" {
		at, err := time.Parse(time.RFC3339, before)
		if err != nil {
			return errors.New("--before is a time like 2026-11-22T10:00:00Z, not " + strconv.Quote(before))
		}
		r.Before = at
	}
	ways := 0
	for _, w := range []string{r.ID, r.Client, r.Subject} {
		if w != "" {
			ways++
		}
	}
	switch {
	case ways > 1:
		return errors.New("an id, --client and --subject exclude each other")
	case r.ID != "" && before != "":
		return errors.New("an id and --before exclude each other")
	case ways == 0 && before == "":
		return errors.New("which sessions?")
	}
	return nil
}
