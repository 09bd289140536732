package cli

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/aws"
	"github.com/longcase/longcase/fresh/oauth"
	"github.com/longcase/longcase/internal/app"
	"github.com/longcase/longcase/internal/chains"
	"github.com/longcase/longcase/internal/config"
)

// agentConfig loads the configuration that holds the named credentials.
func (env *Env) agentConfig(flag string, names []string) (*config.Config, error) {
	file := env.configFile(flag)
	if file == "" {
		return nil, usage("which configuration holds credential %q? give -c FILE or LONGCASE_CONFIG", names[0])
	}
	cfg, err := load(file)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if err := holds(cfg, name); err != nil {
			return nil, err
		}
	}
	return cfg, nil
}

func holds(cfg *config.Config, name string) error {
	if cfg.Agent == nil {
		return usage("%s names no credentials: they stand under agent.credentials", cfg.File)
	}
	if cfg.Agent.Credentials[name] != nil {
		return nil
	}
	names := slices.Sorted(maps.Keys(cfg.Agent.Credentials))
	if near := config.Nearest(name, names); near != "" {
		return usage("%s has no credential %q; did you mean %q?", cfg.File, name, near)
	}
	return usage("%s has no credential %q; it has %s", cfg.File, name, list(names))
}

// completeName completes the name of one credential.
func (env *Env) completeName(file *string) cobra.CompletionFunc {
	return func(_ *cobra.Command, given []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(given) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return env.names(*file, nil), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeNames completes the names of any number, and then whatever a shell
// knows.
func (env *Env) completeNames(file *string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, given []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if dash := cmd.ArgsLenAtDash(); dash >= 0 && dash < len(given) { // a program's arguments
			return nil, cobra.ShellCompDirectiveDefault
		}
		return env.names(*file, given), cobra.ShellCompDirectiveDefault
	}
}

// names are those of the configuration's credentials, less those given.
func (env *Env) names(file string, given []string) []string {
	cfg, err := config.Load(env.configFile(file))
	if err != nil || cfg.Agent == nil {
		return nil
	}
	all := slices.Sorted(maps.Keys(cfg.Agent.Credentials))
	return slices.DeleteFunc(all, func(name string) bool { return slices.Contains(given, name) })
}

// chain makes the named credential's layers.
func (env *Env) chain(flag, name string) (*chains.Chains, error) {
	cfg, err := env.agentConfig(flag, []string{name})
	if err != nil {
		return nil, err
	}
	c, err := chains.New(chains.Config{Agent: cfg.Agent, Names: []string{name}, Getenv: env.Getenv,
		Prompt: func(name string, code oauth.DeviceCode) { app.Prompt(env.Stderr, name, code) }})
	if err != nil {
		return nil, &exit{exitUsage, err}
	}
	return c, nil
}

// tokenLayer is the layer of a credential that is a token.
func (env *Env) tokenLayer(flag, name string) (*fresh.Layer[fresh.Token], error) {
	c, err := env.chain(flag, name)
	if err != nil {
		return nil, err
	}
	if layer := c.Token(name); layer != nil {
		return layer, nil
	}
	return nil, usage("credential %q gives AWS keys, not a token: longcase credential aws %s prints them", name, name)
}

// keysLayer is the layer of a credential that is AWS keys.
func (env *Env) keysLayer(flag, name string) (*fresh.Layer[aws.Keys], error) {
	c, err := env.chain(flag, name)
	if err != nil {
		return nil, err
	}
	if layer := c.Keys(name); layer != nil {
		return layer, nil
	}
	return nil, usage("credential %q gives a token, not AWS keys: longcase token get %s prints it", name, name)
}

// credentialError gives what a credential's layer says its exit code. This
// process makes no other attempt, so it promises none.
func credentialError(err error) error {
	var e *fresh.Error
	if errors.As(err, &e) {
		last := *e
		last.Next = time.Time{}
		err = &last
	}
	switch {
	case errors.Is(err, fresh.Misconfigured):
		return &exit{exitUsage, err}
	case errors.Is(err, fresh.Refused), errors.Is(err, fresh.Ended):
		return no(err)
	}
	return unreachable(err)
}
