package gate

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/longcase/longcase/internal/gatetest"
	"github.com/longcase/longcase/token"
)

// certified is a client with a certificate, signed by parent or by itself.
func certified(t testing.TB, key *ecdsa.PrivateKey, parent *tls.Certificate) tls.Certificate {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "client"}, BasicConstraintsValid: true, IsCA: parent == nil,
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1, 0), // over: the gate does not judge it
	}
	issuer, by := template, any(key)
	if parent != nil {
		issuer, by = parent.Leaf, parent.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), by)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	c := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
	if parent != nil {
		c.Certificate = append(c.Certificate, parent.Leaf.Raw)
	}
	return c
}

func newECKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// RFC 8705 section 3, over TLS: the token's certificate and no other, whoever
// signed it.
func TestCertificateBoundTokensOverTLS(t *testing.T) {
	key := newSigner(t, "k1")
	g := bindingGate(t, key, nil)
	s := httptest.NewUnstartedServer(g.Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)

	ca := certified(t, newECKey(t), nil)
	own := newECKey(t)
	self, renewed, signed := certified(t, own, nil), certified(t, own, nil), certified(t, newECKey(t), &ca)
	tests := []struct {
		name   string
		shown  []tls.Certificate
		raw    string
		path   string
		reason token.Reason
	}{
		{"self-signed", []tls.Certificate{self}, gatetest.SignFor(t, key, self), "/mtls/1", ""},
		{"signed by a CA", []tls.Certificate{signed}, gatetest.SignFor(t, key, signed), "/mtls/1", ""},
		{"bound, where no binding is asked for", []tls.Certificate{self}, gatetest.SignFor(t, key, self), "/any/1", ""},
		{"renewed with the same key", []tls.Certificate{renewed}, gatetest.SignFor(t, key, self), "/mtls/1", token.BindingMismatch},
		{"another's", []tls.Certificate{signed}, gatetest.SignFor(t, key, self), "/any/1", token.BindingMismatch},
		{"the CA's own", []tls.Certificate{signed}, gatetest.SignFor(t, key, ca), "/mtls/1", token.BindingMismatch},
		{"none", nil, gatetest.SignFor(t, key, self), "/mtls/1", token.BindingMissing},
		{"none, where no binding is asked for", nil, gatetest.SignFor(t, key, self), "/any/1", token.BindingMissing},
		{"with a token that is not bound", []tls.Certificate{self}, sign(t, key, good()), "/mtls/1", token.BindingMissing},
		{"with a token that is not bound, where none is asked for", []tls.Certificate{self}, sign(t, key, good()), "/any/1", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			transport := s.Client().Transport.(*http.Transport).Clone()
			transport.TLSClientConfig.Certificates = tt.shown
			t.Cleanup(transport.CloseIdleConnections)
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+tt.path, nil)
			r.Header.Set("Authorization", "Bearer "+tt.raw)
			resp, err := transport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			if p := readProblem(t, resp); p.Reason != string(tt.reason) || (resp.StatusCode == 200) != (tt.reason == "") {
				t.Errorf("%d %+v, want %q", resp.StatusCode, p, tt.reason)
			}
		})
	}
}

// forms writes a certificate as each proxy does.
func forms(c tls.Certificate) map[Forward]string {
	der := c.Certificate[0]
	escaped := url.PathEscape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	sum := sha256.Sum256(der)
	var chain []string
	for _, one := range c.Certificate {
		chain = append(chain, base64.StdEncoding.EncodeToString(one))
	}
	return map[Forward]string{
		NoForward: ":" + base64.StdEncoding.EncodeToString(der) + ":",
		Nginx:     escaped,
		Traefik:   strings.Join(chain, ","),
		Envoy: `By=spiffe://a.test/x;Hash=0000;Subject="CN=eve,O=\"Acme; Inc\"",By=spiffe://b.test/y;Hash=` +
			hex.EncodeToString(sum[:]) + `;Cert="` + escaped + `";Subject="CN=a, b;O=\"c\"";URI=`,
	}
}

var certificateHeaders = map[Forward]string{
	NoForward: "Client-Cert", Nginx: "X-SSL-Client-Cert", Traefik: "X-Forwarded-Tls-Client-Cert", Envoy: "X-Forwarded-Client-Cert",
}

const (
	trusted = "10.0.0.1:4000"
	anybody = "192.0.2.1:4000"
)

// One header for each kind of proxy, and from a proxy only.
func TestForwardedCertificates(t *testing.T) {
	key := newSigner(t, "k1")
	ca := certified(t, newECKey(t), nil)
	mine, theirs := certified(t, newECKey(t), &ca), certified(t, newECKey(t), nil)
	raw := gatetest.SignFor(t, key, mine)
	for forward, name := range certificateHeaders {
		g := bindingGate(t, key, func(c *Config) { c.Forward = forward })
		form, other := forms(mine)[forward], forms(theirs)[forward]
		wrong := certificateHeaders[map[Forward]Forward{NoForward: Nginx, Nginx: Traefik, Traefik: Envoy, Envoy: NoForward}[forward]]
		tests := []struct {
			name   string
			peer   string
			header http.Header
			der    []byte // of the connection
			reason token.Reason
		}{
			{"from the proxy", trusted, http.Header{name: {form}}, nil, ""},
			{"from the proxy, whose connection has another", trusted, http.Header{name: {form}}, theirs.Certificate[0], ""},
			{"another's", trusted, http.Header{name: {other}}, nil, token.BindingMismatch},
			{"from anybody", anybody, http.Header{name: {form}}, nil, token.BindingMissing},
			{"from anybody, who shows another", anybody, http.Header{name: {form}}, theirs.Certificate[0], token.BindingMismatch},
			{"twice", trusted, http.Header{name: {form, form}}, nil, token.BindingMissing},
			{"a smuggled one beside it", trusted, http.Header{name: {other, form}}, nil, token.BindingMissing},
			{"two in one", trusted, http.Header{name: {form + ", " + form}}, nil, map[bool]token.Reason{true: "", false: token.BindingMissing}[forward == Traefik || forward == Envoy]},
			{"a smuggled one before it", trusted, http.Header{name: {form + "," + other}}, nil,
				map[Forward]token.Reason{Traefik: "", Envoy: token.BindingMismatch, NoForward: token.BindingMissing, Nginx: token.BindingMissing}[forward]},
			{"empty", trusted, http.Header{name: {""}}, nil, token.BindingMissing},
			{"nonsense", trusted, http.Header{name: {"nonsense;;=\""}}, nil, token.BindingMissing},
			{"with underscores", trusted, http.Header{strings.ReplaceAll(name, "-", "_"): {form}}, nil, token.BindingMissing},
			{"in small letters, which no edge hands over", trusted, http.Header{strings.ToLower(name): {form}}, nil, token.BindingMissing},
			{"in the header of another proxy", trusted, http.Header{wrong: {forms(mine)[forward]}}, nil, token.BindingMissing},
			{"none", trusted, http.Header{}, nil, token.BindingMissing},
		}
		for _, tt := range tests {
			t.Run(name+" "+tt.name, func(t *testing.T) {
				r := presenting("Bearer", raw, "/mtls/1")
				r.Peer, r.Certificate = tt.peer, tt.der
				for n, values := range tt.header {
					r.Header[http.CanonicalHeaderKey(n)] = values
					if n == strings.ToLower(name) {
						delete(r.Header, http.CanonicalHeaderKey(n))
						r.Header[n] = values
					}
				}
				if a := g.Judge(context.Background(), r); a.Reason != string(tt.reason) {
					t.Errorf("%q (%s), want %q", a.Reason, a.Detail, tt.reason)
				}
			})
		}
	}
}

// The connection of a proxy is the proxy's own: its certificate is not that of the
// client it asks about or passes on, or whoever stole a token of the proxy's could
// use it through that very proxy.
func TestTheProxysOwnCertificateIsNotTheClients(t *testing.T) {
	key := newSigner(t, "k1")
	own := certified(t, newECKey(t), nil)
	raw := gatetest.SignFor(t, key, own)
	accepting := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	upstream := serve(t, accepting)
	for _, tt := range []struct {
		name    string
		forward Forward
		path    string
		peer    string
		reason  string
	}{
		{"asked about", Traefik, "/verify", trusted, "binding_missing"},
		{"asked about by a stranger", NoForward, "/verify", anybody, "binding_missing"},
		{"passed on", NoForward, "/mtls/1", trusted, "binding_missing"},
		{"passed on, while it could ask", Nginx, "/mtls/1", trusted, "binding_missing"},
		{"a client of its own", NoForward, "/mtls/1", anybody, ""},
	} {
		g := bindingGate(t, key, func(c *Config) { c.Forward, c.Routes[2].Upstream = tt.forward, upstream.URL })
		run(t, g)
		for edge, h := range map[string]http.Handler{"handler": g.Handler(), "middleware": g.Middleware(accepting)} {
			if edge == "middleware" && tt.path == verifyPath {
				continue
			}
			r := get(tt.path, raw)
			r.RemoteAddr = tt.peer
			r.Header.Set("X-Forwarded-Method", "GET")
			r.Header.Set("X-Forwarded-Uri", "/mtls/1")
			r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{own.Leaf}}
			if got := readProblem(t, do(h, r)).Reason; got != tt.reason {
				t.Errorf("%s, %s: %q, want %q", tt.name, edge, got, tt.reason)
			}
		}
	}
	r := presenting("Bearer", raw, "/mtls/1")
	r.Certificate, r.Peer = own.Certificate[0], trusted
	for edge, reason := range map[string]string{EdgeGRPC: "binding_missing", EdgeExtAuthz: ""} { // Envoy tells whose the certificate is
		r.Edge = edge
		if a := bindingGate(t, key, nil).Judge(context.Background(), r); a.Reason != reason {
			t.Errorf("%s: %q, want %q", edge, a.Reason, reason)
		}
	}
}

// What a proxy writes, at its edges.
func TestFormsOfCertificates(t *testing.T) {
	c := certified(t, newECKey(t), nil)
	form, want := forms(c), thumbprint(c.Certificate[0])
	sum := sha256.Sum256(c.Certificate[0])
	hash := "Hash=" + hex.EncodeToString(sum[:])
	other := "Hash=" + strings.Repeat("0", 64)
	cert := `Cert="` + form[Nginx] + `"`
	escaped := form[Nginx]
	for _, tt := range []struct {
		forward Forward
		value   string
		want    string // empty with ok: no certificate
		ok      bool
	}{
		{NoForward, " " + form[NoForward] + " ", want, true}, {NoForward, "::", "", true}, {NoForward, "", "", true},
		{NoForward, ":", "", false}, {NoForward, strings.Trim(form[NoForward], ":"), "", false}, {NoForward, form[NoForward] + ";a=b", "", false},
		{NoForward, form[NoForward] + form[NoForward], "", false}, {NoForward, ":*:", "", false}, {NoForward, ":" + strings.Repeat("A", maxCertificate) + ":", "", false},
		{Nginx, escaped, want, true}, {Nginx, escaped + "%0A", want, true}, {Nginx, "", "", true},
		{Nginx, escaped + escaped, "", false}, {Nginx, "x" + escaped, "", false}, {Nginx, escaped + "x", "", false}, {Nginx, "%zz", "", false},
		{Nginx, strings.ReplaceAll(escaped, "CERTIFICATE", "PUBLIC%20KEY"), "", false}, {Nginx, strings.ReplaceAll(escaped, "%0A", "%20"), "", false},
		{Traefik, form[Traefik], want, true}, {Traefik, "," + form[Traefik], "", false}, {Traefik, strings.Trim(form[Traefik], "=") + "\n", "", false}, {Traefik, escaped, "", false},
		{Envoy, hash, want, true}, {Envoy, strings.ToUpper(hash), want, true}, {Envoy, cert, want, true}, {Envoy, hash + ";" + cert, want, true}, {Envoy, other + "," + hash, want, true},
		{Envoy, other + ";" + cert, "", false}, {Envoy, hash + ";" + hash, "", false}, {Envoy, cert + ";" + cert, "", false}, {Envoy, hash + ",", "", false}, {Envoy, "By=x", "", false},
		{Envoy, "Hash=00", "", false}, {Envoy, `Subject="` + hash + `"`, "", false}, {Envoy, `Subject="x\";` + hash, "", false}, {Envoy, `Subject="a\",` + hash + `,";` + hash, want, true},
	} {
		g := &Gate{cfg: Config{Forward: tt.forward}}
		if got, err := g.readCertificate([]string{tt.value}); got != tt.want || (err == nil) != tt.ok {
			t.Errorf("%q %.120q: %q, %v, want %q", tt.forward, tt.value, got, err, tt.want)
		}
	}
}

// FuzzCertificateHeaders feeds each parser: what it accepts is a SHA-256 or
// nothing, and says the same the second time.
func FuzzCertificateHeaders(f *testing.F) {
	for _, form := range forms(certified(f, newECKey(f), nil)) {
		f.Add(form)
	}
	for _, s := range []string{"", "::", ":AAAA:", "AAAA,BBBB", `Hash="`, `Cert="%2D";Hash=`, `a="\`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		for forward := range certificateHeaders {
			g := &Gate{cfg: Config{Forward: forward}}
			got, err := g.readCertificate([]string{value})
			if sum, bad := base64.RawURLEncoding.DecodeString(got); bad != nil || got != "" && len(sum) != sha256.Size || err != nil && got != "" {
				t.Errorf("%q %q: %q, %v", forward, value, got, err)
			}
		}
	})
}
