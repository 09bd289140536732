package google

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/ask"
	"github.com/longcase/longcase/fresh/run"
)

const allowExecutables = "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES"

// program is an executable source (AIP-4117): it prints a subject token, and may
// keep the last one in a file.
type program struct {
	argv    []string
	timeout time.Duration
	output  string   // the file; empty: none
	env     []string // beside this process's own

	mu   sync.Mutex
	last string // what was handed out; it is not taken from the file again
}

func newProgram(f *accountFile) *program {
	e := f.Source.Executable
	env := []string{
		"GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE=" + f.Audience,
		"GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE=" + f.SubjectTokenType,
		"GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE=0",
	}
	if email := f.serviceAccount(); email != "" {
		env = append(env, "GOOGLE_EXTERNAL_ACCOUNT_IMPERSONATED_EMAIL="+email)
	}
	if e.OutputFile != "" {
		env = append(env, "GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE="+e.OutputFile)
	}
	return &program{argv: splitCommand(e.Command), timeout: e.timeout(), output: e.OutputFile, env: env}
}

// splitCommand splits at white space outside of double quotes, as Google's
// libraries do. No shell is involved.
func splitCommand(s string) (argv []string) {
	for _, part := range regexp.MustCompile(`(?:[^\s"]+|"[^"]*")+`).FindAllString(s, -1) {
		if len(part) > 1 && part[0] == '"' && part[len(part)-1] == '"' {
			part = part[1 : len(part)-1]
		}
		argv = append(argv, part)
	}
	return argv
}

// token is a fresh.Root.
func (p *program) token(ctx context.Context, now time.Time) (fresh.Credential[fresh.Token], error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, err := p.kept(now)
	if err == nil && c.Value.Value == "" {
		c, err = p.run(ctx, now)
	}
	if err == nil {
		p.last = c.Value.Value
	}
	return c, err
}

// kept is the token in the output file, if it lives and was not handed out
// before: whoever asks again wants another one.
func (p *program) kept(now time.Time) (fresh.Credential[fresh.Token], error) {
	if p.output == "" {
		return fresh.Credential[fresh.Token]{}, nil
	}
	data, err := ask.File(p.output)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(bytes.TrimSpace(data)) == 0 {
		return fresh.Credential[fresh.Token]{}, nil
	}
	if err != nil {
		return fresh.Credential[fresh.Token]{}, err
	}
	c, err := readExecutable("output_file "+p.output, data, true)
	switch {
	case errors.Is(err, fresh.Refused): // a failure that was kept
		return fresh.Credential[fresh.Token]{}, nil
	case err != nil:
		return c, err
	case c.Value.Value == p.last || !now.Before(c.Expires):
		return fresh.Credential[fresh.Token]{}, nil
	}
	return c, nil
}

// run runs the program. Its standard error is read only where it printed nothing
// else, and only as an answer: it never reaches a log.
func (p *program) run(ctx context.Context, now time.Time) (fresh.Credential[fresh.Token], error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	errs := &bounded{}
	cmd := exec.CommandContext(ctx, p.argv[0], p.argv[1:]...) //nolint:gosec // the operator allowed it, in the environment
	cmd.Env = append(os.Environ(), p.env...)
	cmd.Stderr = errs
	out, failed := run.Output(cmd, maxOutput)
	what := "the program " + p.argv[0]
	if ctx.Err() != nil {
		return fresh.Credential[fresh.Token]{}, fresh.Fail(fresh.Unavailable, "%s did not end within %s", what, p.timeout)
	}
	data := bytes.TrimSpace(out)
	if len(data) == 0 {
		data = bytes.TrimSpace(errs.kept)
	}
	c, err := readExecutable(what, data, p.output != "")
	if failed != nil && !errors.Is(err, fresh.Refused) {
		return fresh.Credential[fresh.Token]{}, &fresh.Error{Reason: fresh.Unavailable, Detail: what + " failed", Err: failed}
	}
	if err == nil && !c.Expires.IsZero() && !now.Before(c.Expires) {
		err = fresh.Fail(fresh.Ended, "%s printed a token that is over", what)
	}
	return c, err
}

// maxOutput bounds what a program prints, in bytes.
const maxOutput = 1 << 20

// bounded fails beyond maxOutput bytes.
type bounded struct{ kept []byte }

func (b *bounded) Write(data []byte) (int, error) {
	if len(b.kept)+len(data) > maxOutput {
		return 0, fmt.Errorf("more than %d bytes of output", maxOutput)
	}
	b.kept = append(b.kept, data...)
	return len(data), nil
}

// executableAnswer is what a program prints and keeps.
type executableAnswer struct {
	Version   int      `json:"version"`
	Success   *bool    `json:"success"`
	TokenType string   `json:"token_type"`
	IDToken   string   `json:"id_token"`
	SAML      string   `json:"saml_response"`
	Expires   *float64 `json:"expiration_time"` // Unix seconds
	Code      string   `json:"code"`
	Message   string   `json:"message"`
}

// readExecutable reads an answer; what says whose. Its error is fresh.Refused
// where the program itself says that there is no token.
func readExecutable(what string, data []byte, mustEnd bool) (c fresh.Credential[fresh.Token], err error) {
	var a executableAnswer
	if err := json.Unmarshal(data, &a); err != nil {
		return c, fresh.Fail(fresh.Malformed, "%s answered what is not the JSON of AIP-4117%s", what, badMember(err))
	}
	if err := a.check(what, mustEnd); err != nil {
		return c, err
	}
	value := a.IDToken
	if a.TokenType == tokenTypes+"saml2" {
		value = a.SAML
	}
	if value == "" {
		return c, fresh.Fail(fresh.Malformed, "%s answered token_type %s without its token", what, a.TokenType)
	}
	c = subject(value, unsaid, 0)
	if a.Expires != nil {
		const year9999 = 253402300799
		end := time.Unix(int64(math.Max(math.Min(*a.Expires, year9999), 1)), 0).UTC()
		if c.Life = 0; c.Expires.IsZero() || end.Before(c.Expires) {
			c.Expires = end
		}
	}
	return c, nil
}

func (a executableAnswer) check(what string, mustEnd bool) error {
	switch {
	case a.Version != 1:
		return fresh.Fail(fresh.Malformed, "%s answered version %d; version 1 is known", what, a.Version)
	case a.Success == nil:
		return fresh.Fail(fresh.Malformed, "%s answered without the member success", what)
	case !*a.Success:
		return fresh.Fail(fresh.Refused, "%s said no: %.40q: %.300q", what, a.Code, a.Message)
	case mustEnd && a.Expires == nil:
		return fresh.Fail(fresh.Malformed, "%s answered without expiration_time, which output_file requires", what)
	}
	switch a.TokenType {
	case tokenTypes + "jwt", tokenTypes + "id_token", tokenTypes + "saml2":
		return nil
	}
	return fresh.Fail(fresh.Malformed, "%s answered token_type %.80q; jwt, id_token and saml2 are known (%s…)", what, a.TokenType, tokenTypes)
}
