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

// keystore is the key and the certificate of a server at that address.
func (a authority) keystore(t *testing.T, address string) []byte {
	t.Helper()
	key := newKey(t)
	form := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: address}, IPAddresses: []net.IP{net.ParseIP(address)}}
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
