package oauth

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	maxBody  = 1 << 20 // of any answer, in bytes
	patience = 30 * time.Second
)

// client speaks with one token service.
type client struct {
	http *http.Client
	now  func() time.Time
}

func newClient(r Request) client {
	h := http.Client{Timeout: patience}
	if r.HTTP != nil {
		h = *r.HTTP
	}
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	now := r.Now
	if now == nil {
		now = time.Now
	}
	return client{http: &h, now: now}
}

// metadata is what Fetch needs of RFC 8414 section 2.
type metadata struct {
	Issuer        string   `json:"issuer"`
	TokenEndpoint string   `json:"token_endpoint"`
	Methods       []string `json:"token_endpoint_auth_methods_supported"`
	Algorithms    []string `json:"token_endpoint_auth_signing_alg_values_supported"`
}

// discover reads the issuer's metadata where RFC 8414 puts it, else where
// OpenID Connect does.
func (c client) discover(ctx context.Context, issuer string) (metadata, error) {
	err := ErrUnreachable
	for _, place := range places(issuer) {
		m, failure := c.metadata(ctx, place, issuer)
		if failure == nil {
			return m, nil
		}
		err = fmt.Errorf("%w; %w", err, failure)
	}
	return metadata{}, err
}

func places(issuer string) []string {
	u, err := url.Parse(issuer)
	if err != nil {
		return nil
	}
	path := strings.TrimSuffix(u.EscapedPath(), "/")
	base := u.Scheme + "://" + u.Host
	return []string{
		base + "/.well-known/oauth-authorization-server" + path,
		base + path + "/.well-known/openid-configuration",
	}
}

func (c client) metadata(ctx context.Context, place, issuer string) (metadata, error) {
	var m metadata
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, place, nil)
	if err != nil {
		return m, err
	}
	req.Header.Set("Accept", "application/json")
	status, body, err := c.do(req)
	switch {
	case err != nil:
		return m, err
	case status != http.StatusOK:
		return m, fmt.Errorf("%s answered %d", place, status)
	case json.Unmarshal(body, &m) != nil:
		return m, fmt.Errorf("%s is not a metadata document", place)
	case m.Issuer != issuer:
		return m, fmt.Errorf("%s speaks for issuer %q, not %q", place, m.Issuer, issuer)
	}
	if err := checkURL(m.TokenEndpoint); err != nil {
		return m, fmt.Errorf("%s: token_endpoint: %w", place, err)
	}
	return m, nil
}

// post sends the token request and returns the body of a good answer.
func (c client) post(ctx context.Context, m metadata, r Request, now time.Time) ([]byte, error) {
	form := url.Values{"grant_type": {"client_credentials"}, "audience": {r.Audience}}
	if len(r.Scopes) > 0 {
		form.Set("scope", strings.Join(r.Scopes, " "))
	}
	basic, err := authenticate(form, m, r, now)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.TokenEndpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	if basic {
		req.SetBasicAuth(url.QueryEscape(r.Client), url.QueryEscape(r.Secret))
	}
	status, body, err := c.do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	if status != http.StatusOK {
		return nil, refusal(status, body, m.TokenEndpoint)
	}
	return body, nil
}

// authenticate adds the client's evidence to the form, or says that it belongs
// into the Authorization header.
func authenticate(form url.Values, m metadata, r Request, now time.Time) (basic bool, err error) {
	const post = "client_secret_post"
	switch {
	case r.Key != nil:
		assertion, err := assert(r, m, now)
		if err != nil {
			return false, err
		}
		form.Set("client_id", r.Client)
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", assertion)
	case slices.Contains(m.Methods, post) && !slices.Contains(m.Methods, "client_secret_basic"):
		form.Set("client_id", r.Client)
		form.Set("client_secret", r.Secret)
	default:
		return true, nil
	}
	return false, nil
}

// refusal reads an error answer; one that says nothing in the words of OAuth
// comes from something else than a token service.
func refusal(status int, body []byte, endpoint string) error {
	var answer struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(body, &answer) != nil || answer.Error == "" || status >= http.StatusInternalServerError {
		return fmt.Errorf("%w: %s answered %d", ErrUnreachable, endpoint, status)
	}
	return &Error{Status: status, Code: printable(answer.Error), Description: printable(answer.Description)}
}

// printable keeps what RFC 6749 section 5.2 allows in an error, bounded.
func printable(s string) string {
	const most = 500
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
	return s[:min(len(s), most)]
}

func (c client) do(req *http.Request) (status int, body []byte, err error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return 0, nil, fmt.Errorf("%s: %w", req.URL.Redacted(), err)
	}
	if len(body) > maxBody {
		return 0, nil, fmt.Errorf("%s: the answer has more than %d bytes", req.URL.Redacted(), maxBody)
	}
	return resp.StatusCode, body, nil
}
