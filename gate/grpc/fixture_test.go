package grpc

import (
	"context"
	"errors"
	"io"
	"log/slog"
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
	"github.com/longcase/longcase/internal/gatetest"
	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const service = "/grpc.testing.TestService/"

var start = gatetest.Start()

type claims = gatetest.Claims

func good() claims { return gatetest.Good(start) }

func config(key token.Signer) gate.Config {
	return gate.Config{
		Issuers: []verify.Issuer{{URL: gatetest.Issuer, Audience: gatetest.Orders, Keys: verify.Fixed{key.Key()}}},
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
