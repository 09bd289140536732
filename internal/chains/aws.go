package chains

import (
	"errors"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/aws"
	"github.com/longcase/longcase/internal/config"
)

func imdsToken(l *link, p fresh.Policy) error {
	cfg := aws.IMDS{Endpoint: l.cfg.Endpoint, TTL: l.cfg.TTL}
	return root(l, cfg, aws.SessionToken(cfg), p)
}

// instanceRole asks the metadata service that gave the session token, unless it
// names another.
func instanceRole(l *link, p fresh.Policy) error {
	cfg := aws.IMDS{Endpoint: l.cfg.Endpoint, Role: l.cfg.Role}
	if cfg.Endpoint == "" {
		cfg.Endpoint = l.parents[0].cfg.Endpoint
	}
	l.keys = fresh.From(l.parents[0].token, aws.InstanceRole(cfg), p)
	return cfg.Check()
}

const (
	containerFull     = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
	containerRelative = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
	containerFile     = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
	containerToken    = "AWS_CONTAINER_AUTHORIZATION_TOKEN"
)

// container asks the URL, or what the container's environment says.
func (c *Chains) container(l *link, p fresh.Policy) error {
	cfg := aws.ContainerConfig{URL: l.cfg.URL, TokenFile: l.cfg.TokenFile}
	if cfg.URL == "" {
		env := c.cfg.Getenv
		cfg.URL = env(containerFull)
		if relative := env(containerRelative); relative != "" {
			cfg.URL = "http://169.254.170.2" + relative
		}
		if cfg.TokenFile == "" {
			cfg.TokenFile, cfg.Token = env(containerFile), env(containerToken)
		}
		if cfg.TokenFile != "" {
			cfg.Token = ""
		}
	}
	if cfg.URL == "" {
		return errors.New("no url, and the environment has neither " + containerFull + " nor " + containerRelative)
	}
	l.keys = fresh.New(aws.Container(cfg), p)
	return cfg.Check()
}

// profile reads the SDK's own files, or one that holds it all.
func profile(l *link, p fresh.Policy) error {
	cfg := aws.ProfileConfig{Name: l.cfg.Profile, ConfigFile: l.cfg.File, CredentialsFile: l.cfg.File}
	l.keys = fresh.New(aws.Profile(cfg), p)
	return cfg.Check()
}

func role(c *config.Credential) aws.RoleConfig {
	return aws.RoleConfig{STS: aws.STS{Endpoint: c.Endpoint, Region: c.Region},
		RoleARN: c.RoleARN, SessionName: c.SessionName, ExternalID: c.ExternalID, Duration: c.Duration}
}

func assumeRole(l *link, p fresh.Policy) error {
	cfg := role(l.cfg)
	l.keys = fresh.From(l.parents[0].keys, aws.AssumeRole(cfg), p)
	return cfg.Check()
}

func webIdentity(l *link, p fresh.Policy) error {
	cfg := role(l.cfg)
	l.keys = fresh.From(l.parents[0].token, aws.WebIdentity(cfg), p)
	return cfg.Check()
}
