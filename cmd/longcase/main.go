// Command longcase issues, keeps fresh, verifies and retires tokens.
package main

import (
	"context"
	"os"

	"github.com/longcase/longcase/internal/cli"
)

func main() {
	env := cli.Env{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv}
	os.Exit(cli.Main(context.Background(), os.Args[1:], env))
}
