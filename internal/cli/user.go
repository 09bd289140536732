package cli

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/longcase/longcase/issuer/password"
)

func userCommand(env *Env) *cobra.Command {
	return group("user", "People who sign in", userPasswordCommand(env))
}

func userPasswordCommand(env *Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "password",
		Short: "Read a password and print its argon2id hash for the configuration",
		Args:  arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := env.newPassword()
			if err != nil {
				return err
			}
			if len(text) < password.ShortLength {
				fmt.Fprintf(env.Stderr, "longcase: a password under %d bytes is easily guessed\n", password.ShortLength)
			}
			hash, err := password.NewHasher(1).Hash(cmd.Context(), text)
			if err != nil {
				return no(err)
			}
			if asJSON {
				return printJSON(env.Stdout, map[string]string{"hash": hash.String()})
			}
			_, err = fmt.Fprintln(env.Stdout, hash)
			return err
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// newPassword reads one line from stdin, or from a person, unseen and twice.
func (env *Env) newPassword() (string, error) {
	keyboard, ok := env.Stdin.(*os.File)
	if !ok || !terminal(keyboard) {
		text, err := env.readInput("password")
		if err == nil && strings.ContainsAny(text, "\r\n") {
			return "", usage("stdin holds more than one line: a password is one")
		}
		return text, err
	}
	first, err := env.ask(keyboard, "Password: ")
	if err != nil {
		return "", err
	}
	second, err := env.ask(keyboard, "Again: ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", no(fmt.Errorf("the two passwords differ"))
	}
	return first, nil
}

func (env *Env) ask(keyboard *os.File, prompt string) (string, error) {
	fmt.Fprint(env.Stderr, prompt)
	text, err := term.ReadPassword(int(keyboard.Fd()))
	fmt.Fprintln(env.Stderr)
	return string(text), err
}
