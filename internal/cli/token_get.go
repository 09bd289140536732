package cli

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/oauth"
	"github.com/longcase/longcase/internal/config"
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
		Args: arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			request, err := w.request(cmd, args)
			if err != nil {
				return err
			}
			t, err := w.fetch(cmd.Context(), request)
			if err != nil {
				return err
			}
			return printToken(env, t, asJSON)
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

// request is what to ask for: by name, or by flags.
func (w *wanted) request(cmd *cobra.Command, args []string) (oauth.Config, error) {
	flags := w.issuer != "" || w.client != "" || w.aud != ""
	switch {
	case len(args) == 1 && flags:
		return oauth.Config{}, &misuse{errors.New("a name and --issuer, --client, --audience exclude each other"), cmd.UseLine()}
	case len(args) == 1:
		return w.named(args[0])
	case w.issuer == "" || w.client == "" || w.aud == "":
		return oauth.Config{}, &misuse{errors.New("give the name of a credential, or --issuer, --client and --audience"), cmd.UseLine()}
	}
	r := oauth.Config{Issuer: w.issuer, Client: w.client, Audience: w.aud}
	for _, s := range w.scopes {
		r.Scopes = append(r.Scopes, strings.Fields(s)...)
	}
	return r, w.evidence(&r)
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
	key, err := oauth.ParseKey(data)
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

// named is the request of a credential of the configuration.
func (w *wanted) named(name string) (oauth.Config, error) {
	file := w.env.configFile(w.file)
	if file == "" {
		return oauth.Config{}, usage("which configuration holds credential %q? give -c FILE or LONGCASE_CONFIG", name)
	}
	cfg, err := load(file)
	if err != nil {
		return oauth.Config{}, err
	}
	c, err := credential(cfg, name)
	if err != nil {
		return oauth.Config{}, err
	}
	r := oauth.Config{Issuer: c.Issuer, Client: c.Client, Audience: c.Audience, Scopes: c.Scopes}
	if c.Key.Given() {
		return r, w.key(&r, c.Key)
	}
	return r, w.secret(&r, c.Secret)
}

func credential(cfg *config.Config, name string) (*config.Credential, error) {
	if cfg.Agent == nil {
		return nil, usage("%s names no credentials: they stand under agent.credentials", cfg.File)
	}
	if c := cfg.Agent.Credentials[name]; c != nil {
		return c, nil
	}
	names := slices.Sorted(maps.Keys(cfg.Agent.Credentials))
	if near := config.Nearest(name, names); near != "" {
		return nil, usage("%s has no credential %q; did you mean %q?", cfg.File, name, near)
	}
	return nil, usage("%s has no credential %q; it has %s", cfg.File, name, list(names))
}

// gotten is a token with its end.
type gotten struct {
	fresh.Token
	expires time.Time
}

// fetch gets one token and gives the errors their exit codes.
func (w *wanted) fetch(ctx context.Context, cfg oauth.Config) (gotten, error) {
	now := w.env.Now()
	c, err := oauth.ClientCredentials(cfg)(ctx, now)
	if err == nil {
		return gotten{c.Value, endOf(c, now)}, nil
	}
	told := fmt.Errorf("oauth: %w", err)
	switch {
	case errors.Is(err, fresh.Refused):
		return gotten{}, no(told)
	case errors.Is(err, fresh.Misconfigured):
		return gotten{}, &exit{exitUsage, told}
	}
	return gotten{}, unreachable(told)
}

// endOf is when c ends, in the issuer's time or counted from now.
func endOf(c fresh.Credential[fresh.Token], now time.Time) time.Time {
	if c.Expires.IsZero() {
		return now.Add(c.Life)
	}
	return c.Expires
}

func printToken(env *Env, t gotten, asJSON bool) error {
	if !asJSON {
		_, err := fmt.Fprintln(env.Stdout, t.Value)
		return err
	}
	return printJSON(env.Stdout, struct {
		AccessToken string    `json:"access_token"`
		ExpiresAt   time.Time `json:"expires_at"`
		TokenType   string    `json:"token_type"`
		Scope       string    `json:"scope,omitempty"`
	}{t.Value, t.expires.UTC().Truncate(time.Second), t.Type, t.Scope})
}
