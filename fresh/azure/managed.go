package azure

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/ask"
)

// metadata is where IMDS is on every instance.
const metadata = "http://169.254.169.254"

// updating is how long IMDS may be away for an update (its documentation of
// status 410).
const updating = 70 * time.Second

// IMDSConfig is one managed identity of an instance, for one resource. Resource
// is required; at most one of ClientID, ObjectID and ResourceID names an identity
// where the instance has several.
type IMDSConfig struct {
	Endpoint   string // base URL; default http://169.254.169.254
	Resource   string // "https://vault.azure.net"
	ClientID   string
	ObjectID   string
	ResourceID string // the identity's Azure Resource Manager id
	HTTP       *http.Client
}

// Check names every field that cannot work.
func (c IMDSConfig) Check() error {
	var wrong []error
	if c.Endpoint != "" && c.Endpoint != metadata {
		wrong = append(wrong, ask.CheckURL(c.Endpoint))
	}
	if c.Resource == "" {
		wrong = append(wrong, fresh.Fail(fresh.Misconfigured, "resource is required"))
	}
	if c.ClientID != "" && (c.ObjectID != "" || c.ResourceID != "") || c.ObjectID != "" && c.ResourceID != "" {
		wrong = append(wrong, fresh.Fail(fresh.Misconfigured, "client, object and resource id name one identity three ways: give one"))
	}
	return errors.Join(wrong...)
}

// IMDS gets a token of the instance's managed identity. The service itself
// caches tokens and renews them before their end, so one that it hands out twice
// is no fault. While it is being updated (404, 410) it is Unavailable.
func IMDS(c IMDSConfig) fresh.Root[fresh.Token] {
	wrong := c.Check()
	query := url.Values{"api-version": {"2018-02-01"}, "resource": {c.Resource}}
	set(query, "client_id", c.ClientID)
	set(query, "object_id", c.ObjectID)
	set(query, "msi_res_id", c.ResourceID)
	if c.Endpoint == "" {
		c.Endpoint = metadata
	}
	const what = "the Azure metadata service"
	return func(ctx context.Context, _ time.Time) (fresh.Credential[fresh.Token], error) {
		if wrong != nil {
			return fresh.Credential[fresh.Token]{}, misconfigured(wrong)
		}
		at := strings.TrimRight(c.Endpoint, "/") + "/metadata/identity/oauth2/token?" + query.Encode()
		a, err := get(ctx, or(c.HTTP, ask.Direct), at, what, http.Header{"Metadata": {"true"}})
		if err != nil {
			return fresh.Credential[fresh.Token]{}, err
		}
		if a.Status == http.StatusNotFound || a.Status == http.StatusGone {
			return fresh.Credential[fresh.Token]{}, &fresh.Error{Reason: fresh.Unavailable, Detail: what + " is being updated", RetryAfter: wait(a.Status)}
		}
		return granted(a, what, c.Resource)
	}
}

// wait is long only where the documentation says so.
func wait(status int) time.Duration {
	if status == http.StatusGone {
		return updating
	}
	return 0
}

// AppServiceConfig is one managed identity of App Service, Functions or Container
// Apps; Arc has another protocol. Endpoint, Header and Resource are required.
type AppServiceConfig struct {
	Endpoint string // IDENTITY_ENDPOINT, the full URL
	Header   string `json:"-"` // IDENTITY_HEADER, a secret
	Resource string
	ClientID string // where there are several identities
	HTTP     *http.Client
}

// Format implements fmt.Formatter: the header does not print.
func (c AppServiceConfig) Format(f fmt.State, verb rune) {
	type bare AppServiceConfig
	c.Header = ""
	_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), bare(c))
}

// Check names every field that cannot work.
func (c AppServiceConfig) Check() error {
	var wrong []error
	if !linkLocal(c.Endpoint) {
		wrong = append(wrong, ask.CheckURL(c.Endpoint))
	}
	if c.Header == "" {
		wrong = append(wrong, fresh.Fail(fresh.Misconfigured, "the identity header is required"))
	}
	if c.Resource == "" {
		wrong = append(wrong, fresh.Fail(fresh.Misconfigured, "resource is required"))
	}
	return errors.Join(wrong...)
}

// linkLocal reports whether s is http to an address that no router forwards,
// where App Service has its endpoint.
func linkLocal(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" || u.User != nil || u.Fragment != "" {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return err == nil && ip.Is4() && ip.IsLinkLocalUnicast()
}

// AppService gets a token where the platform sets IDENTITY_ENDPOINT and
// IDENTITY_HEADER.
func AppService(c AppServiceConfig) fresh.Root[fresh.Token] {
	wrong := c.Check()
	const what = "the identity endpoint"
	return func(ctx context.Context, _ time.Time) (fresh.Credential[fresh.Token], error) {
		if wrong != nil {
			return fresh.Credential[fresh.Token]{}, misconfigured(wrong)
		}
		u, err := url.Parse(c.Endpoint)
		if err != nil {
			return fresh.Credential[fresh.Token]{}, misconfigured(err)
		}
		query := u.Query()
		query.Set("api-version", "2019-08-01")
		query.Set("resource", c.Resource)
		set(query, "client_id", c.ClientID)
		u.RawQuery = query.Encode()
		a, err := get(ctx, or(c.HTTP, ask.Direct), u.String(), what, http.Header{"X-Identity-Header": {c.Header}})
		if err != nil {
			return fresh.Credential[fresh.Token]{}, err
		}
		return granted(a, what, c.Resource, c.Header)
	}
}

func set(query url.Values, name, value string) {
	if value != "" {
		query.Set(name, value)
	}
}

func get(ctx context.Context, client *http.Client, at, what string, header http.Header) (ask.Answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return ask.Answer{}, misconfigured(err)
	}
	req.Header = header
	return ask.Do(client, req, what)
}

// granted reads the answer to a request for resource, made with secrets.
func granted(a ask.Answer, what, resource string, secrets ...string) (fresh.Credential[fresh.Token], error) {
	if err := a.OK(what, readRefusal(a).said(), secrets...); err != nil {
		return fresh.Credential[fresh.Token]{}, err
	}
	return credential(a, what, resource+"/.default")
}
