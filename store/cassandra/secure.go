package cassandra

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

// Secure has c connect with the TLS of cfg, if there is one.
//
// The driver knows nodes by their addresses, those that Hosts names too. So the
// certificate of a node is that of one of the names in Hosts, or of its address.
// The address counts where the authorities are the caller's own (RootCAs), or
// where Hosts has no names: anybody may have a certificate of a public authority
// for an address, and answer at it for a name.
func (cfg Config) Secure(c *gocql.ClusterConfig) {
	if cfg.TLS == nil {
		return
	}
	d := dialer{config: cfg.TLS}
	for _, at := range cfg.Hosts {
		host, _, err := net.SplitHostPort(at)
		if err != nil {
			host = at
		}
		if net.ParseIP(host) == nil {
			d.names = append(d.names, host)
		}
	}
	d.byAddress = cfg.TLS.RootCAs != nil || len(d.names) == 0
	c.HostDialer = d
}

// dialer is a gocql.HostDialer.
type dialer struct {
	net.Dialer
	config    *tls.Config
	names     []string
	byAddress bool
}

// DialHost implements gocql.HostDialer. The driver would wait for a handshake for
// ever.
func (d dialer) DialHost(ctx context.Context, host *gocql.HostInfo) (*gocql.DialedHost, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := d.DialContext(ctx, "tcp", host.ConnectAddressAndPort())
	if err != nil {
		return nil, err
	}
	return gocql.WrapTLS(ctx, conn, host.ConnectAddressAndPort(), d.towards(host.ConnectAddress().String()))
}

// towards is the configuration for the node at an address.
func (d dialer) towards(address string) *tls.Config {
	config := d.config.Clone()
	if config.ServerName != "" || config.InsecureSkipVerify {
		return config
	}
	names := d.names
	if d.byAddress {
		names = append(names[:len(names):len(names)], address)
	}
	config.InsecureSkipVerify = true // it knows one name; VerifyConnection verifies instead
	also := config.VerifyConnection
	config.VerifyConnection = func(s tls.ConnectionState) error {
		if err := verify(s, config.RootCAs, names); err != nil || also == nil {
			return err
		}
		return also(s)
	}
	return config
}

// verify wants the certificate of one of the names.
func verify(s tls.ConnectionState, roots *x509.CertPool, names []string) error {
	if len(s.PeerCertificates) == 0 {
		return errors.New("cassandra: a node without a certificate")
	}
	leaf, between := s.PeerCertificates[0], x509.NewCertPool()
	for _, cert := range s.PeerCertificates[1:] {
		between.AddCert(cert)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between}); err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: s.PeerCertificates, Err: err}
	}
	var wrong error
	for _, name := range names {
		err := leaf.VerifyHostname(name)
		if err == nil {
			return nil
		}
		wrong = errors.Join(wrong, err)
	}
	return &tls.CertificateVerificationError{UnverifiedCertificates: s.PeerCertificates, Err: wrong}
}
