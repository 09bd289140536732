package oauth

import (
	"crypto/tls"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/longcase/longcase/discovery"
	"github.com/longcase/longcase/fresh"
)

// proof is what shows the service who the client is.
type proof struct {
	form   url.Values   // to be added
	basic  string       // the secret of client_secret_basic
	mutual bool         // http holds a certificate
	http   *http.Client // to ask through
}

// prove makes the client's proof (RFC 6749 section 2.3, RFC 7523, RFC 8705) from
// the secret, key or certificate as it is now.
func (s *service) prove(m discovery.Document, now time.Time) (proof, error) {
	p := proof{form: url.Values{}, http: s.cfg.HTTP}
	var err error
	switch {
	case s.cfg.Secret != nil:
		err = p.secret(s.cfg, m)
	case s.cfg.Key != nil:
		err = p.assertion(s.cfg, m, now)
	case s.cfg.Certificate != nil:
		err = p.certificate(s.cfg)
	}
	if p.basic == "" {
		set(p.form, "client_id", s.cfg.Client)
	}
	return p, err
}

func (p *proof) secret(cfg Config, m discovery.Document) error {
	const post = "client_secret_post"
	secret, err := cfg.Secret()
	switch {
	case err != nil:
		return unreadable("secret", err)
	case secret == "":
		return fresh.Fail(fresh.Misconfigured, "the client's secret is empty")
	case cfg.SecretInForm, slices.Contains(m.Methods, post) && !slices.Contains(m.Methods, "client_secret_basic"):
		p.form.Set("client_secret", secret)
	default:
		p.basic = secret
	}
	return nil
}

func (p *proof) assertion(cfg Config, m discovery.Document, now time.Time) error {
	key, err := cfg.Key()
	if err != nil {
		return unreadable("key", err)
	}
	assertion, err := assert(assertionOf{cfg.Client, cfg.KeyID, m.Issuer, m.Algorithms, key}, now)
	if err != nil {
		return fresh.Fail(fresh.Misconfigured, "%s", err)
	}
	p.form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	p.form.Set("client_assertion", assertion)
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
