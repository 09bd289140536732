package e2e

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func TestIssuerAndGateOverTLS(t *testing.T) {
	w := prepare(t, plan{})
	w.useTLS(t)
	w.start()

	b := newBrowser(t)
	l := login{client: "web", verifier: strings.Repeat("v", 43)}
	resp := b.get(w.authorizeURL(l))
	defer resp.Body.Close()
	for _, c := range resp.Cookies() {
		if !strings.HasPrefix(c.Name, "__Host-") || !c.Secure || !c.HttpOnly {
			t.Errorf("cookie %s of a host on https: secure %t, http only %t", c.Name, c.Secure, c.HttpOnly)
		}
	}
	back := b.submit(resp, "alice", password)
	defer back.Body.Close()
	next, err := back.Location()
	if err != nil {
		t.Fatal(err)
	}
	l.code = next.Query().Get("code")
	s := w.redeem(l)
	s.expect(t, http.StatusOK, "")
	w.call("GET", "/orders/1", s.text("access_token")).expect(t, http.StatusOK, "")
	if at, _ := url.Parse(w.Issuer); len(b.http.Jar.Cookies(at)) == 0 {
		t.Error("nobody is signed in")
	}
}

// useTLS gives both listeners the certificate of httptest, which the processes
// and the test's client trust.
func (w *world) useTLS(t *testing.T) {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	cert := w.write("cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))
	w.write("key.pem", pemOf(t, s.TLS.Certificates[0].PrivateKey))
	t.Setenv("SSL_CERT_FILE", cert)
	w.Issuer, w.Gate = "https://"+w.IssuerAddress, "https://"+w.GateAddress
	tls := "\n  tls: {certificate: cert.pem, key: key.pem}"
	listen := strings.NewReplacer(
		"listen: "+w.IssuerAddress, "listen: "+w.IssuerAddress+tls,
		"listen: "+w.GateAddress, "listen: "+w.GateAddress+tls)
	w.write("longcase.yaml", listen.Replace(w.fill(worldFile)))

	before, trusting := client, *client
	trusting.Transport = s.Client().Transport
	client = &trusting
	t.Cleanup(func() { client = before })
}
