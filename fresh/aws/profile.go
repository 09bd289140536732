package aws

import (
	"context"
	"errors"
	"io/fs"
	"os/exec"
	"runtime"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/run"
)

const (
	program       = "the credential_process"
	maxOutput     = 1 << 20
	profileReread = time.Minute
)

// ProfileConfig names a profile of the files that all of AWS's tools share.
type ProfileConfig struct {
	Name            string // default "default"
	ConfigFile      string // default ~/.aws/config
	CredentialsFile string // default ~/.aws/credentials
}

// Check finds nothing wrong: what a profile holds is known when it is read.
func (c ProfileConfig) Check() error { return nil }

// Profile reads the keys of a profile, again every minute, or runs its
// credential_process, again at its Expiration or every 5 min. Keys with a session
// token whose end is not said live 5 min. A profile of another shape is refused,
// with the kind of credential to use instead.
func Profile(cfg ProfileConfig) fresh.Root[Keys] {
	return func(ctx context.Context, _ time.Time) (fresh.Credential[Keys], error) {
		p, err := cfg.load(ctx)
		if err != nil {
			return fresh.Credential[Keys]{}, err
		}
		if instead := otherShape(p); instead != "" {
			return fresh.Credential[Keys]{}, fresh.Fail(fresh.Misconfigured, "profile %q %s", p.Profile, instead)
		}
		if p.Credentials.HasKeys() {
			k := Keys{p.Credentials.AccessKeyID, p.Credentials.SecretAccessKey, p.Credentials.SessionToken}
			c := fresh.Credential[Keys]{Value: k, Recheck: profileReread}
			if k.temporary() {
				c.Life = unsaid
			}
			return c, k.check("the profile")
		}
		return runProcess(ctx, p.CredentialProcess)
	}
}

func (c ProfileConfig) load(ctx context.Context) (config.SharedConfig, error) {
	if c.Name == "" {
		c.Name = "default"
	}
	p, err := config.LoadSharedConfigProfile(ctx, c.Name, func(o *config.LoadSharedConfigOptions) {
		if c.ConfigFile != "" {
			o.ConfigFiles = []string{c.ConfigFile}
		}
		if c.CredentialsFile != "" {
			o.CredentialsFiles = []string{c.CredentialsFile}
		}
	})
	if err == nil {
		return p, nil
	}
	var none config.SharedConfigProfileNotExistError
	if errors.As(err, &none) {
		return p, fresh.Fail(fresh.Misconfigured, "there is no profile %q in the shared files", c.Name)
	}
	var file *fs.PathError
	if errors.As(err, &file) {
		return p, &fresh.Error{Reason: fresh.Unavailable, Detail: "the shared files cannot be read", Err: file}
	}
	return p, fresh.Fail(fresh.Malformed, "profile %q cannot be read from the shared files", c.Name) // err may quote them
}

// otherShape says what to use for a profile that is no keys and no program.
func otherShape(p config.SharedConfig) string {
	switch {
	case p.WebIdentityTokenFile != "":
		return "takes a role with a token file: use kind aws-web-identity from kind jwt-file"
	case p.RoleARN != "" && p.CredentialSource != "":
		return "takes a role from credential_source: use kind aws-assume-role from kind aws-instance-role or aws-container"
	case p.RoleARN != "":
		return "takes a role: use kind aws-assume-role from kind aws-profile with its source_profile"
	case p.SSOSessionName != "" || p.SSOStartURL != "":
		return "signs in with SSO: use kind exec with 'aws configure export-credentials'"
	case !p.Credentials.HasKeys() && p.CredentialProcess == "":
		return "holds neither keys nor a credential_process"
	}
	return ""
}

// runProcess runs the program through the shell, as the SDKs do. What it writes
// to stderr is dropped: it may hold secrets.
func runProcess(ctx context.Context, command string) (fresh.Credential[Keys], error) {
	shell := []string{"sh", "-c"}
	if runtime.GOOS == "windows" {
		shell = []string{"cmd.exe", "/C"}
	}
	cmd := exec.CommandContext(ctx, shell[0], shell[1], command) //nolint:gosec // the operator's own file names the program
	out, err := run.Output(cmd, maxOutput)
	var exit *exec.ExitError
	switch {
	case errors.Is(err, run.ErrTooMuch):
		return fresh.Credential[Keys]{}, fresh.Fail(fresh.Malformed, "%s wrote more than %d bytes", program, maxOutput)
	case err != nil && ctx.Err() != nil:
		return fresh.Credential[Keys]{}, fresh.Fail(fresh.Unavailable, "%s was killed: it did not end in time", program)
	case errors.As(err, &exit):
		return fresh.Credential[Keys]{}, &fresh.Error{Reason: fresh.Refused, Detail: program + " failed", Err: exit}
	case err != nil:
		return fresh.Credential[Keys]{}, &fresh.Error{Reason: fresh.Unavailable, Detail: program + " failed", Err: err}
	}
	return processKeys(out)
}

func processKeys(out []byte) (fresh.Credential[Keys], error) {
	d, err := parseDocument(program, out)
	switch {
	case err != nil:
		return fresh.Credential[Keys]{}, err
	case d.Version != 1:
		return fresh.Credential[Keys]{}, fresh.Fail(fresh.Malformed, "%s wrote version %d, not 1", program, d.Version)
	}
	return d.credential(program, time.Time{})
}
