// Package extauthz answers Envoy's external authorization over gRPC
// (envoy.service.auth.v3.Authorization), which Istio and others speak too.
//
//	server, err := extauthz.New(extauthz.Config{Gate: g})
//	err = server.Serve(ctx, listener)
//
// Whoever may ask learns who a token belongs to, and says by himself where a
// request came from. So without TLS a server listens on loopback or a Unix
// socket only, and with TLS it asks its callers for a certificate, unless Open
// says that the network lets nobody else come.
//
// Envoy should send headers as they came (encode_raw_headers: true): else it
// joins those of one name with commas. It should not let requests pass that it
// could not ask about (failure_mode_allow: false, its default).
package extauthz

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"

	"github.com/longcase/longcase/gate"
)

const (
	maxMessage = 1 << 20 // of a question; Envoy's headers have 60 KiB by default
	maxStreams = 10_000  // questions under way on one connection; an Envoy has one for each of its threads
	stopWithin = 5 * time.Second
)

// Config is what a Server needs.
type Config struct {
	Gate Gate
	TLS  *tls.Config // with a certificate and ClientCAs, RequireAndVerifyClientCert; nil: loopback and Unix sockets only
	Open bool        // whoever reaches the listener may ask: no certificate is demanded, nor loopback
}

// Gate judges; *gate.Gate does.
type Gate interface {
	Judge(ctx context.Context, r gate.Request) gate.Answer
	// Refuse answers for a request that cannot be made out.
	Refuse(ctx context.Context, r gate.Request, why string) gate.Answer
	Ready() error
}

// Server answers Envoy. It implements auth.AuthorizationServer, for programs that
// have a gRPC server of their own.
type Server struct {
	auth.UnimplementedAuthorizationServer
	cfg Config
}

// New checks cfg and returns a Server. It does no I/O.
func New(cfg Config) (*Server, error) {
	var wrong []error
	if cfg.Gate == nil {
		wrong = append(wrong, errors.New("extauthz: Gate: required"))
	}
	if cfg.TLS != nil && !cfg.Open && cfg.TLS.ClientAuth != tls.RequireAndVerifyClientCert {
		wrong = append(wrong, errors.New("extauthz: TLS: callers must show a certificate (RequireAndVerifyClientCert)"))
	}
	return &Server{cfg: cfg}, errors.Join(wrong...)
}

// Serve answers what comes to l, and questions about its own health
// (grpc.health.v1), until ctx ends. Questions under way have five seconds more.
// It closes l. The error is nil after the end of ctx.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	if s.cfg.TLS == nil && !s.cfg.Open && !onThisMachine(l.Addr()) {
		_ = l.Close()
		return fmt.Errorf("extauthz: %s is open to other machines: listen on loopback or a Unix socket, or use TLS with client certificates", l.Addr())
	}
	g := s.server()
	ended := make(chan error, 1)
	go func() { ended <- g.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	late := time.AfterFunc(stopWithin, g.Stop)
	defer late.Stop()
	g.GracefulStop()
	if err := <-ended; !errors.Is(err, grpc.ErrServerStopped) { // it had not begun
		return err
	}
	return nil
}

func (s *Server) server() *grpc.Server {
	opts := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.ConnectionTimeout(stopWithin),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	}
	if s.cfg.TLS != nil {
		opts = append(opts, grpc.Creds(credentials.NewTLS(s.cfg.TLS)))
	}
	g := grpc.NewServer(opts...)
	auth.RegisterAuthorizationServer(g, s)
	health.RegisterHealthServer(g, &healthServer{gate: s.cfg.Gate})
	return g
}

// onThisMachine reports whether only this machine can come to an address.
func onThisMachine(a net.Addr) bool {
	switch a := a.(type) {
	case *net.TCPAddr:
		return a.IP.IsLoopback()
	case *net.UnixAddr:
		return true
	}
	return false
}

// healthServer says whether the gate can judge.
type healthServer struct {
	health.UnimplementedHealthServer
	gate Gate
}

// Check answers for the server as a whole, whichever service it is asked about.
func (h *healthServer) Check(context.Context, *health.HealthCheckRequest) (*health.HealthCheckResponse, error) {
	if h.gate.Ready() != nil {
		return &health.HealthCheckResponse{Status: health.HealthCheckResponse_NOT_SERVING}, nil
	}
	return &health.HealthCheckResponse{Status: health.HealthCheckResponse_SERVING}, nil
}

// Check judges the request that in describes. It never returns an error, which
// Envoy may be configured to take for a yes.
func (s *Server) Check(ctx context.Context, in *auth.CheckRequest) (*auth.CheckResponse, error) {
	r, err := requestOf(in)
	if err != nil {
		return denied(s.cfg.Gate.Refuse(ctx, r, err.Error())), nil
	}
	a := s.cfg.Gate.Judge(ctx, r)
	if !a.Allowed {
		return denied(a), nil
	}
	return allowed(a, in.GetAttributes().GetRequest().GetHttp()), nil
}
