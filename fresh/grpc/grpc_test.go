package grpc

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/longcase/longcase/fresh"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const service = "service-b.example.com"

// server takes one token at a time and remembers what it was sent.
type server struct {
	addr string
	root *x509.CertPool

	mu   sync.Mutex
	good string
	sent []string
}

func (s *server) accept(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.good = token
}

// calls returns the tokens of the calls since it was asked last.
func (s *server) calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	sent := s.sent
	s.sent = nil
	return sent
}

func (s *server) judge(ctx context.Context) error {
	md, _ := metadata.FromIncomingContext(ctx)
	got := strings.Join(md.Get("authorization"), ",")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, got)
	if got != "Bearer "+s.good {
		return status.Error(codes.Unauthenticated, "token refused")
	}
	return nil
}

func (s *server) unary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if err := s.judge(ctx); err != nil {
		return nil, err
	}
	return next(ctx, req)
}

func (s *server) stream(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if err := s.judge(ss.Context()); err != nil {
		return err
	}
	return next(srv, ss)
}

// serve starts a health service, with TLS or without.
func serve(t *testing.T, secure bool) *server {
	t.Helper()
	s := &server{root: x509.NewCertPool()}
	opts := []grpc.ServerOption{grpc.UnaryInterceptor(s.unary), grpc.StreamInterceptor(s.stream)}
	if secure {
		opts = append(opts, grpc.Creds(credentials.NewServerTLSFromCert(s.certificate(t))))
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	g := grpc.NewServer(opts...)
	healthpb.RegisterHealthServer(g, health.NewServer())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = g.Serve(l) }()
	t.Cleanup(func() { g.Stop(); <-ended })
	return s
}

func (s *server) certificate(t *testing.T) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{service, "other.example.com"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	s.root.AddCert(leaf)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// dial connects to s under another name.
func (s *server) dial(t *testing.T, authority string, layer *fresh.Layer[fresh.Token], secure bool, hosts ...string) healthpb.HealthClient {
	t.Helper()
	transport := insecure.NewCredentials()
	if secure {
		transport = credentials.NewTLS(&tls.Config{RootCAs: s.root, MinVersion: tls.VersionTLS13})
	}
	conn, err := grpc.NewClient("passthrough:///"+s.addr, grpc.WithAuthority(authority), grpc.WithTransportCredentials(transport),
		grpc.WithPerRPCCredentials(PerRPC(layer, hosts...)),
		grpc.WithUnaryInterceptor(Interceptor(layer)), grpc.WithStreamInterceptor(StreamInterceptor(layer)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return healthpb.NewHealthClient(conn)
}

func check(t *testing.T, c healthpb.HealthClient) error {
	t.Helper()
	_, err := c.Check(t.Context(), &healthpb.HealthCheckRequest{})
	return err
}

// counting gives t1, t2, …
func counting() *fresh.Layer[fresh.Token] {
	n := 0
	return fresh.New(func(context.Context, time.Time) (fresh.Credential[fresh.Token], error) {
		n++
		return fresh.Credential[fresh.Token]{Value: fresh.Token{Value: "t" + strconv.Itoa(n), Type: "Bearer"}, Life: time.Hour}, nil
	}, fresh.Policy{Name: "b"})
}

func TestARefusedCallIsRepeatedOnceWithANewToken(t *testing.T) {
	s := serve(t, true)
	c := s.dial(t, service, counting(), true, service)
	tests := []struct {
		name, good string
		sent       string
		want       codes.Code
	}{
		{"accepted at once", "t1", "Bearer t1", codes.OK},
		{"refused, then accepted", "t2", "Bearer t1 Bearer t2", codes.OK},
		{"accepted again", "t2", "Bearer t2", codes.OK},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s.accept(tt.good)
			if err := check(t, c); status.Code(err) != tt.want {
				t.Errorf("Check = %v, want %v", err, tt.want)
			}
			if sent := strings.Join(s.calls(), " "); sent != tt.sent {
				t.Errorf("sent %q, want %q", sent, tt.sent)
			}
		})
	}
}

func TestARefusalThatNothingCuresIsRepeatedOnce(t *testing.T) {
	s := serve(t, true)
	c := s.dial(t, service, counting(), true, service)
	s.accept("none")
	if err := check(t, c); status.Code(err) != codes.Unauthenticated {
		t.Errorf("Check = %v, want Unauthenticated", err)
	}
	if sent := strings.Join(s.calls(), " "); sent != "Bearer t1 Bearer t2" {
		t.Errorf("sent %q", sent)
	}
}

func TestTheStreamAfterARefusedOneHasANewToken(t *testing.T) {
	s := serve(t, true)
	c := s.dial(t, service, counting(), true, service)
	s.accept("t2")
	watch := func() error {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		stream, err := c.Watch(ctx, &healthpb.HealthCheckRequest{})
		if err != nil {
			return err
		}
		_, err = stream.Recv()
		return err
	}
	if err := watch(); status.Code(err) != codes.Unauthenticated {
		t.Errorf("the first stream: %v, want Unauthenticated", err)
	}
	if err := watch(); err != nil {
		t.Errorf("the second stream: %v", err)
	}
	if sent := strings.Join(s.calls(), " "); sent != "Bearer t1 Bearer t2" {
		t.Errorf("sent %q", sent)
	}
}

func TestATokenGoesToNamedHostsOnly(t *testing.T) {
	s := serve(t, true)
	s.accept("t1")
	tests := []struct {
		name      string
		authority string
		hosts     []string
		sent      string
	}{
		{"the host that is named", service, []string{service}, "Bearer t1"},
		{"in capitals", service, []string{strings.ToUpper(service)}, "Bearer t1"},
		{"one of two", service, []string{"a.example.com", service}, "Bearer t1"},
		{"any port of it", service + ":8443", []string{service}, "Bearer t1"},
		{"the port that is named", service + ":8443", []string{service + ":8443"}, "Bearer t1"},
		{"the default port, named", service, []string{service + ":443"}, "Bearer t1"},
		{"another port", service + ":8443", []string{service + ":443"}, ""},
		{"another host", "other.example.com", []string{service}, ""},
		{"a host above", service, []string{"example.com"}, ""},
		{"a pattern is no host", service, []string{"*.example.com"}, ""},
		{"nobody is named", service, nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := check(t, s.dial(t, tt.authority, counting(), true, tt.hosts...))
			if sent := s.calls(); len(sent) != 1 || sent[0] != tt.sent || (err == nil) != (tt.sent != "") {
				t.Errorf("sent %q, %v; want %q", sent, err, tt.sent)
			}
		})
	}
}

func TestWithoutTLSATokenStaysOnThisMachine(t *testing.T) {
	s := serve(t, false)
	s.accept("t1")
	if err := check(t, s.dial(t, s.addr, counting(), false, "127.0.0.1")); err != nil {
		t.Errorf("loopback: %v", err)
	}
	if err := check(t, s.dial(t, "localhost", counting(), false, "localhost", "127.0.0.1", "[::1]:443")); err != nil {
		t.Errorf("localhost: %v", err)
	}
	s.calls()
	_, err := grpc.NewClient("passthrough:///"+s.addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithPerRPCCredentials(PerRPC(counting(), "127.0.0.1", service)))
	if err == nil {
		t.Error("a token for a distant host may go without TLS")
	}
	for uri, want := range map[string]bool{"127.0.0.1:1": true, "[::1]:1": true, "[::ffff:127.0.0.1]:1": true, "10.0.0.1:1": false, "localhost:1": false} {
		if got := local(address(uri)); got != want {
			t.Errorf("local(%s) = %t", uri, got)
		}
	}
	if sent := s.calls(); len(sent) != 0 {
		t.Errorf("sent %q", sent)
	}
}

type address string

func (a address) Network() string { return "tcp" }
func (a address) String() string  { return string(a) }

func TestALayerThatHasNoTokenFailsTheCall(t *testing.T) {
	s := serve(t, true)
	tests := []struct {
		name string
		err  error
		want codes.Code
	}{
		{"an outage may pass", fresh.Fail(fresh.Unavailable, "the token service is down"), codes.Unavailable},
		{"a refusal stays", fresh.Fail(fresh.Refused, "the token service said no"), codes.Unauthenticated},
		{"a caller that is gone", context.Canceled, codes.Canceled},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := 0
			layer := fresh.New(func(context.Context, time.Time) (fresh.Credential[fresh.Token], error) {
				n++
				return fresh.Credential[fresh.Token]{}, tt.err
			}, fresh.Policy{Name: "b"})
			err := check(t, s.dial(t, service, layer, true, service))
			if status.Code(err) != tt.want || !strings.Contains(err.Error(), "b: ") && !errors.Is(tt.err, context.Canceled) {
				t.Errorf("Check = %v, want %v by name of the layer", err, tt.want)
			}
			if sent := s.calls(); len(sent) != 0 || n != 1 {
				t.Errorf("sent %q after %d fetches", sent, n)
			}
		})
	}
}
