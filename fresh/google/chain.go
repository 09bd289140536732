package google

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/ask"
)

const (
	sessionPath = "/latest/api/token"
	rolePath    = "/latest/meta-data/iam/security-credentials"
	imdsName    = "the EC2 metadata service"
)

// AWSLayers makes the layers of an aws source; this package knows the shape of
// the chain, package aws its links. endpoint is a base URL of IMDS.
type AWSLayers[K comparable] struct {
	Session func(endpoint string) fresh.Root[fresh.Token]     // the IMDSv2 session token
	Role    func(endpoint string) fresh.Fetch[fresh.Token, K] // the keys of the instance's role
	Keys    func(K) (id, secret, session string)              // what is in them
}

// ExternalAccountConfig is an external_account file and how its layers are
// kept. File is required; AWS where the file has an aws source.
type ExternalAccountConfig[K comparable] struct {
	File     string
	Scopes   []string // of the last token; default cloud-platform
	Audience string   // an ID token for this audience instead; the file must name a service account
	AWS      AWSLayers[K]
	Policy   fresh.Policy        // of each layer; the inner ones are named NAME/sts, NAME/role …
	Getenv   func(string) string // default os.Getenv
	HTTP     *http.Client        // default ask.Default; ask.Direct for services of this machine
}

// Layer is a layer of any type, for status and to be kept warm.
type Layer interface {
	Status() fresh.Status
	Run(context.Context) error
}

// Chain is what a file describes.
type Chain struct {
	Layer        *fresh.Layer[fresh.Token] // the last layer: Google's token
	Inner        []Layer                   // those it stands on, the first one first
	QuotaProject string                    // for x-goog-user-project; empty: none
}

// ExternalAccount reads an external_account file as gcloud writes it and Google's
// libraries read it, and makes the chain of layers it describes: AWS session
// token, role and region, or a subject token of a file, URL or program; Google's
// exchange; the service account. The file is read once.
//
// Whoever writes the file decides where credentials go and, with an executable
// source, what is run: never take one from a stranger. Token and impersonation
// URLs must be https (http on loopback); those of a credential source may also
// be http to the clouds' link-local addresses. A program is run only where the
// environment says GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1.
//
// For an aws source AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN,
// AWS_REGION and AWS_DEFAULT_REGION go before the metadata service, as in
// Google's libraries. That is spoken to by IMDSv2, even where the file names no
// imdsv2_session_token_url.
//
// The error is a *fresh.Error, or several joined; each names the file, the
// member and what to do.
func ExternalAccount[K comparable](cfg ExternalAccountConfig[K]) (Chain, error) {
	if cfg.Getenv == nil {
		cfg.Getenv = os.Getenv
	}
	data, err := ask.File(cfg.File)
	if err != nil {
		return Chain{}, err
	}
	f, err := parseAccount(cfg.File, data)
	if err != nil {
		return Chain{}, err
	}
	b := &builder[K]{cfg: cfg, file: f, chain: Chain{QuotaProject: f.QuotaProject}}
	if f.Source.Executable != nil {
		b.cfg.Policy.Timeout = max(b.cfg.Policy.Timeout, f.Source.Executable.timeout()+30*time.Second)
	}
	if err := b.build(); err != nil {
		return Chain{}, err
	}
	return b.chain, nil
}

// builder makes a chain of a file.
type builder[K comparable] struct {
	cfg   ExternalAccountConfig[K]
	file  *accountFile
	chain Chain
}

func (b *builder[K]) build() error {
	if b.cfg.Audience != "" && b.file.ImpersonationURL == "" {
		return fresh.Fail(fresh.Misconfigured, "%s: service_account_impersonation_url: missing: an ID token is only for a service account", b.file.name)
	}
	google, err := b.google()
	if err != nil {
		return err
	}
	b.chain.Layer = google
	if b.file.ImpersonationURL == "" {
		return nil
	}
	b.chain.Inner = append(b.chain.Inner, google)
	as := b.impersonate()
	if err := as.Check(); err != nil {
		return err
	}
	b.chain.Layer = fresh.From(google, Impersonate(as), b.cfg.Policy)
	return nil
}

func (b *builder[K]) impersonate() ImpersonateConfig {
	as := ImpersonateConfig{
		ServiceAccount: b.file.serviceAccount(), Audience: b.cfg.Audience,
		HTTP: b.cfg.HTTP, url: b.file.ImpersonationURL,
	}
	if b.cfg.Audience == "" {
		as.Scopes, as.Lifetime = b.cfg.Scopes, b.file.lifetime()
	}
	return as
}

// google makes the layer of the exchange with all below it.
func (b *builder[K]) google() (*fresh.Layer[fresh.Token], error) {
	cfg, policy := b.sts(), b.cfg.Policy
	if b.file.ImpersonationURL != "" {
		policy = b.named("sts")
	}
	source := b.file.Source
	var root fresh.Root[fresh.Token]
	switch source.kinds()[0] {
	case "aws":
		return b.aws(cfg, policy)
	case "file":
		root = fileToken(source.File, source.Format)
	case "url":
		root = urlToken(source, b.cfg.HTTP)
	case "executable":
		if b.cfg.Getenv(allowExecutables) != "1" {
			return nil, fresh.Fail(fresh.Misconfigured, "%s: credential_source.executable: set %s=1 in the environment to let this file run programs",
				b.file.name, allowExecutables)
		}
		root = newProgram(b.file).token
	}
	subject := fresh.New(root, b.named("subject"))
	b.chain.Inner = append(b.chain.Inner, subject)
	return fresh.From(subject, ExchangeToken(cfg), policy), nil
}

func (b *builder[K]) sts() STSConfig {
	cfg := STSConfig{
		Audience: b.file.Audience, SubjectTokenType: b.file.SubjectTokenType, Scopes: b.cfg.Scopes,
		VerificationURL: b.file.Source.VerificationURL,
		ClientID:        b.file.ClientID, ClientSecret: b.file.ClientSecret, UserProject: b.file.UserProject,
		HTTP: b.cfg.HTTP, url: b.file.tokenURL(),
	}
	if b.file.ImpersonationURL != "" {
		cfg.Scopes = nil // those asked for are the service account's
	}
	return cfg
}

// named is the policy of an inner layer.
func (b *builder[K]) named(name string) fresh.Policy {
	p := b.cfg.Policy
	if p.Name == "" {
		p.Name = "credential"
	}
	p.Name += "/" + name
	return p
}

// envKeys are AWS keys of the environment. They do not print.
type envKeys struct{ id, secret, session string }

// Format implements fmt.Formatter.
func (envKeys) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[keys]") }

func (b *builder[K]) aws(cfg STSConfig, policy fresh.Policy) (*fresh.Layer[fresh.Token], error) {
	env := envKeys{b.cfg.Getenv("AWS_ACCESS_KEY_ID"), b.cfg.Getenv("AWS_SECRET_ACCESS_KEY"), b.cfg.Getenv("AWS_SESSION_TOKEN")}
	hasKeys := env.id != "" && env.secret != ""
	if cfg.Region = b.cfg.Getenv("AWS_REGION"); cfg.Region == "" {
		cfg.Region = b.cfg.Getenv("AWS_DEFAULT_REGION")
	}
	if err := b.checkAWS(hasKeys, cfg.Region != ""); err != nil {
		return nil, err
	}
	var session *fresh.Layer[fresh.Token]
	if !hasKeys || cfg.Region == "" {
		session = fresh.New(b.cfg.AWS.Session(b.sessionBase()), b.named("session"))
		b.chain.Inner = append(b.chain.Inner, session)
	}
	if hasKeys {
		keys := fresh.New(func(context.Context, time.Time) (fresh.Credential[envKeys], error) {
			return fresh.Credential[envKeys]{Value: env, Recheck: time.Hour}, nil
		}, b.named("environment"))
		b.chain.Inner = append(b.chain.Inner, keys)
		open := func(k envKeys) (id, secret, session string) { return k.id, k.secret, k.session }
		return exchangeLayer(b, session, keys, cfg, open, policy), nil
	}
	base, _ := imdsBase(b.file.Source.URL, rolePath)
	role := fresh.From(session, b.cfg.AWS.Role(base), b.named("role"))
	b.chain.Inner = append(b.chain.Inner, role)
	return exchangeLayer(b, session, role, cfg, b.cfg.AWS.Keys, policy), nil
}

// checkAWS wants what is needed beside the environment.
func (b *builder[K]) checkAWS(hasKeys, hasRegion bool) error {
	p, s, aws := &problems{file: b.file.name}, b.file.Source, b.cfg.AWS
	switch incomplete := aws.Session == nil || aws.Role == nil || aws.Keys == nil; {
	case !hasKeys && s.URL == "":
		p.add("credential_source.url", "missing: the metadata service's %s, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", rolePath)
	case !hasRegion && s.RegionURL == "":
		p.add("credential_source.region_url", "missing: the metadata service's availability zone, or set AWS_REGION")
	case incomplete && (!hasKeys || !hasRegion):
		p.add("credential_source.environment_id", "this program was built without layers for AWS")
	}
	return errors.Join(p.found...)
}

// sessionBase is where the session token is fetched: where the file says, else
// where the keys are, else where the region is.
func (b *builder[K]) sessionBase() string {
	s := b.file.Source
	if base, ok := imdsBase(s.SessionURL, sessionPath); ok {
		return base
	}
	if base, ok := imdsBase(s.URL, rolePath); ok {
		return base
	}
	base, _, _ := strings.Cut(s.RegionURL, "/latest/")
	return base
}

// exchangeLayer is the exchange on keys, and on the region where the environment
// does not name it.
func exchangeLayer[K, E comparable](b *builder[K], session *fresh.Layer[fresh.Token], keys *fresh.Layer[E],
	cfg STSConfig, open func(E) (id, secret, session string), policy fresh.Policy) *fresh.Layer[fresh.Token] {
	if cfg.Region != "" {
		return fresh.From(keys, ExchangeAWS(cfg, open), policy)
	}
	region := fresh.From(session, instanceRegion(b.file.Source.RegionURL, b.cfg.HTTP), b.named("region"))
	b.chain.Inner = append(b.chain.Inner, region)
	return fresh.Join(keys, region,
		func(ctx context.Context, k fresh.Lease[E], r fresh.Lease[string], now time.Time) (fresh.Credential[fresh.Token], error) {
			return exchangeAWS(ctx, cfg, open, k, r.Value, now)
		}, policy)
}

// imdsBase is what comes before path in u; false where u ends otherwise.
func imdsBase(u, path string) (string, bool) {
	base, ok := strings.CutSuffix(strings.TrimSuffix(u, "/"), path)
	return base, ok && base != ""
}

// instanceRegion asks for the availability zone of this instance, whose region
// it is. A 401 blames the session token.
func instanceRegion(target string, client *http.Client) fresh.Fetch[fresh.Token, string] {
	return func(ctx context.Context, session fresh.Lease[fresh.Token], _ time.Time) (fresh.Credential[string], error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
		if err != nil {
			return fresh.Credential[string]{}, cannot(err)
		}
		req.Header.Set("X-aws-ec2-metadata-token", session.Value.Value)
		a, err := ask.Do(clientOr(client, ask.Direct), req, imdsName)
		if err != nil {
			return fresh.Credential[string]{}, err
		}
		if err := a.OK(imdsName, ""); err != nil {
			if a.Status == http.StatusUnauthorized {
				err = fresh.Blame(session, err)
			}
			return fresh.Credential[string]{}, err
		}
		region := regionOf(strings.TrimSpace(string(a.Body)))
		if region == "" {
			return fresh.Credential[string]{}, fresh.Fail(fresh.Malformed, "%s answered region_url with what is no availability zone", imdsName)
		}
		return fresh.Credential[string]{Value: region, Recheck: time.Hour}, nil
	}
}

// regionOf is the region of an availability zone, a local zone or a region:
// "eu-west-1" of "eu-west-1b", "us-west-2" of "us-west-2-lax-1a". Empty: s is
// none of them.
func regionOf(s string) string {
	parts := strings.Split(s, "-")
	for i, part := range parts {
		digits := part[:len(part)-len(strings.TrimLeft(part, "0123456789"))]
		if i >= 2 && digits != "" {
			parts[i] = digits
			if region := strings.Join(parts[:i+1], "-"); regionName(region) {
				return region
			}
			return ""
		}
	}
	return ""
}
