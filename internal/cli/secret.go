package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxInput bounds what is read from stdin: a token, secret or password.
const maxInput = 64 << 10

// readInput reads stdin whole, less one final newline.
func (env *Env) readInput(what string) (string, error) {
	data, err := io.ReadAll(io.LimitReader(env.Stdin, maxInput+1))
	if err != nil {
		return "", fmt.Errorf("stdin: %w", err)
	}
	if len(data) > maxInput {
		return "", usage("stdin holds more than %d bytes: not a %s", maxInput, what)
	}
	data = bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("\n")), []byte("\r"))
	if len(data) == 0 {
		return "", usage("stdin holds no %s", what)
	}
	return string(data), nil
}

// tokenText is the token a command is about: its argument, stdin for "-", else
// LONGCASE_TOKEN, else stdin if that is no keyboard.
func (env *Env) tokenText(args []string) (string, error) {
	switch text := env.Getenv("LONGCASE_TOKEN"); {
	case len(args) == 1 && args[0] != "-":
		return bearer(args[0]), nil
	case len(args) == 0 && text != "":
		return bearer(text), nil
	case len(args) == 0 && isTerminal(env.Stdin):
		return "", usage("which token? give it, - for stdin, or LONGCASE_TOKEN")
	}
	text, err := env.readInput("token")
	return bearer(text), err
}

// bearer strips what people copy along with a token.
func bearer(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > 14 && strings.EqualFold(s[:14], "authorization:") {
		s = strings.TrimSpace(s[14:])
	}
	if len(s) > 7 && strings.EqualFold(s[:7], "bearer ") {
		s = strings.TrimSpace(s[7:])
	}
	return s
}

var errNoSecret = errors.New("no client secret: give it in LONGCASE_CLIENT_SECRET, on stdin or with --secret-file, or a key with --key-file")

// clientSecret is the secret from the environment, else from stdin if that is
// no keyboard.
func (env *Env) clientSecret() (string, error) {
	if s := env.Getenv("LONGCASE_CLIENT_SECRET"); s != "" {
		return s, nil
	}
	if isTerminal(env.Stdin) {
		return "", &exit{exitUsage, errNoSecret}
	}
	s, err := env.readInput("client secret")
	if err != nil {
		return "", &exit{exitUsage, errNoSecret}
	}
	return s, nil
}
