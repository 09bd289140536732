package oauth

import (
	"crypto/tls"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/longcase/longcase/clientauth"
	"github.com/longcase/longcase/discovery"
	"github.com/longcase/longcase/fresh"
)

// proof is what shows the service who the client is.
type proof struct {
	header http.Header
	form   url.Values
	secret string       // that no error may repeat
	mutual bool         // http holds a certificate
	http   *http.Client // to ask through
}

// prove makes the client's proof from the secret, key or certificate as it is
// now. A certificate's client says its name alone (RFC 8705 section 2).
func (s *service) prove(m discovery.Document, now time.Time) (proof, error) {
	p := proof{header: http.Header{}, form: url.Values{}, http: s.cfg.HTTP}
	client := clientauth.Config{ClientID: s.cfg.Client, Audience: m.Issuer}
	var err error
	switch {
	case s.cfg.Secret != nil:
		err = s.cfg.readSecret(m, &client)
	case s.cfg.Key != nil:
		err = s.cfg.readKey(m, &client)
	case s.cfg.Certificate != nil:
		err = p.certificate(s.cfg)
	}
	if err != nil {
		return p, err
	}
	p.secret = client.Secret
	if err := client.Dress(p.header, p.form, now); err != nil {
		return p, fresh.Fail(fresh.Misconfigured, "%s", err)
	}
	return p, nil
}

func (c Config) readSecret(m discovery.Document, client *clientauth.Config) error {
	secret, err := c.Secret()
	switch {
	case err != nil:
		return unreadable("secret", err)
	case secret == "":
		return fresh.Fail(fresh.Misconfigured, "the client's secret is empty")
	}
	client.Secret, client.Method = secret, clientauth.Basic
	if c.SecretInForm || slices.Contains(m.Methods, string(clientauth.Post)) && !slices.Contains(m.Methods, string(clientauth.Basic)) {
		client.Method = clientauth.Post
	}
	return nil
}

func (c Config) readKey(m discovery.Document, client *clientauth.Config) error {
	key, err := c.Key()
	if err != nil {
		return unreadable("key", err)
	}
	if client.Key, err = clientauth.NewSigner(c.KeyID, key, m.Algorithms); err != nil {
		return fresh.Fail(fresh.Misconfigured, "%s", err)
	}
	return nil
}

// certificate gives the certificate a client of its own that keeps no connection: a
// connection in hand would speak with the certificate of yesterday.
func (p *proof) certificate(cfg Config) error {
	cert, err := cfg.Certificate()
	if err != nil {
		return unreadable("certificate", err)
	}
	t, err := transportOf(cfg.HTTP)
	if err != nil {
		return err
	}
	t.DisableKeepAlives = true
	if t.TLSClientConfig == nil {
		t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	t.TLSClientConfig.Certificates = []tls.Certificate{cert}
	t.TLSClientConfig.GetClientCertificate = nil
	c := *cfg.HTTP
	c.Transport = t
	p.mutual, p.http = true, &c
	return nil
}

// transportOf is a copy of what c speaks through.
func transportOf(c *http.Client) (*http.Transport, error) {
	if c == nil || c.Transport == nil {
		return http.DefaultTransport.(*http.Transport).Clone(), nil
	}
	t, ok := c.Transport.(*http.Transport)
	if !ok {
		return nil, fresh.Fail(fresh.Misconfigured, "a certificate needs an HTTP client with an *http.Transport, not a %T", c.Transport)
	}
	return t.Clone(), nil
}

// unreadable is a proof that cannot be had now; the file may be there the next
// time.
func unreadable(what string, err error) error {
	return &fresh.Error{Reason: fresh.Misconfigured, Detail: "the client's " + what + " cannot be read", Err: err}
}
