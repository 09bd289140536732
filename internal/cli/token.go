package cli

import "github.com/spf13/cobra"

func tokenCommand(env *Env) *cobra.Command {
	return group("token", "Get a token, explain one, or judge one",
		tokenGetCommand(env), tokenInspectCommand(env), tokenVerifyCommand(env))
}
