package extauthz

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/longcase/longcase/gate"
	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	issuer = "https://a.test"
	orders = "https://orders.test"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

type claims map[string]any

func good() claims {
	return claims{
		"iss": issuer, "sub": "alice", "aud": orders, "client_id": "web", "jti": "t1",
		"scope": "orders.read", "iat": start.Unix(), "nbf": start.Unix(), "exp": start.Add(5 * time.Minute).Unix(),
	}
}

func (c claims) with(name string, value any) claims {
	c = maps.Clone(c)
	c[name] = value
	return c
}

func newSigner(t testing.TB) token.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := token.NewSigner("k1", token.ES256, key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func sign(t testing.TB, s token.Signer, c claims) string {
	t.Helper()
	body, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := s.Sign("at+jwt", body)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func config(key token.Signer) gate.Config {
	return gate.Config{
		Issuers: []verify.Issuer{{URL: issuer, Audience: orders, Keys: verify.Fixed{key.Key()}}},
		Routes: []gate.Route{
			{Path: "/orders/", Methods: []string{"GET"}, Audience: orders, Scopes: []string{"orders.read"}},
			{Path: "/orders/", Methods: []string{"POST"}, Audience: orders, Scopes: []string{"orders.write"}},
		},
		Now: func() time.Time { return start },
		Log: slog.New(slog.DiscardHandler),
	}
}

func newServer(t testing.TB, cfg gate.Config) *Server {
	t.Helper()
	g, err := gate.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Gate: g})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// serve runs s on a listener until the test is over, and returns a connection
// to it.
func serve(t *testing.T, s *Server, creds credentials.TransportCredentials) *grpc.ClientConn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	if creds == nil {
		creds = insecure.NewCredentials()
	}
	conn, err := grpc.NewClient("passthrough:///"+l.Addr().String(), grpc.WithTransportCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// header is one line of a request, in the order in which it came.
type header struct{ name, value string }

// question is what Envoy asks about a request, with headers as they came.
func question(method, path string, headers ...header) *auth.CheckRequest {
	h := &auth.AttributeContext_HttpRequest{Method: method, Path: path, Host: "orders.test", Scheme: "https", HeaderMap: &core.HeaderMap{}}
	for _, line := range append([]header{{":authority", "orders.test"}, {":method", method}, {":path", path}}, headers...) {
		h.HeaderMap.Headers = append(h.HeaderMap.Headers, &core.HeaderValue{Key: line.name, RawValue: []byte(line.value)})
	}
	return &auth.CheckRequest{Attributes: &auth.AttributeContext{
		Request: &auth.AttributeContext_Request{Http: h},
		Source: &auth.AttributeContext_Peer{Address: &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{
			Address: "198.51.100.7", PortSpecifier: &core.SocketAddress_PortValue{PortValue: 40000},
		}}}},
	}}
}

// joined is q as an Envoy without encode_raw_headers asks it.
func joined(q *auth.CheckRequest) *auth.CheckRequest {
	h := q.GetAttributes().GetRequest().GetHttp()
	h.Headers = map[string]string{}
	for _, line := range h.GetHeaderMap().GetHeaders() {
		value := string(line.GetRawValue())
		if before, ok := h.Headers[line.GetKey()]; ok {
			value = before + "," + value
		}
		h.Headers[line.GetKey()] = value
	}
	h.HeaderMap = nil
	return q
}

// certificate is one signed by ca, or by itself where ca is nil.
func newCertificate(t *testing.T, name string, ca *tls.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name}, IsCA: ca == nil, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	parent, signer := template, any(key)
	if ca != nil {
		parent, signer = ca.Leaf, ca.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// holder is a client with a DPoP key.
type holder struct{ key ed25519.PrivateKey }

func newHolder(t *testing.T) holder {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return holder{key}
}

func (h holder) jwk() string {
	return `{"crv":"Ed25519","kty":"OKP","x":"` + b64(h.key.Public().(ed25519.PublicKey)) + `"}`
}

// thumbprint is of RFC 7638.
func (h holder) thumbprint() string {
	sum := sha256.Sum256([]byte(h.jwk()))
	return b64(sum[:])
}

// proof is of RFC 9449 section 4.2of a request to url with the token raw.
func (h holder) proof(method, url, raw string) string {
	sum := sha256.Sum256([]byte(raw))
	signed := b64([]byte(`{"typ":"dpop+jwt","alg":"EdDSA","jwk":`+h.jwk()+`}`)) + "." +
		b64(fmt.Appendf(nil, `{"jti":%q,"htm":%q,"htu":%q,"iat":%d,"ath":%q}`, rand.Text(), method, url, start.Unix(), b64(sum[:])))
	return signed + "." + b64(ed25519.Sign(h.key, []byte(signed)))
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
