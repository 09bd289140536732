package extauthz

import (
	"context"
	"log/slog"
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
	"github.com/longcase/longcase/internal/gatetest"
	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = gatetest.Start()

type claims = gatetest.Claims

func good() claims { return gatetest.Good(start) }

func config(key token.Signer) gate.Config {
	return gate.Config{
		Issuers: []verify.Issuer{{URL: gatetest.Issuer, Audience: gatetest.Orders, Keys: verify.Fixed{key.Key()}}},
		Routes: []gate.Route{
			{Path: "/orders/", Methods: []string{"GET"}, Audience: gatetest.Orders, Scopes: []string{"orders.read"}},
			{Path: "/orders/", Methods: []string{"POST"}, Audience: gatetest.Orders, Scopes: []string{"orders.write"}},
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
