package oauth

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/ask"
	"github.com/longcase/longcase/token"
)

// metadata is what a client needs of RFC 8414 section 2.
type metadata struct {
	Issuer string `json:"issuer"`
	endpoints
	Aliases    endpoints `json:"mtls_endpoint_aliases"` // RFC 8705 section 5
	Methods    []string  `json:"token_endpoint_auth_methods_supported"`
	Algorithms []string  `json:"token_endpoint_auth_signing_alg_values_supported"`
}

type endpoints struct {
	TokenEndpoint  string `json:"token_endpoint"`
	DeviceEndpoint string `json:"device_authorization_endpoint"` // RFC 8628 section 4
}

func (m metadata) token() string  { return m.TokenEndpoint }
func (m metadata) device() string { return m.DeviceEndpoint }

// mutual is m as a client with a certificate sees it.
func (m metadata) mutual() metadata {
	if m.Aliases.TokenEndpoint != "" {
		m.TokenEndpoint = m.Aliases.TokenEndpoint
	}
	if m.Aliases.DeviceEndpoint != "" {
		m.DeviceEndpoint = m.Aliases.DeviceEndpoint
	}
	return m
}

// discover reads the issuer's metadata where RFC 8414 puts it, else where
// OpenID Connect does.
func (s *service) discover(ctx context.Context) (metadata, error) {
	reason, why := fresh.Unavailable, "; "
	for _, place := range places(s.cfg.Issuer) {
		m, err := s.metadata(ctx, place)
		if err == nil || ctx.Err() != nil {
			return m, err
		}
		var e *fresh.Error
		if errors.As(err, &e) && e.Reason == fresh.Malformed {
			reason = fresh.Malformed
		}
		why += place + ": " + err.Error() + "; "
	}
	return metadata{}, fresh.Fail(reason, "%s cannot be reached%s", theService, strings.TrimSuffix(why, "; "))
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

func (s *service) metadata(ctx context.Context, place string) (metadata, error) {
	var m metadata
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, place, nil)
	if err != nil {
		return m, err
	}
	req.Header.Set("Accept", "application/json")
	a, err := ask.Do(s.cfg.HTTP, req, theService)
	if err == nil {
		err = a.OK(theService, "")
	}
	if err != nil {
		return m, err
	}
	return readMetadata(a.Body, s.cfg.Issuer)
}

// readMetadata reads a metadata document. Its issuer must be the one that was
// asked, byte for byte (RFC 8414 section 3.3).
func readMetadata(body []byte, issuer string) (metadata, error) {
	var m metadata
	a := ask.Answer{Body: body}
	if err := a.JSON("its metadata address", &m); err != nil {
		return metadata{}, err
	}
	if m.Issuer != issuer {
		return metadata{}, fresh.Fail(fresh.Malformed, "it speaks for issuer %.200q, not %.200q: name the issuer as it names itself", m.Issuer, issuer)
	}
	if m.TokenEndpoint == "" {
		return metadata{}, fresh.Fail(fresh.Malformed, "its metadata names no token_endpoint")
	}
	for _, s := range []string{m.TokenEndpoint, m.DeviceEndpoint, m.Aliases.TokenEndpoint, m.Aliases.DeviceEndpoint} {
		if err := checkFound(s, issuer); err != nil {
			return metadata{}, err
		}
	}
	return m, nil
}

// checkFound holds an endpoint that the metadata names to the rule of
// configured ones; only an issuer on this machine may name this machine.
func checkFound(endpoint, issuer string) error {
	if endpoint == "" {
		return nil
	}
	if err := ask.CheckURL(endpoint); err != nil {
		return fresh.Fail(fresh.Malformed, "its metadata: %s", err)
	}
	at, _ := url.Parse(endpoint)
	of, err := url.Parse(issuer)
	if err != nil || token.Loopback(at.Hostname()) && !token.Loopback(of.Hostname()) {
		return fresh.Fail(fresh.Malformed, "its metadata: %.200q is on loopback, its issuer is not", endpoint)
	}
	return nil
}
