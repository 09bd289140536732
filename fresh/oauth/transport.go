package oauth

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/token"
)

// Client returns an HTTP client whose requests to hosts carry the layer's token.
// See Transport.
func Client(layer *fresh.Layer[fresh.Token], hosts ...string) *http.Client {
	return &http.Client{Transport: &Transport{Layer: layer, Hosts: hosts}}
}

// Transport attaches a layer's token to requests as RFC 6750 section 2.1 has it.
//
// A token goes over https only, or http to a loopback host; only to Hosts, by URL
// and by Host header; never on a request that a redirect from another host led
// to; and never in place of an Authorization header that the caller set. When a
// service refuses the token (401, or error="invalid_token"), exactly the lease
// that was used is given up, a new one is had, and the request is repeated once,
// if its body can be had again (GetBody). The second answer is passed on,
// whatever it says.
type Transport struct {
	Base  http.RoundTripper // default http.DefaultTransport
	Layer *fresh.Layer[fresh.Token]
	Hosts []string // "host" or "host:port"; without a port the scheme's own
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if !t.attaches(r) {
		return t.answered(r, r)
	}
	lease, err := t.lease(r)
	if err != nil {
		closeBody(r)
		return nil, err
	}
	resp, err := t.answered(r, attach(r, r.Body, lease))
	if err != nil || !refusesToken(resp) {
		return resp, err
	}
	return t.heal(r, resp, lease)
}

// heal renews the lease that resp refused and repeats r. Where either cannot be
// done, or the new token is the old one, resp is the answer.
func (t *Transport) heal(r *http.Request, resp *http.Response, refused fresh.Lease[fresh.Token]) (*http.Response, error) {
	if !t.Layer.Invalidate(refused) {
		return resp, nil
	}
	body, ok := replay(r)
	if !ok {
		return resp, nil
	}
	lease, err := t.lease(r)
	if err != nil || lease.Value == refused.Value {
		if body != nil {
			_ = body.Close()
		}
		return resp, nil
	}
	drain(resp.Body)
	return t.answered(r, attach(r, body, lease))
}

// answered sends a request. The answer names the caller's request, which holds
// no token.
func (t *Transport) answered(r, sent *http.Request) (*http.Response, error) {
	base := t.Base
	if base == nil {
		base = http.DefaultTransport
	}
	resp, err := base.RoundTrip(sent)
	if resp != nil {
		resp.Request = r
	}
	return resp, err
}

// CloseIdleConnections passes on the wish of an http.Client.
func (t *Transport) CloseIdleConnections() {
	if c, ok := t.Base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	} else if t.Base == nil {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	}
}

func (t *Transport) lease(r *http.Request) (fresh.Lease[fresh.Token], error) {
	if t.Layer == nil {
		return fresh.Lease[fresh.Token]{}, fresh.Fail(fresh.Misconfigured, "the transport has no layer")
	}
	lease, err := t.Layer.Get(r.Context())
	if err == nil && lease.Value.Type != "" && !strings.EqualFold(lease.Value.Type, "Bearer") {
		err = fresh.Fail(fresh.Misconfigured, "a token of type %q cannot be sent as a bearer token", lease.Value.Type)
	}
	return lease, err
}

// attaches reports whether r may carry the token.
func (t *Transport) attaches(r *http.Request) bool {
	if r.URL == nil || !t.names(r.URL) {
		return false
	}
	if r.Host != "" && !t.names(&url.URL{Scheme: r.URL.Scheme, Host: r.Host}) {
		return false // one address may serve many hosts
	}
	for name := range r.Header {
		if strings.EqualFold(name, "Authorization") {
			return false
		}
	}
	for at := r; at.Response != nil; at = at.Response.Request {
		if from := at.Response.Request; from == nil || address(from.URL) != address(r.URL) || from.URL.Scheme != r.URL.Scheme {
			return false
		}
	}
	return true
}

// names reports whether u is on one of the hosts, and safe to send to.
func (t *Transport) names(u *url.URL) bool {
	if u.Scheme != "https" && (u.Scheme != "http" || !token.Loopback(u.Hostname())) {
		return false
	}
	return slices.ContainsFunc(t.Hosts, func(host string) bool {
		return address(&url.URL{Scheme: u.Scheme, Host: bracketed(host)}) == address(u)
	})
}

// bracketed is host as it stands in a URL: an IPv6 address in brackets.
func bracketed(host string) string {
	if ip := net.ParseIP(host); ip != nil && strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

// address is the host and port that u leads to.
func address(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return strings.ToLower(net.JoinHostPort(u.Hostname(), port))
}

// attach is a copy of r with the token. The trailers are r's own: its body may set
// them while it is read.
func attach(r *http.Request, body io.ReadCloser, lease fresh.Lease[fresh.Token]) *http.Request {
	sent := r.WithContext(r.Context())
	sent.Body = body
	if sent.Header = r.Header.Clone(); sent.Header == nil {
		sent.Header = http.Header{}
	}
	sent.Header.Set("Authorization", "Bearer "+lease.Value.Value)
	return sent
}

// replay returns the body of r once more.
func replay(r *http.Request) (io.ReadCloser, bool) {
	if r.Body == nil || r.Body == http.NoBody {
		return r.Body, true
	}
	if r.GetBody == nil {
		return nil, false
	}
	body, err := r.GetBody()
	return body, err == nil
}

func closeBody(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
}

// drain reads what is left, within reason, so that the connection can be used
// again.
func drain(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, 256<<10)
	_ = body.Close()
}

// parameter finds the parameters of a challenge (RFC 9110 section 11.6.1), quoted
// strings as a whole.
var parameter = regexp.MustCompile(`([A-Za-z_]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s,"]*)`)

// refusesToken reports whether the answer says that the token does not work (RFC
// 6750 section 3.1). A challenge with another error, such as insufficient_scope,
// would be the same with a new token.
func refusesToken(resp *http.Response) bool {
	said := false
	for _, challenge := range resp.Header.Values("WWW-Authenticate") {
		for _, m := range parameter.FindAllStringSubmatch(challenge, -1) {
			if !strings.EqualFold(m[1], "error") {
				continue
			}
			if said = true; strings.Trim(m[2], `"`) == "invalid_token" {
				return resp.StatusCode >= http.StatusBadRequest
			}
		}
	}
	return resp.StatusCode == http.StatusUnauthorized && !said
}
