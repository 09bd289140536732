package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/longcase/longcase/internal/admin"
	"github.com/longcase/longcase/issuer/password"
)

func clientCommand(env *Env) *cobra.Command {
	o := &office{env: env}
	cmd := group("client", "Clients of the issuer",
		clientListCommand(o), clientShowCommand(o), clientAddCommand(o), clientRemoveCommand(o), clientSecretCommand(env))
	o.flags(cmd)
	return cmd
}

func clientListCommand(o *office) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the clients, those of the file first",
		Args:  arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			server, err := o.dial()
			if err != nil {
				return err
			}
			answer, err := server.ClientList(cmd.Context())
			if err != nil {
				return answered(err)
			}
			if asJSON {
				return printJSON(o.env.Stdout, answer)
			}
			rows := [][]string{{"ID", "SOURCE", "AUTHENTICATES BY", "GRANTS", "AUDIENCES"}}
			for _, c := range answer.Clients {
				rows = append(rows, []string{c.ID, c.Source, c.Authenticate, list(c.Grants), list(c.Audiences)})
			}
			return table(o.env.Stdout, rows)
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func clientShowCommand(o *office) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show one client",
		Args:  arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			server, err := o.dial()
			if err != nil {
				return err
			}
			c, err := server.ClientShow(cmd.Context(), args[0])
			if err != nil {
				return answered(err)
			}
			if asJSON {
				return printJSON(o.env.Stdout, c)
			}
			return table(o.env.Stdout, [][]string{
				{"id", c.ID}, {"source", c.Source}, {"authenticates by", c.Authenticate}, {"grants", list(c.Grants)},
				{"audiences", list(c.Audiences)}, {"scopes", list(c.Scopes)}, {"redirect uris", list(c.RedirectURIs)},
				{"origins", list(c.Origins)}, {"follows revocations", fmt.Sprint(c.Revocations)},
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func clientAddCommand(o *office) *cobra.Command {
	var n admin.NewClient
	var public, asJSON bool
	cmd := &cobra.Command{
		Use:   "add --id ID --grant GRANT… --audience AUDIENCE…",
		Short: "Add a client and print its secret, once",
		Args:  arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if n.ID == "" || len(n.Grants) == 0 || len(n.Audiences) == 0 {
				return &misuse{errors.New("--id, --grant and --audience are required"), cmd.UseLine()}
			}
			server, err := o.dial()
			if err != nil {
				return err
			}
			made := secretAnswer{ID: n.ID}
			if !public {
				made = newSecret(n.ID)
				n.SecretHash = made.Hash
			}
			if _, err := server.ClientAdd(cmd.Context(), n); err != nil {
				return answered(err)
			}
			return made.print(o.env, asJSON)
		},
	}
	f := cmd.Flags()
	f.StringVar(&n.ID, "id", "", "client `id`")
	f.StringArrayVar(&n.Grants, "grant", nil, "`grant` the client may use: client_credentials, authorization_code, refresh_token")
	f.StringArrayVar(&n.Audiences, "audience", nil, "`audience` its tokens may be for")
	f.StringArrayVar(&n.Scopes, "scope", nil, "`scope` its tokens may have")
	f.StringArrayVar(&n.RedirectURIs, "redirect-uri", nil, "`URI` that /authorize may return to")
	f.BoolVar(&public, "public", false, "a public client: it has no secret")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func clientRemoveCommand(o *office) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "remove ID",
		Short: "Remove a client that 'client add' added",
		Args:  arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			server, err := o.dial()
			if err != nil {
				return err
			}
			if err := answered(server.ClientRemove(cmd.Context(), args[0])); err != nil || !asJSON {
				return err
			}
			return printJSON(o.env.Stdout, map[string]string{"removed": args[0]})
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func clientSecretCommand(env *Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "secret [-]",
		Short: "Print a new client secret and its hash for the configuration",
		Long: "Print a new client secret and its hash for the configuration. With -, read a secret that was\n" +
			"made so from stdin and print its hash; a chosen one is refused.",
		Args: arguments(0, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return newSecret("").print(env, asJSON)
			}
			if args[0] != "-" {
				return usage("a secret is never an argument: give - and write it to stdin")
			}
			secret, err := env.readInput("client secret")
			if err != nil {
				return err
			}
			if err := password.CheckSecret(secret); err != nil {
				return no(err)
			}
			return secretAnswer{Hash: password.HashSecret(secret).String()}.print(env, asJSON)
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// secretAnswer is what is printed of a client's secret, once.
type secretAnswer struct {
	ID     string `json:"id,omitempty"`
	Secret string `json:"secret,omitempty"`
	Hash   string `json:"hash,omitempty"`
}

func newSecret(id string) secretAnswer {
	secret := password.NewSecret()
	return secretAnswer{id, secret, password.HashSecret(secret).String()}
}

func (a secretAnswer) print(env *Env, asJSON bool) error {
	if asJSON {
		return printJSON(env.Stdout, a)
	}
	var rows [][]string
	for _, row := range [][]string{{"id", a.ID}, {"secret", a.Secret}, {"hash", a.Hash}} {
		if row[1] != "" {
			rows = append(rows, row)
		}
	}
	if err := table(env.Stdout, rows); err != nil {
		return err
	}
	if a.Secret != "" {
		fmt.Fprintln(env.Stderr, "The secret is shown this once: give it to the client; the configuration holds its hash.")
	}
	return nil
}
