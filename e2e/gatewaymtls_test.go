package e2e

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// selfSigned is a certificate for this host that nobody vouches for, and its
// SHA-256 as "x5t#S256" has it.
func selfSigned(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, base64.RawURLEncoding.EncodeToString(sum[:])
}

// tlsEndings tell by name what a gateway's file must say to end TLS, ask for a
// client's certificate and tell the gate which one it saw: pairs of what stands on
// the page, and what instead. CRT, KEY and BOTH stand for files.
func tlsEndings() map[string][]string {
	return map[string][]string{
		"nginx": {
			"listen 127.0.0.1:8080;", "listen 127.0.0.1:8080 ssl; ssl_certificate CRT; ssl_certificate_key KEY; ssl_verify_client optional_no_ca;",
		},
		"caddy": {
			"auto_https off\n", "auto_https off\n\tdefault_sni 127.0.0.1\n\tservers {\n\t\tstrict_sni_host insecure_off\n\t}\n", // an address is no SNI
			"http://127.0.0.1:8080 {", "https://127.0.0.1:8080 {\n\ttls CRT KEY {\n\t\tclient_auth {\n\t\t\tmode require\n\t\t}\n\t}",
			"uri /verify\n", "uri /verify\n\t\t\theader_up X-Forwarded-Tls-Client-Cert {tls_client_certificate_der_base64}\n",
		},
		"traefik": {
			"middlewares: [gate]", "middlewares: [certificate, gate]\n      tls: {}",
			"    gate:\n", "    certificate: {passTLSClientCert: {pem: true}}\n    gate:\n",
			"http:\n  routers:", "tls:\n  certificates: [{certFile: CRT, keyFile: KEY}]\n  options: {default: {clientAuth: {clientAuthType: RequireAnyClientCert}}}\nhttp:\n  routers:",
		},
		"haproxy": {
			"bind 127.0.0.1:8080", "bind 127.0.0.1:8080 ssl crt BOTH verify optional ca-file CRT crt-ignore-err all ca-ignore-err all",
			"http-request del-header client-cert -m beg", "http-request set-header Client-Cert :%[ssl_c_der,base64]:",
		},
		"envoy grpc": {
			"        - filters:\n", `        - transport_socket:
            name: envoy.transport_sockets.tls
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
              require_client_certificate: true
              common_tls_context:
                tls_certificates: [{certificate_chain: {filename: CRT}, private_key: {filename: KEY}}]
                validation_context: {trusted_ca: {filename: CRT}, trust_chain_verification: ACCEPT_UNTRUSTED}
          filters:
`,
		},
	}
}

// shownCertificates says that a token which is bound to a certificate passes
// where the gateway saw that very certificate used, and only there.
func (f *fleet) shownCertificates(t *testing.T) {
	server, _ := selfSigned(t)
	dir := workFolder(t)
	crt := writeFile(t, dir, "tls.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate[0]})))
	key := writeFile(t, dir, "tls.key", pemOf(t, server.PrivateKey))
	both := writeFile(t, dir, "tls.pem", pemOf(t, server.PrivateKey)+string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate[0]})))
	files := strings.NewReplacer("CRT", crt, "KEY", key, "BOTH", both)
	for _, g := range gateways(t) {
		if g.by == "envoy" {
			continue // its page shows certificates over gRPC alone
		}
		t.Run(g.name, func(t *testing.T) {
			config, changes := g.config, tlsEndings()[g.name]
			for i := 0; i < len(changes); i += 2 {
				if !strings.Contains(config, changes[i]) {
					t.Fatalf("the page has no %q", changes[i])
				}
				config = strings.Replace(config, changes[i], files.Replace(changes[i+1]), 1)
			}
			a, _ := f.gate(freeAddress(t), g)
			url := strings.Replace(g.start(t, a, config), "http:", "https:", 1)
			shown, sum := selfSigned(t)
			_, other := selfSigned(t)
			eventually(t, patience, "the gateway passes a good token on", func() bool {
				return f.showing(t, shown, url, sum).status == http.StatusOK
			})
			f.showing(t, shown, url, other).expect(t, http.StatusUnauthorized, "binding_mismatch")
		})
	}
}

// showing calls url with a client certificate and a token bound to the
// certificate whose hash is sum.
func (f *fleet) showing(t *testing.T, shown tls.Certificate, url, sum string) answer {
	t.Helper()
	r := probe{token: f.house.token(claims{"cnf": claims{"x5t#S256": sum}})}.request(t, url)
	transport := &http.Transport{TLSClientConfig: &tls.Config{
		Certificates: []tls.Certificate{shown}, InsecureSkipVerify: true, //nolint:gosec // the gateway's own certificate is not what is tested
	}}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(r)
	if err != nil {
		return answer{} // it does not answer yet
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header}
	_ = json.NewDecoder(resp.Body).Decode(&a.json)
	return a
}
