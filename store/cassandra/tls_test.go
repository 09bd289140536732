package cassandra

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) authority {
	t.Helper()
	key := newKey(t)
	form := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	return authority{sign(t, form, form, key, key), key}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t *testing.T, form, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	form.NotBefore, form.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, form, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// keystore is the key and the certificate of a server of that name or address.
func (a authority) keystore(t *testing.T, name string) []byte {
	t.Helper()
	key := newKey(t)
	form := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}}
	if address := net.ParseIP(name); address != nil {
		form.IPAddresses = []net.IP{address}
	} else {
		form.DNSNames = []string{name}
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	all := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return append(append(all, a.pem(sign(t, form, a.cert, key, a.key))...), a.pem(a.cert)...)
}

func (authority) pem(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}

// trusted is the configuration of a client that trusts a and nobody else.
func (a authority) trusted() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

// encrypt has the node speak TLS, with whoever begins it, from its next start
// on.
func (h *house) encrypt(t *testing.T) (lines string) {
	t.Helper()
	h.ca = newAuthority(t, "the cluster's authority")
	for name, text := range map[string][]byte{"keystore.pem": h.ca.keystore(t, h.Hosts[0]), "truststore.pem": h.ca.pem(h.ca.cert)} {
		if err := os.WriteFile(filepath.Join(h.Dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return fmt.Sprintf(`client_encryption_options:
  enabled: true
  optional: true
  keystore: %[1]s/keystore.pem
  truststore: %[1]s/truststore.pem
  ssl_context_factory:
    class_name: org.apache.cassandra.security.PEMBasedSslContextFactory
`, h.Dir)
}

// tls is spoken since killed.
func (h *house) tls(t *testing.T) {
	var shaken atomic.Int64
	cfg := h.cfg
	cfg.TLS = h.ca.trusted()
	cfg.TLS.VerifyConnection = func(tls.ConnectionState) error { shaken.Add(1); return nil }
	e := h.mustOpen(t, cfg)
	one := created(t, e, time.Hour)
	if got, err := e.Sessions().Load(t.Context(), one.ID); err != nil || !got.Equal(one) || shaken.Load() == 0 {
		t.Errorf("over TLS: Load = %+v, %v after %d handshakes; want %+v", got, err, shaken.Load(), one)
	}

	cfg.TLS = newAuthority(t, "another authority").trusted()
	_, err := Open(t.Context(), cfg)
	if unknown := (x509.UnknownAuthorityError{}); !errors.As(err, &unknown) {
		t.Errorf("Open of a server that another authority signed = %v", err)
	}
	cfg.TLS = h.ca.trusted()
	cfg.TLS.ServerName = "another.test"
	_, err = Open(t.Context(), cfg)
	if name := (x509.HostnameError{}); !errors.As(err, &name) {
		t.Errorf("Open of a server with another name = %v", err)
	}
}

// TestWhoseCertificateIsTaken shakes hands with a listener of loopback.
func TestWhoseCertificateIsTaken(t *testing.T) {
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	unknown, misnamed := &x509.UnknownAuthorityError{}, &x509.HostnameError{}
	tests := []struct {
		name   string
		signer authority
		server string // whom the certificate names
		hosts  []string
		public bool // the authorities are not the caller's own
		want   any
	}{
		{"the node's address", ours, "127.0.0.1", []string{"127.0.0.1:9042"}, false, nil},
		{"the node's address, known by a name", ours, "127.0.0.1", []string{"c1.test"}, false, nil},
		{"the name it is known by", ours, "c1.test", []string{"c0.test:9042", "c1.test:9042"}, false, nil},
		{"another address", ours, "127.0.0.2", []string{"127.0.0.1"}, false, misnamed},
		{"another name", ours, "c2.test", []string{"c0.test", "c1.test"}, false, misnamed},
		{"the right name by another authority", theirs, "c1.test", []string{"c1.test"}, false, unknown},
		{"the address by a public authority", ours, "127.0.0.1", []string{"127.0.0.1"}, true, unknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			keystore := tt.signer.keystore(t, tt.server)
			pair, err := tls.X509KeyPair(keystore, keystore)
			if err != nil {
				t.Fatal(err)
			}
			cfg := Config{Hosts: tt.hosts, TLS: ours.trusted()}
			if tt.public {
				cfg.TLS.RootCAs = nil
			}
			err = cfg.shake(t, &tls.Config{Certificates: []tls.Certificate{pair}})
			if tt.want == nil && err != nil || tt.want != nil && !errors.As(err, tt.want) {
				t.Errorf("the handshake: %v, want %T", err, tt.want)
			}
		})
	}
	cfg := Config{Hosts: []string{"c1.test"}, TLS: &tls.Config{}}
	c := gocql.NewCluster()
	if cfg.Secure(c); c.HostDialer.(dialer).byAddress {
		t.Error("a public authority's word for an address counts where a name was asked for")
	}
}

// shake dials a listener that serves with server.
func (cfg Config) shake(t *testing.T, server *tls.Config) error {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	served := make(chan struct{})
	go func() {
		defer close(served)
		if conn, err := l.Accept(); err == nil {
			_ = conn.(*tls.Conn).Handshake() // the other side says how it went
			conn.Close()
		}
	}()
	c := gocql.NewCluster()
	cfg.Secure(c)
	host, err := gocql.NewHostInfoFromAddrPort(net.IPv4(127, 0, 0, 1), l.Addr().(*net.TCPAddr).Port)
	if err != nil {
		t.Fatal(err)
	}
	dialed, err := c.HostDialer.DialHost(t.Context(), host)
	if err == nil {
		dialed.Conn.Close()
	}
	<-served
	return err
}
