package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/internal/agent/render"
)

func credentialCommand(env *Env) *cobra.Command {
	var file string
	cmd := group("credential", "Print a fresh credential for programs that run a command to get one",
		credentialAWSCommand(env, &file), credentialGoogleCommand(env, &file), credentialKubernetesCommand(env, &file))
	fileFlag(cmd, &file)
	return cmd
}

// printer is a command that prints the credential NAME in one shape.
func printer(env *Env, file *string, use, short, long string, shape func(ctx context.Context, name string) ([]byte, error)) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: use + " NAME", Short: short, Long: long, Args: arguments(1, 1), ValidArgsFunction: env.completeName(file),
		RunE: func(cmd *cobra.Command, args []string) error {
			out, err := shape(cmd.Context(), args[0])
			if len(out) > 0 {
				if _, err := env.Stdout.Write(out); err != nil {
					return err
				}
			}
			return err
		},
	}
	jsonFlag(cmd, &asJSON) // it is JSON either way
	return cmd
}

func credentialAWSCommand(env *Env, file *string) *cobra.Command {
	return printer(env, file, "aws", "Print AWS keys, as a credential_process does",
		"Print AWS keys as a credential_process does, for ~/.aws/config:\n\n"+
			"  [profile app]\n  credential_process = longcase credential aws NAME -c /etc/longcase.yaml",
		func(ctx context.Context, name string) ([]byte, error) {
			layer, err := env.keysLayer(*file, name)
			if err != nil {
				return nil, err
			}
			l, err := layer.Get(ctx)
			if err != nil {
				return nil, credentialError(err)
			}
			return render.CredentialProcess(render.Keys{AccessKeyID: l.Value.AccessKeyID, SecretAccessKey: l.Value.SecretAccessKey,
				SessionToken: l.Value.SessionToken, Expires: l.Expires}), nil
		})
}

func credentialKubernetesCommand(env *Env, file *string) *cobra.Command {
	return printer(env, file, "kubernetes", "Print a token as an ExecCredential, for a kubeconfig",
		"Print a token as an ExecCredential, for a user of a kubeconfig:\n\n"+
			"  exec: {apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never,\n"+
			"         command: longcase, args: [credential, kubernetes, NAME, -c, /etc/longcase.yaml]}",
		func(ctx context.Context, name string) ([]byte, error) {
			t, err := env.token(ctx, *file, name)
			if err != nil {
				return nil, err
			}
			out, err := render.ExecCredential(t, env.Getenv("KUBERNETES_EXEC_INFO"), env.Now())
			if err != nil {
				return nil, &exit{exitUsage, err}
			}
			return out, nil
		})
}

func credentialGoogleCommand(env *Env, file *string) *cobra.Command {
	return printer(env, file, "google", "Print a subject token, as the executable of an external_account does",
		"Print a subject token as the executable of an external_account file does (AIP-4117):\n\n"+
			"  \"credential_source\": {\"executable\": {\"command\": \"longcase credential google NAME -c /etc/longcase.yaml\"}}\n\n"+
			"Programs run it only with GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1. What goes wrong stands on stdout,\n"+
			"as they read it.",
		func(ctx context.Context, name string) ([]byte, error) {
			t, err := env.token(ctx, *file, name)
			if err != nil {
				return googleFailure(err)
			}
			out, err := render.GoogleExecutable(t, env.Getenv("GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE"))
			if err != nil {
				return googleFailure(&exit{exitUsage, err})
			}
			return out, nil
		})
}

// googleFailure is an error in the words of the protocol. Programs read stdout,
// and some take stderr for a part of it.
func googleFailure(err error) ([]byte, error) {
	var (
		code = string(fresh.Misconfigured)
		e    *fresh.Error
		told = &exit{code: exitUsage}
		own  *exit
	)
	if errors.As(err, &e) {
		code = string(e.Reason)
	}
	if errors.As(err, &own) {
		told.code = own.code
	}
	return render.GoogleExecutableFailure(code, err.Error()), told
}

// token gets a token that lives.
func (env *Env) token(ctx context.Context, file, name string) (render.Token, error) {
	layer, err := env.tokenLayer(file, name)
	if err != nil {
		return render.Token{}, err
	}
	l, err := layer.Get(ctx)
	if err != nil {
		return render.Token{}, credentialError(err)
	}
	return render.Token{Value: l.Value.Value, Type: l.Value.Type, Scope: l.Value.Scope, Expires: l.Expires}, nil
}
