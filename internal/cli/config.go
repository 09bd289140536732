package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/longcase/longcase/internal/config"
)

func configCommand(env *Env) *cobra.Command {
	var file string
	cmd := group("config", "Check a configuration, or show what one may hold",
		configCheckCommand(env, &file), configExampleCommand(env), configSchemaCommand(env))
	fileFlag(cmd, &file)
	return cmd
}

func configCheckCommand(env *Env, file *string) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Say everything that is wrong in a configuration; nothing if it is right",
		Long: "Say everything that is wrong in a configuration, each with file, line, column and the\n" +
			"nearest right spelling. Whether the files and addresses it names exist shows at start.",
		Args: arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := env.configFile(*file)
			if len(args) == 1 {
				name = args[0]
			}
			if name == "" {
				return &misuse{errors.New("which file? give it, -c FILE or LONGCASE_CONFIG"), cmd.UseLine()}
			}
			_, err := load(name)
			if asJSON {
				return checkJSON(env, err)
			}
			return err
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// checkJSON prints the outcome of a check for programs.
func checkJSON(env *Env, err error) error {
	problems := config.Problems{}
	if err != nil && !errors.As(err, &problems) {
		return err
	}
	if err := printJSON(env.Stdout, map[string]any{"valid": err == nil, "problems": problems}); err != nil {
		return err
	}
	if len(problems) > 0 {
		return &exit{code: exitUsage}
	}
	return nil
}

func configExampleCommand(env *Env) *cobra.Command {
	return &cobra.Command{
		Use:   "example",
		Short: "Print a complete configuration with comments",
		Args:  arguments(0, 0),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprint(env.Stdout, config.Example)
			return err
		},
	}
}

func configSchemaCommand(env *Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the configuration, for editors",
		Args:  arguments(0, 0),
		RunE: func(*cobra.Command, []string) error {
			schema, err := config.Schema()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(env.Stdout, "%s\n", schema)
			return err
		},
	}
	jsonFlag(cmd, &asJSON) // it is JSON either way
	return cmd
}
