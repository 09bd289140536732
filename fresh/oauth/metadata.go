package oauth

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/longcase/longcase/discovery"
	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/ask"
	"github.com/longcase/longcase/token"
)

func tokenOf(m discovery.Document) string  { return m.Token }
func deviceOf(m discovery.Document) string { return m.Device }

// mutual is m as a client with a certificate sees it (RFC 8705 section 5).
func mutual(m discovery.Document) discovery.Document {
	m.Token = firstOf(m.MutualTLS.Token, m.Token)
	m.Device = firstOf(m.MutualTLS.Device, m.Device)
	return m
}

// discover reads the issuer's metadata where RFC 8414 puts it, else where
// OpenID Connect does.
func (s *service) discover(ctx context.Context) (discovery.Document, error) {
	reason, why := fresh.Unavailable, "; "
	issuer, err := url.Parse(s.cfg.Issuer)
	if err != nil {
		return discovery.Document{}, fresh.Fail(fresh.Misconfigured, "issuer: not a URL")
	}
	for _, place := range discovery.Places(issuer) {
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
	return discovery.Document{}, fresh.Fail(reason, "%s cannot be reached%s", theService, strings.TrimSuffix(why, "; "))
}

func (s *service) metadata(ctx context.Context, place string) (discovery.Document, error) {
	var m discovery.Document
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

// readMetadata reads the metadata of a service whose endpoints may be asked.
func readMetadata(body []byte, issuer string) (discovery.Document, error) {
	m, err := discovery.Parse(body, issuer)
	if err != nil {
		return m, fresh.Fail(fresh.Malformed, "%s", err)
	}
	if m.Token == "" {
		return m, fresh.Fail(fresh.Malformed, "its metadata names no token_endpoint")
	}
	u, err := url.Parse(issuer)
	local := err == nil && token.Loopback(u.Hostname())
	for _, s := range []string{m.Token, m.Device, m.MutualTLS.Token, m.MutualTLS.Device} {
		if err := discovery.CheckURL(s, local); s != "" && err != nil {
			return m, fresh.Fail(fresh.Malformed, "its metadata: %s", err)
		}
	}
	return m, nil
}
