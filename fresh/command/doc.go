// Package command gets a credential from what a program prints: the token
// alone, the JSON of a Google external_account executable, of an AWS
// credential_process, or a Kubernetes ExecCredential.
//
//	vault := fresh.New(command.Token(command.Config{Argv: []string{"vault-token", "--role", "ci"}}), fresh.Policy{Name: "vault"})
//
// No shell reads the arguments. The program runs in a process group of its own,
// with this process's environment and no input; what it prints is bounded, and
// the group is killed when its time is over. Errors hold the program's name, its
// exit code and the last line it wrote to stderr, with what looks like a secret
// left out; never its output or its arguments.
package command
