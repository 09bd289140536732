package command

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/longcase/longcase/fresh"
)

// Format is what a program prints.
type Format string

// The formats.
const (
	Plain      Format = "plain"      // the token alone; a JWT ends with its exp
	Google     Format = "google"     // external_account executable, version 1
	AWS        Format = "aws"        // credential_process, Version 1; for Keys only
	Kubernetes Format = "kubernetes" // ExecCredential of client.authentication.k8s.io v1 or v1beta1
)

const (
	timeout  = 30 * time.Second
	lifetime = 5 * time.Minute
)

// Config is a program. Argv is required.
type Config struct {
	Argv     []string      `json:"-"` // program and arguments; a name without a slash is looked up in PATH
	Format   Format        // default Plain; AWS with Keys
	Env      []string      `json:"-"` // "NAME=value", beside this process's environment
	Timeout  time.Duration // default 30 s; the policy's timeout holds too
	Lifetime time.Duration // how long what has no end of its own lives; default 5 min
}

// String names the program: arguments and environment do not print.
func (c Config) String() string { return fmt.Sprintf("program %q", c.Argv[:min(len(c.Argv), 1)]) }

// GoString implements fmt.GoStringer.
func (c Config) GoString() string { return c.String() }

// Check names every field that cannot work.
func (c Config) Check() error {
	var wrong []error
	add := func(bad bool, format string, args ...any) {
		if bad {
			wrong = append(wrong, fresh.Fail(fresh.Misconfigured, format, args...))
		}
	}
	add(len(c.Argv) == 0 || c.Argv[0] == "", "a command needs a program")
	for i, arg := range c.Argv {
		add(strings.ContainsRune(arg, 0), "argument %d holds a zero byte", i)
	}
	switch c.Format {
	case "", Plain, Google, AWS, Kubernetes:
	default:
		add(true, "format %.40q is none of plain, google, aws and kubernetes", string(c.Format))
	}
	for i, v := range c.Env {
		name, _, ok := strings.Cut(v, "=")
		add(!ok || name == "" || strings.ContainsRune(v, 0), "environment entry %d is not NAME=value", i)
	}
	add(c.Timeout < 0, "timeout is %s: it must not be negative", c.Timeout)
	add(c.Lifetime < 0, "lifetime is %s: it must not be negative", c.Lifetime)
	return errors.Join(wrong...)
}

func (c Config) withDefaults(f Format) Config {
	if c.Format == "" {
		c.Format = f
	}
	if c.Timeout == 0 {
		c.Timeout = timeout
	}
	if c.Lifetime == 0 {
		c.Lifetime = lifetime
	}
	return c
}

// Token runs the program for each renewal. What it prints lives until the end it
// states, a JWT until its exp if that is sooner, anything else for c.Lifetime.
func Token(c Config) fresh.Root[fresh.Token] {
	wrong := c.Check()
	if wrong == nil && c.Format == AWS {
		wrong = fresh.Fail(fresh.Misconfigured, "format aws gives keys, not a token")
	}
	c = c.withDefaults(Plain)
	return func(ctx context.Context, now time.Time) (fresh.Credential[fresh.Token], error) {
		if wrong != nil {
			return fresh.Credential[fresh.Token]{}, &fresh.Error{Reason: fresh.Misconfigured, Err: wrong}
		}
		out, err := c.run(ctx)
		if err != nil {
			return fresh.Credential[fresh.Token]{}, err
		}
		return c.token(out, now)
	}
}

// token reads the output in the format that is configured.
func (c Config) token(out []byte, now time.Time) (got fresh.Credential[fresh.Token], err error) {
	switch c.Format {
	case Google:
		got, err = readGoogle(out)
	case Kubernetes:
		got, err = readKubernetes(out)
	default:
		got, err = readPlain(out)
	}
	if err != nil {
		return fresh.Credential[fresh.Token]{}, c.because(err)
	}
	if from, end := windowOf(got.Value.Value); got.Expires.IsZero() || !end.IsZero() && end.Before(got.Expires) {
		got.NotBefore, got.Expires = from, end
	}
	if got.Expires.IsZero() {
		got.Life = c.Lifetime
		return got, nil
	}
	return got, c.ended(got.Expires, now)
}

// Keys runs the program, a credential_process, for each renewal, and makes a
// value of the keys it prints. Without an Expiration, keys with a session token
// live for c.Lifetime; those of a user do not end, and the program runs again
// after c.Lifetime.
func Keys[K comparable](c Config, value func(id, secret, session string) K) fresh.Root[K] {
	wrong := c.Check()
	if wrong == nil && c.Format != "" && c.Format != AWS {
		wrong = fresh.Fail(fresh.Misconfigured, "format %s gives a token, not keys", c.Format)
	}
	c = c.withDefaults(AWS)
	return func(ctx context.Context, now time.Time) (fresh.Credential[K], error) {
		if wrong != nil {
			return fresh.Credential[K]{}, &fresh.Error{Reason: fresh.Misconfigured, Err: wrong}
		}
		out, err := c.run(ctx)
		if err != nil {
			return fresh.Credential[K]{}, err
		}
		k, err := readAWS(out)
		if err != nil {
			return fresh.Credential[K]{}, c.because(err)
		}
		got := fresh.Credential[K]{Value: value(k.AccessKeyID, k.SecretAccessKey, k.SessionToken)}
		switch {
		case k.Expiration != nil:
			got.Expires = *k.Expiration
			return got, c.ended(got.Expires, now)
		case k.SessionToken != "":
			got.Life = c.Lifetime
		default:
			got.Recheck = c.Lifetime
		}
		return got, nil
	}
}

// because names the program in a format's complaint.
func (c Config) because(err error) error {
	var e *fresh.Error
	if errors.As(err, &e) {
		return fresh.Fail(e.Reason, "%s %s", c.name(), e.Detail)
	}
	return err
}

func (c Config) ended(end, now time.Time) error {
	if now.Before(end) {
		return nil
	}
	return fresh.Fail(fresh.Ended, "what %s printed ended %s ago", c.name(), now.Sub(end).Round(time.Second))
}
