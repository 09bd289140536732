package postgres

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/longcase/longcase/internal/servertest"
	"github.com/longcase/longcase/store"
)

// authority signs certificates of servers.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	file string // PEM
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a := authority{key: newKey(t), file: filepath.Join(t.TempDir(), "ca.pem")}
	der := a.sign(t, template, template, a.key)
	var err error
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	writePEM(t, a.file, "CERTIFICATE", der)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a authority) sign(t *testing.T, template, parent *x509.Certificate, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// certify gives the server a certificate for 127.0.0.1 and no other name.
func (a authority) certify(t *testing.T, s *servertest.Postgres) {
	t.Helper()
	key := newKey(t)
	der := a.sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, a.cert, key)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(s.Dir, "data")
	owner, err := os.Stat(data)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string][]byte{"CERTIFICATE": der, "PRIVATE KEY": pkcs8} {
		file := filepath.Join(data, map[string]string{"CERTIFICATE": "server.crt", "PRIVATE KEY": "server.key"}[name])
		writePEM(t, file, name, block)
		of := owner.Sys().(*syscall.Stat_t)
		if err := os.Chown(file, int(of.Uid), int(of.Gid)); err != nil {
			t.Fatal(err)
		}
	}
}

// speaksTLS gives the server a certificate and shows it to nodes that trust its
// authority or another one.
func speaksTLS(t *testing.T, s *servertest.Postgres) {
	ours, other := newAuthority(t), newAuthority(t)
	ours.certify(t, s)
	setServer(t, s, "ssl = on")
	t.Cleanup(func() { setServer(t, s, "ssl = off") })
	proven := "?sslmode=verify-full&sslrootcert="
	e := openSoon(t, s.URL("postgres")+proven+ours.file)
	var encrypted bool
	if _, err := e.queryRow(t.Context(), plain(`SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()`), nil, &encrypted); err != nil || !encrypted {
		t.Errorf("the connection is encrypted: %v, %v", encrypted, err)
	}
	for _, tt := range []struct{ name, url, says string }{
		{"another authority", s.URL("postgres") + proven + other.file, "signed by unknown authority"},
		{"another name", strings.Replace(s.URL("postgres"), "127.0.0.1", "localhost", 1) + proven + ours.file, "certificate is not valid for any names, but wanted to match localhost"},
	} {
		_, err := Open(t.Context(), Config{URL: tt.url, Log: quiet()})
		if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("Open of a server with %s = %v, want ErrUnavailable that says %q", tt.name, err, tt.says)
		}
	}
}

// openSoon opens once the server has taken its new settings over.
func openSoon(t *testing.T, url string) *Engine {
	t.Helper()
	var err error
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		var e *Engine
		if e, err = Open(t.Context(), Config{URL: url, Longest: time.Hour, Log: quiet()}); err == nil {
			t.Cleanup(func() { e.Close() })
			return e
		}
	}
	t.Fatal(err)
	return nil
}

// setServer changes a setting of the whole server, which comes round a little
// later.
func setServer(t *testing.T, s *servertest.Postgres, setting string) {
	t.Helper()
	c := dial(t, s.URL("postgres"))
	defer c.Close(context.Background())
	for _, sql := range []string{"SET default_transaction_read_only = off", "ALTER SYSTEM SET " + setting, "SELECT pg_reload_conf()"} {
		if _, err := c.Exec(context.Background(), sql); err != nil {
			t.Fatal(err)
		}
	}
}
