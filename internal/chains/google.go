package chains

import (
	"fmt"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/aws"
	"github.com/longcase/longcase/fresh/google"
)

func idSecretSession(k aws.Keys) (id, secret, session string) {
	return k.AccessKeyID, k.SecretAccessKey, k.SessionToken
}

func googleSTS(l *link, p fresh.Policy) error {
	cfg := google.STSConfig{Endpoint: l.cfg.Endpoint, Audience: l.cfg.Audience, Scopes: l.cfg.Scopes,
		SubjectTokenType: l.cfg.SubjectTokenType, Region: l.cfg.Region}
	if parent := l.parents[0]; parent.keys != nil {
		l.token = fresh.From(parent.keys, google.ExchangeAWS(cfg, idSecretSession), p)
		return cfg.Check()
	}
	return onToken(l, cfg, google.ExchangeToken(cfg), p)
}

func impersonate(l *link, p fresh.Policy) error {
	as := func(audience string) google.ImpersonateConfig {
		return google.ImpersonateConfig{Endpoint: l.cfg.Endpoint, ServiceAccount: l.cfg.ServiceAccount,
			Scopes: l.cfg.Scopes, Delegates: l.cfg.Delegates, Lifetime: l.cfg.Lifetime, Audience: audience}
	}
	l.id = newIdentities(p, func(audience string, p fresh.Policy) *fresh.Layer[fresh.Token] {
		id := as(audience)
		id.Scopes, id.Lifetime = nil, 0 // those of the access token
		return fresh.From(l.parents[0].token, google.Impersonate(id), p)
	})
	cfg := as(l.cfg.Audience)
	return onToken(l, cfg, google.Impersonate(cfg), p)
}

func serviceAccount(l *link, p fresh.Policy) error {
	as := func(audience string) google.ServiceAccountConfig {
		return google.ServiceAccountConfig{File: l.cfg.File, Scopes: l.cfg.Scopes, Audience: audience, Endpoint: l.cfg.Endpoint}
	}
	l.id = newIdentities(p, func(audience string, p fresh.Policy) *fresh.Layer[fresh.Token] {
		id := as(audience)
		id.Scopes = nil
		return fresh.New(google.ServiceAccount(id), p)
	})
	cfg := as(l.cfg.Audience)
	return root(l, cfg, google.ServiceAccount(cfg), p)
}

func gceMetadata(l *link, p fresh.Policy) error {
	as := func(audience string) google.MetadataConfig {
		return google.MetadataConfig{Endpoint: l.cfg.Endpoint, Account: l.cfg.Account, Scopes: l.cfg.Scopes, Audience: audience}
	}
	l.id = newIdentities(p, func(audience string, p fresh.Policy) *fresh.Layer[fresh.Token] {
		id := as(audience)
		id.Scopes = nil
		return fresh.New(google.Metadata(id), p)
	})
	cfg := as(l.cfg.Audience)
	return root(l, cfg, google.Metadata(cfg), p)
}

// externalAccount makes the chain that the file describes.
func (c *Chains) externalAccount(l *link, p fresh.Policy) error {
	sum, err := sumOf(l.cfg.File)
	if err != nil {
		return fmt.Errorf("file: %w", err)
	}
	l.file = sum
	chain, err := google.ExternalAccount(google.ExternalAccountConfig[aws.Keys]{
		File: l.cfg.File, Scopes: l.cfg.Scopes, Policy: p, Getenv: c.cfg.Getenv,
		AWS: google.AWSLayers[aws.Keys]{
			Session: func(endpoint string) fresh.Root[fresh.Token] { return aws.SessionToken(aws.IMDS{Endpoint: endpoint}) },
			Role: func(endpoint string) fresh.Fetch[fresh.Token, aws.Keys] {
				return aws.InstanceRole(aws.IMDS{Endpoint: endpoint})
			},
			Keys: idSecretSession,
		},
	})
	if err != nil {
		return err
	}
	l.token = chain.Layer
	for _, inner := range chain.Inner {
		l.inner = append(l.inner, inner)
	}
	return nil
}
