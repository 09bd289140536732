package cli

import (
	"crypto"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/oauth"
	"github.com/longcase/longcase/internal/config"
	"github.com/longcase/longcase/token"
)

// wanted is the token a command line asks for.
type wanted struct {
	env                 *Env
	file                string
	issuer, client, aud string
	scopes              []string
	secretFile, keyFile string
}

func tokenGetCommand(env *Env) *cobra.Command {
	w := &wanted{env: env}
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "get NAME | --issuer URL --client ID --audience AUD [--scope S]",
		Short: "Print a fresh token",
		Long: "Print a fresh token: of the credential NAME in the configuration (agent.credentials), or of the\n" +
			"client the flags name. The client's secret comes from LONGCASE_CLIENT_SECRET, from stdin or from\n" +
			"--secret-file; with --key-file the client signs an assertion instead (private_key_jwt).",
		Args: arguments(0, 1), ValidArgsFunction: env.completeName(&w.file),
		RunE: func(cmd *cobra.Command, args []string) error {
			layer, err := w.layer(cmd, args)
			if err != nil {
				return err
			}
			lease, err := layer.Get(cmd.Context())
			if err != nil {
				return credentialError(err)
			}
			return printToken(env, lease, asJSON)
		},
	}
	fileFlag(cmd, &w.file)
	f := cmd.Flags()
	f.StringVar(&w.issuer, "issuer", "", "`URL` of the token service")
	f.StringVar(&w.client, "client", "", "client `id`")
	f.StringVar(&w.aud, "audience", "", "whom the token is for: its `audience`")
	f.StringArrayVar(&w.scopes, "scope", nil, "`scope` the token is to have; may be repeated")
	f.StringVar(&w.secretFile, "secret-file", "", "`file` that holds the client secret")
	f.StringVar(&w.keyFile, "key-file", "", "PEM `file` that holds the client's private key")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// layer is what is asked for: by name, or by flags.
func (w *wanted) layer(cmd *cobra.Command, args []string) (*fresh.Layer[fresh.Token], error) {
	flags := w.issuer != "" || w.client != "" || w.aud != "" || len(w.scopes) > 0 || w.secretFile != "" || w.keyFile != ""
	switch {
	case len(args) == 1 && flags:
		return nil, &misuse{errors.New("a name and --issuer, --client, --audience, --scope, --secret-file, --key-file exclude each other"), cmd.UseLine()}
	case len(args) == 1:
		return w.env.tokenLayer(w.file, args[0])
	case w.issuer == "" || w.client == "" || w.aud == "":
		return nil, &misuse{errors.New("give the name of a credential, or --issuer, --client and --audience"), cmd.UseLine()}
	}
	cfg := oauth.Config{Issuer: w.issuer, Client: w.client, Audience: w.aud}
	for _, s := range w.scopes {
		cfg.Scopes = append(cfg.Scopes, strings.Fields(s)...)
	}
	if err := w.evidence(&cfg); err != nil {
		return nil, err
	}
	return fresh.New(oauth.ClientCredentials(cfg), fresh.Policy{Name: w.client}), nil
}

// evidence reads the client's key or secret.
func (w *wanted) evidence(r *oauth.Config) error {
	switch {
	case w.keyFile != "" && w.secretFile != "":
		return usage("--key-file and --secret-file exclude each other")
	case w.keyFile != "":
		return w.key(r, config.Secret{File: w.keyFile})
	case w.secretFile != "":
		return w.secret(r, config.Secret{File: w.secretFile})
	}
	secret, err := w.env.clientSecret()
	r.Secret = func() (string, error) { return secret, nil }
	return err
}

func (w *wanted) key(r *oauth.Config, from config.Secret) error {
	data, err := from.Read(w.env.Getenv)
	if err != nil {
		return &exit{exitUsage, fmt.Errorf("the client's key: %w", err)}
	}
	key, err := token.ParsePrivateKey(data)
	if err != nil {
		return &exit{exitUsage, fmt.Errorf("%s: %w", from, err)}
	}
	r.Key = func() (crypto.Signer, error) { return key, nil }
	return nil
}

func (w *wanted) secret(r *oauth.Config, from config.Secret) error {
	data, err := from.Read(w.env.Getenv)
	if err != nil {
		return &exit{exitUsage, fmt.Errorf("the client secret: %w", err)}
	}
	r.Secret = func() (string, error) { return string(data), nil }
	return nil
}

func printToken(env *Env, lease fresh.Lease[fresh.Token], asJSON bool) error {
	t := lease.Value
	if !asJSON {
		_, err := fmt.Fprintln(env.Stdout, t.Value)
		return err
	}
	return printJSON(env.Stdout, struct {
		AccessToken string    `json:"access_token"`
		ExpiresAt   time.Time `json:"expires_at,omitzero"`
		TokenType   string    `json:"token_type,omitempty"`
		Scope       string    `json:"scope,omitempty"`
	}{t.Value, lease.Expires.Truncate(time.Second), t.Type, t.Scope})
}
