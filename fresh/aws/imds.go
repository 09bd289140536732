package aws

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/ask"
)

const (
	metadataService = "the EC2 metadata service"
	imdsEndpoint    = "http://169.254.169.254"
	rolePath        = "/latest/meta-data/iam/security-credentials/"

	ttlHeader   = "X-aws-ec2-metadata-token-ttl-seconds"
	tokenHeader = "X-aws-ec2-metadata-token"

	maxTTL      = 21600 * time.Second
	imdsTimeout = 5 * time.Second // it answers in milliseconds, or never
)

// IMDS is the metadata service of an EC2 instance, version 2.
type IMDS struct {
	Endpoint string        // default http://169.254.169.254
	TTL      time.Duration // of the session token asked for, whole seconds; default and most 21600 s
	Role     string        // of the instance; empty: the first that is listed
	HTTP     *http.Client  // default ask.Direct
}

// Check names every field that cannot work.
func (c IMDS) Check() error {
	c = c.withDefaults()
	var wrong []error
	if err := checkLocal(c.Endpoint, "169.254.169.254", "fd00:ec2::254"); err != nil {
		wrong = append(wrong, err)
	}
	if c.TTL < time.Second || c.TTL > maxTTL || c.TTL%time.Second != 0 {
		wrong = append(wrong, fresh.Fail(fresh.Misconfigured, "the TTL of a session token is 1 to 21600 whole seconds, not %v", c.TTL))
	}
	if c.Role != "" && !roleName.MatchString(c.Role) {
		wrong = append(wrong, fresh.Fail(fresh.Misconfigured, "%.80q is not the name of a role", c.Role))
	}
	return errors.Join(wrong...)
}

func (c IMDS) withDefaults() IMDS {
	if c.Endpoint == "" {
		c.Endpoint = imdsEndpoint
	}
	if c.TTL == 0 {
		c.TTL = maxTTL
	}
	c.Endpoint = strings.TrimRight(c.Endpoint, "/")
	c.HTTP = unled(c.HTTP, ask.Direct)
	return c
}

// SessionToken asks for a session token (IMDSv2). The TTL that the service
// answers counts, if it is less than what was asked for.
func SessionToken(cfg IMDS) fresh.Root[fresh.Token] {
	wrong, cfg := cfg.Check(), cfg.withDefaults()
	return func(ctx context.Context, _ time.Time) (fresh.Credential[fresh.Token], error) {
		if wrong != nil {
			return fresh.Credential[fresh.Token]{}, misconfigured(wrong)
		}
		a, err := cfg.request(ctx, http.MethodPut, "/latest/api/token", ttlHeader, strconv.Itoa(int(cfg.TTL/time.Second)))
		if err != nil {
			return fresh.Credential[fresh.Token]{}, hopLimit(err)
		}
		return cfg.sessionToken(a)
	}
}

func (c IMDS) sessionToken(a ask.Answer) (fresh.Credential[fresh.Token], error) {
	var none fresh.Credential[fresh.Token]
	if a.Status != http.StatusOK {
		return none, refusal(a, metadataService, "", tokenHint(a.Status))
	}
	life, err := c.life(a.Header.Get(ttlHeader))
	if err != nil {
		return none, err
	}
	value := strings.TrimSpace(string(a.Body))
	if value == "" || len(value) > 4096 || !visible(value) {
		return none, fresh.Fail(fresh.Malformed, "%s answered no session token", metadataService)
	}
	return fresh.Credential[fresh.Token]{Value: fresh.Token{Value: value}, Life: life}, nil
}

// life is what the service says of the token's life. One that says nothing, as
// copies of it do, gave what was asked for.
func (c IMDS) life(header string) (time.Duration, error) {
	if header == "" {
		return c.TTL, nil
	}
	s, err := strconv.ParseInt(strings.TrimSpace(header), 10, 64)
	switch {
	case err != nil:
		return 0, fresh.Fail(fresh.Malformed, "%s gave a TTL that is not a number: %.40q", metadataService, header)
	case s <= 0:
		return 0, fresh.Fail(fresh.Ended, "%s gave a session token that lives for %d s", metadataService, s)
	}
	return time.Duration(min(s, int64(c.TTL/time.Second))) * time.Second, nil
}

func tokenHint(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "it did not take the TTL or the header"
	case http.StatusForbidden:
		return "it is switched off for this instance, or a proxy on the way added X-Forwarded-For"
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return "it knows no session tokens, so it is not version 2"
	case http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return "redirects are not followed"
	}
	return ""
}

// hopLimit says what a PUT without an answer mostly means.
func hopLimit(err error) error {
	var e *fresh.Error
	var slow net.Error
	if errors.As(err, &e) && errors.As(e.Err, &slow) && slow.Timeout() {
		e.Detail += " (in a container, the instance's HttpPutResponseHopLimit must be 2 or more)"
	}
	return err
}

// InstanceRole gets the keys of the instance's role. A 401 blames the session
// token; keys that are over already, as the service hands out while it cannot
// renew them itself, are fresh.Ended.
func InstanceRole(cfg IMDS) fresh.Fetch[fresh.Token, Keys] {
	wrong, cfg := cfg.Check(), cfg.withDefaults()
	return func(ctx context.Context, from fresh.Lease[fresh.Token], now time.Time) (fresh.Credential[Keys], error) {
		if wrong != nil {
			return fresh.Credential[Keys]{}, misconfigured(wrong)
		}
		role, err := cfg.role(ctx, from)
		if err != nil {
			return fresh.Credential[Keys]{}, err
		}
		a, err := cfg.get(ctx, from, rolePath+url.PathEscape(role))
		if err != nil {
			return fresh.Credential[Keys]{}, err
		}
		return roleKeys(a, now)
	}
}

// roleName is what IAM allows (CreateRole), and nothing that leads elsewhere.
var roleName = regexp.MustCompile(`^[\w+=,.@-]{1,128}$`)

func (c IMDS) role(ctx context.Context, from fresh.Lease[fresh.Token]) (string, error) {
	if c.Role != "" {
		return c.Role, nil
	}
	a, err := c.get(ctx, from, rolePath)
	if err != nil {
		return "", err
	}
	role, _, _ := strings.Cut(strings.TrimSpace(string(a.Body)), "\n")
	if role = strings.TrimSpace(role); !roleName.MatchString(role) {
		return "", fresh.Fail(fresh.Malformed, "%s lists what is not the name of a role: %.80q", metadataService, role)
	}
	return role, nil
}

func (c IMDS) get(ctx context.Context, from fresh.Lease[fresh.Token], path string) (ask.Answer, error) {
	a, err := c.request(ctx, http.MethodGet, path, tokenHeader, from.Value.Value)
	switch {
	case err != nil:
		return a, err
	case a.Status == http.StatusUnauthorized:
		return a, fresh.Blame(from, refusal(a, metadataService, "", "it does not take the session token"))
	case a.Status == http.StatusNotFound:
		return a, refusal(a, metadataService, "", "the instance has no role, or not this one")
	}
	return a, refusal(a, metadataService, "", "")
}

func roleKeys(a ask.Answer, now time.Time) (fresh.Credential[Keys], error) {
	d, err := parseDocument(metadataService, a.Body)
	if err != nil {
		return fresh.Credential[Keys]{}, err
	}
	if d.Code != "" && d.Code != "Success" {
		return fresh.Credential[Keys]{}, fresh.Fail(fresh.Refused, "%s has no keys: %.80q: %.200q", metadataService, d.Code, d.Message)
	}
	c, err := d.credential(metadataService, a.Date)
	switch {
	case err != nil:
		return fresh.Credential[Keys]{}, err
	case c.Value.SessionToken == "" || c.Expires.IsZero():
		return fresh.Credential[Keys]{}, fresh.Fail(fresh.Malformed, "%s gave keys without a Token or an Expiration", metadataService)
	case !c.Expires.After(a.Date) || a.Date.IsZero() && !c.Expires.After(now):
		return fresh.Credential[Keys]{}, fresh.Fail(fresh.Ended,
			"%s hands out keys that ended at %s: it does so while it cannot renew them itself", metadataService, c.Expires.Format(time.RFC3339))
	}
	return c, nil
}

func (c IMDS) request(ctx context.Context, method, path, header, value string) (ask.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, imdsTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.Endpoint+path, nil)
	if err != nil {
		return ask.Answer{}, fresh.Fail(fresh.Misconfigured, "%.200q is not a URL", c.Endpoint)
	}
	req.Header.Set(header, value)
	return ask.Do(c.HTTP, req, metadataService)
}

// checkLocal wants what ask.CheckURL wants, or http to one of the given
// addresses of the link.
func checkLocal(s string, link ...string) error {
	u, err := url.Parse(s)
	if err == nil && u.Scheme == "http" && u.User == nil {
		for _, host := range link {
			if u.Hostname() == host {
				return nil
			}
		}
	}
	return ask.CheckURL(s)
}

// unled is c, or else the default, without following redirects.
func unled(c, or *http.Client) *http.Client {
	if c == nil {
		return or
	}
	own := *c
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &own
}

func misconfigured(err error) error {
	return &fresh.Error{Reason: fresh.Misconfigured, Detail: "the settings cannot work", Err: err}
}
