package oauth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/longcase/longcase/fresh"
)

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func nobody() (tls.Certificate, error) { return tls.Certificate{}, nil }

// selfSigned is a client's certificate (RFC 8705 section 2.2).
func selfSigned(t *testing.T, name string) tls.Certificate {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k}
}

func TestACertificateIsReadAnewAndGoesToTheAlias(t *testing.T) {
	d := newDouble(t, says(500, "the endpoint without certificates was asked"))
	var mu sync.Mutex
	var shown []string
	alias := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		shown = append(shown, r.TLS.PeerCertificates[0].Subject.CommonName+" "+r.FormValue("client_id"))
		mu.Unlock()
		usual(w, r)
	}))
	alias.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12}
	alias.EnableHTTP2 = true
	alias.StartTLS()
	t.Cleanup(alias.Close)
	d.metadata["mtls_endpoint_aliases"] = map[string]string{"token_endpoint": alias.URL + "/token"}
	certificate := selfSigned(t, "first")
	cfg := d.config()
	cfg.Secret, cfg.HTTP = nil, alias.Client()
	cfg.Certificate = func() (tls.Certificate, error) { return certificate, nil }
	root := ClientCredentials(cfg)
	if _, err := root(t.Context(), start); err != nil {
		t.Fatal(err)
	}
	certificate = selfSigned(t, "second")
	if _, err := root(t.Context(), start); err != nil {
		t.Fatal(err)
	}
	if len(shown) != 2 || shown[0] != "first service a" || shown[1] != "second service a" {
		t.Errorf("the service saw %q", shown)
	}
	cfg.Certificate = func() (tls.Certificate, error) { return tls.Certificate{}, errors.New("no file") }
	if _, err := ClientCredentials(cfg)(t.Context(), start); !errors.Is(err, fresh.Misconfigured) {
		t.Errorf("without a certificate: %v", err)
	}
}
