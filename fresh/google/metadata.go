package google

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/ask"
)

const (
	metadataName = "the GCE metadata server"
	// metadataEndpoint is the address of metadata.google.internal: no name
	// service stands between.
	metadataEndpoint = "http://169.254.169.254"
	flavor           = "Metadata-Flavor"
)

// MetadataConfig is the metadata server of Compute Engine, GKE, Cloud Run and
// their like. The zero value is that of this machine.
type MetadataConfig struct {
	Endpoint string       // base URL; default http://169.254.169.254
	Account  string       // email; default "default"
	Scopes   []string     // of an access token; default those of the machine
	Audience string       // an ID token for this audience instead of an access token
	HTTP     *http.Client // default ask.Direct
}

// Check names every field that cannot work.
func (c MetadataConfig) Check() error {
	var wrong []error
	if err := checkMetadataURL(c.target(), "metadata.google.internal"); err != nil {
		wrong = append(wrong, err)
	}
	if !account(c.account()) {
		wrong = append(wrong, fresh.Fail(fresh.Misconfigured, "account: %.100q is not an email", c.Account))
	}
	if c.Audience != "" && len(c.Scopes) > 0 {
		wrong = append(wrong, fresh.Fail(fresh.Misconfigured, "audience: an ID token has no scopes"))
	}
	return errors.Join(wrong...)
}

// Metadata gets a token of the machine's service account.
func Metadata(cfg MetadataConfig) fresh.Root[fresh.Token] {
	wrong := cfg.Check()
	return func(ctx context.Context, _ time.Time) (fresh.Credential[fresh.Token], error) {
		if wrong != nil {
			return fresh.Credential[fresh.Token]{}, cannot(wrong)
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, cfg.target(), nil)
		if err != nil {
			return fresh.Credential[fresh.Token]{}, cannot(err)
		}
		req.Header.Set(flavor, "Google")
		a, err := ask.Do(clientOr(cfg.HTTP, ask.Direct), req, metadataName)
		if err != nil {
			return fresh.Credential[fresh.Token]{}, err
		}
		return cfg.read(a)
	}
}

// read wants the flavor back: whatever else answers at that address is not it.
func (c MetadataConfig) read(a ask.Answer) (fresh.Credential[fresh.Token], error) {
	if a.Header.Get(flavor) != "Google" {
		return fresh.Credential[fresh.Token]{}, fresh.Fail(fresh.Malformed,
			"what answers at %s is not a GCE metadata server: it does not say Metadata-Flavor: Google", c.base())
	}
	said := ""
	if a.Status == http.StatusNotFound {
		said = "the machine has no service account " + c.account()
	}
	if err := a.OK(metadataName, said); err != nil {
		return fresh.Credential[fresh.Token]{}, err
	}
	if c.Audience == "" {
		return readToken(metadataName, a)
	}
	jwt := strings.TrimSpace(string(a.Body))
	return credential(metadataName, fresh.Token{Value: jwt, Type: "Bearer"}, 0, a.Date)
}

func (c MetadataConfig) account() string {
	if c.Account == "" {
		return "default"
	}
	return c.Account
}

func (c MetadataConfig) base() string { return endpoint(c.Endpoint, metadataEndpoint, "") }

func (c MetadataConfig) target() string {
	path := c.base() + "/computeMetadata/v1/instance/service-accounts/" + url.PathEscape(c.account())
	switch {
	case c.Audience != "":
		return path + "/identity?" + url.Values{"audience": {c.Audience}, "format": {"full"}}.Encode()
	case len(c.Scopes) > 0:
		return path + "/token?" + url.Values{"scopes": {strings.Join(c.Scopes, ",")}}.Encode()
	}
	return path + "/token"
}
