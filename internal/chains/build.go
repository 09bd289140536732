package chains

import (
	"context"
	"crypto"
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/aws"
	"github.com/longcase/longcase/fresh/azure"
	"github.com/longcase/longcase/fresh/command"
	"github.com/longcase/longcase/fresh/file"
	"github.com/longcase/longcase/fresh/oauth"
	"github.com/longcase/longcase/fresh/selfsign"
	"github.com/longcase/longcase/internal/config"
	"github.com/longcase/longcase/token"
)

// build gives l its layer. A kind that is missing here is a defect: the
// configuration knows them all.
func (c *Chains) build(name string, l *link) error {
	p := c.policy(name, l.cfg.Refresh)
	builders := map[string]func(*link, fresh.Policy) error{
		"aws-imds-token":          imdsToken,
		"aws-instance-role":       instanceRole,
		"aws-container":           c.container,
		"aws-profile":             profile,
		"aws-assume-role":         assumeRole,
		"aws-web-identity":        webIdentity,
		"google-sts":              googleSTS,
		"google-impersonate":      impersonate,
		"google-external-account": c.externalAccount,
		"google-service-account":  serviceAccount,
		"gce-metadata":            gceMetadata,
		"azure-imds":              azureIMDS,
		"azure-workload-identity": azureWorkload,
		"oauth2":                  c.clientCredentials,
		"oauth2-refresh":          c.refresh,
		"device":                  c.device,
		"token-exchange":          c.exchange,
		"jwt-file":                jwtFile,
		"self-signed":             c.selfSigned,
		"exec":                    program,
	}
	build := builders[l.cfg.Kind]
	if build == nil {
		return fmt.Errorf("nothing makes kind %s", l.cfg.Kind)
	}
	return build(l, p)
}

func (c *Chains) policy(name string, r config.Refresh) fresh.Policy {
	return fresh.Policy{Name: name, Ahead: span(r.Ahead), Buffer: span(r.Buffer), Jitter: span(r.Jitter), Observe: c.cfg.Observe}
}

func span(s config.Span) fresh.Span { return fresh.Span{Part: s.Part, Length: s.Length} }

// checked is a provider's configuration.
type checked interface{ Check() error }

// root gives l a layer of tokens that stands on no other.
func root(l *link, cfg checked, fetch fresh.Root[fresh.Token], p fresh.Policy) error {
	l.token = fresh.New(fetch, p)
	return cfg.Check()
}

// onToken gives l a layer of tokens on its parent's tokens.
func onToken(l *link, cfg checked, fetch fresh.Fetch[fresh.Token, fresh.Token], p fresh.Policy) error {
	l.token = fresh.From(l.parents[0].token, fetch, p)
	return cfg.Check()
}

func jwtFile(l *link, p fresh.Policy) error {
	cfg := file.JWTConfig{Path: l.cfg.Path}
	return root(l, cfg, file.JWT(cfg), p)
}

func program(l *link, p fresh.Policy) error {
	cfg := command.Config{Argv: l.cfg.Command, Format: command.Format(l.cfg.Format), Timeout: l.cfg.Timeout}
	if cfg.Timeout != 0 {
		p.Timeout = cfg.Timeout + time.Second // the program's own time ends first, and its error says more
	}
	if l.cfg.Gives() == config.AWSKeys {
		l.keys = fresh.New(command.Keys(cfg, newKeys), p)
		return cfg.Check()
	}
	return root(l, cfg, command.Token(cfg), p)
}

func newKeys(id, secret, session string) aws.Keys {
	return aws.Keys{AccessKeyID: id, SecretAccessKey: secret, SessionToken: session}
}

func (c *Chains) selfSigned(l *link, p fresh.Policy) error {
	cfg := selfsign.Config{Issuer: l.cfg.Issuer, Subject: l.cfg.Subject, Audience: l.cfg.Audience,
		Algorithm: token.Algorithm(l.cfg.Algorithm), Lifetime: l.cfg.Lifetime, KeyFile: l.cfg.Key.File}
	if l.cfg.Key.Env == "" {
		return root(l, cfg, selfsign.JWT(cfg), p)
	}
	fetch := func(ctx context.Context, now time.Time) (fresh.Credential[fresh.Token], error) {
		key, err := l.cfg.Key.Read(c.cfg.Getenv)
		if err != nil {
			return fresh.Credential[fresh.Token]{}, &fresh.Error{Reason: fresh.Misconfigured, Detail: "the key", Err: err}
		}
		with := cfg
		with.Key = key
		return selfsign.JWT(with)(ctx, now)
	}
	cfg.Key = []byte("${" + l.cfg.Key.Env + "}") // read for each token; Check judges the rest
	return root(l, cfg, fetch, p)
}

func azureIMDS(l *link, p fresh.Policy) error {
	cfg := azure.IMDSConfig{Endpoint: l.cfg.Endpoint, Resource: l.cfg.Resource, ClientID: l.cfg.Client}
	return root(l, cfg, azure.IMDS(cfg), p)
}

func azureWorkload(l *link, p fresh.Policy) error {
	cfg := azure.WorkloadConfig{Authority: l.cfg.Endpoint, Tenant: l.cfg.Tenant, ClientID: l.cfg.Client,
		Scope: strings.Join(l.cfg.Scopes, " ")}
	if l.cfg.Resource != "" {
		cfg.Scope = strings.TrimSuffix(l.cfg.Resource, "/") + "/.default"
	}
	return onToken(l, cfg, azure.WorkloadIdentity(cfg), p)
}

// oauthConfig is the part that all grants share.
func (c *Chains) oauthConfig(l *link) oauth.Config {
	cfg := oauth.Config{Issuer: l.cfg.Issuer, TokenEndpoint: l.cfg.Endpoint, Client: l.cfg.Client,
		Audience: l.cfg.Audience, Scopes: l.cfg.Scopes, SubjectTokenType: l.cfg.SubjectTokenType}
	switch {
	case l.cfg.Certificate.Given():
		cfg.Certificate = func() (tls.Certificate, error) { return c.certificate(l.cfg) }
	case l.cfg.Key.Given():
		cfg.Key = func() (crypto.Signer, error) { return c.key(l.cfg.Key) }
	case l.cfg.Secret.Given():
		cfg.Secret = func() (string, error) { return c.secret(l.cfg.Secret) }
	}
	return cfg
}

func (c *Chains) secret(s config.Secret) (string, error) {
	data, err := s.Read(c.cfg.Getenv)
	return string(data), err
}

func (c *Chains) key(s config.Secret) (crypto.Signer, error) {
	data, err := s.Read(c.cfg.Getenv)
	if err != nil {
		return nil, err
	}
	key, err := token.ParsePrivateKey(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s, err)
	}
	return key, nil
}

func (c *Chains) certificate(l *config.Credential) (tls.Certificate, error) {
	chain, err := l.Certificate.Read(c.cfg.Getenv)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := l.Key.Read(c.cfg.Getenv)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(chain, key)
}

func (c *Chains) clientCredentials(l *link, p fresh.Policy) error {
	cfg := c.oauthConfig(l)
	return root(l, cfg, oauth.ClientCredentials(cfg), p)
}

func (c *Chains) exchange(l *link, p fresh.Policy) error {
	cfg := c.oauthConfig(l)
	if len(l.parents) == 2 {
		l.token = fresh.Join(l.parents[0].token, l.parents[1].token, oauth.ExchangeActor(cfg), p)
		return cfg.Check()
	}
	return onToken(l, cfg, oauth.Exchange(cfg), p)
}

// state is where the credential's refresh token lives on.
func (c *Chains) state(l *link) oauth.State {
	s := oauth.State{File: l.cfg.State, Grace: l.cfg.Grace}
	if l.cfg.RefreshToken.Given() {
		s.Seed = func() (string, error) { return c.secret(l.cfg.RefreshToken) }
	}
	return s
}

// inFolder makes the folder of a state file, for its owner alone, before it is
// needed: the one that is the default is nobody else's to make.
func inFolder(file string, fetch fresh.Root[fresh.Token]) fresh.Root[fresh.Token] {
	return func(ctx context.Context, now time.Time) (fresh.Credential[fresh.Token], error) {
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return fresh.Credential[fresh.Token]{}, &fresh.Error{Reason: fresh.Misconfigured, Detail: "the folder of the state file cannot be made", Err: err}
		}
		return fetch(ctx, now)
	}
}

func (c *Chains) refresh(l *link, p fresh.Policy) error {
	cfg := c.oauthConfig(l)
	return root(l, cfg, inFolder(l.cfg.State, oauth.Refresh(cfg, c.state(l))), p)
}

func (c *Chains) device(l *link, p fresh.Policy) error {
	cfg := c.oauthConfig(l)
	prompt := func(code oauth.DeviceCode) { c.cfg.Prompt(p.Name, code) }
	return root(l, cfg, inFolder(l.cfg.State, oauth.Device(cfg, c.state(l), prompt)), p)
}
