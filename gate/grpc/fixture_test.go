package grpc

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
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"

	"github.com/longcase/longcase/gate"
	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	issuer  = "https://a.test"
	orders  = "https://orders.test"
	service = "/grpc.testing.TestService/"
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

func newSigner(t *testing.T) token.Signer {
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

func sign(t *testing.T, s token.Signer, c claims) string {
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
		Now:     func() time.Time { return start },
		Log:     slog.New(slog.DiscardHandler),
	}
}

// world is a guarded server of the test service and of health.
type world struct {
	testpb.UnimplementedTestServiceServer
	addr string
	seen struct {
		claims token.Claims
		known  bool
		md     metadata.MD
	}
}

func (w *world) look(ctx context.Context) {
	w.seen.claims, w.seen.known = gate.FromContext(ctx)
	w.seen.md, _ = metadata.FromIncomingContext(ctx)
}

func (w *world) EmptyCall(ctx context.Context, _ *testpb.Empty) (*testpb.Empty, error) {
	w.look(ctx)
	return &testpb.Empty{}, nil
}

// FullDuplexCall sends back as many messages as it gets.
func (w *world) FullDuplexCall(s testpb.TestService_FullDuplexCallServer) error {
	w.look(s.Context())
	for {
		if _, err := s.Recv(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := s.Send(&testpb.StreamingOutputCallResponse{}); err != nil {
			return err
		}
	}
}

func newWorld(t *testing.T, cfg gate.Config, opts ...grpc.ServerOption) *world {
	t.Helper()
	g, err := gate.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	guard, err := New(Config{Gate: g, Exempt: []string{"/grpc.health.v1.Health/Check"}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{addr: l.Addr().String()}
	s := grpc.NewServer(append(opts, grpc.UnaryInterceptor(guard.Unary), grpc.StreamInterceptor(guard.Stream))...)
	testpb.RegisterTestServiceServer(s, w)
	healthpb.RegisterHealthServer(s, health.NewServer())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.Serve(l) }()
	t.Cleanup(func() { s.Stop(); <-ended })
	return w
}

func (w *world) dial(t *testing.T, creds credentials.TransportCredentials) *grpc.ClientConn {
	t.Helper()
	if creds == nil {
		creds = insecure.NewCredentials()
	}
	conn, err := grpc.NewClient("passthrough:///"+w.addr, grpc.WithTransportCredentials(creds), grpc.WithAuthority("orders.test"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// certificate is a self-signed one, for a server or a client.
func certificate(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func thumbprint(c tls.Certificate) string {
	sum := sha256.Sum256(c.Certificate[0])
	return base64.RawURLEncoding.EncodeToString(sum[:])
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

// proof is of RFC 9449 section 4.2, for POST to url with the token raw.
func (h holder) proof(url, raw string) string {
	sum := sha256.Sum256([]byte(raw))
	signed := b64([]byte(`{"typ":"dpop+jwt","alg":"EdDSA","jwk":`+h.jwk()+`}`)) + "." +
		b64(fmt.Appendf(nil, `{"jti":%q,"htm":"POST","htu":%q,"iat":%d,"ath":%q}`, rand.Text(), url, start.Unix(), b64(sum[:])))
	return signed + "." + b64(ed25519.Sign(h.key, []byte(signed)))
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
