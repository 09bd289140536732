// Package grpc is the gate in front of a gRPC server: a unary and a stream
// interceptor.
//
//	guard, err := gategrpc.New(gategrpc.Config{Gate: g, Exempt: []string{"/grpc.health.v1.Health/Check"}})
//	server := grpc.NewServer(
//		grpc.UnaryInterceptor(guard.Unary), grpc.StreamInterceptor(guard.Stream))
//
// A call is judged as POST to its full method, "/pkg.Service/Method", which is
// how it travels over HTTP/2: routes name that path. The handler finds the
// claims by gate.FromContext, and no x-token metadata that a client sent. A
// stream is judged once, when it begins.
//
// A refusal is a status whose message is "title: detail", with an ErrorInfo
// (the reason as it is, domain "longcase", detail and skew_seconds as metadata),
// a RetryInfo where there is something to wait for, and www-authenticate,
// x-token-reason and dpop-nonce in the trailer.
package grpc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/longcase/longcase/gate"
)

// Config is what the interceptors need.
type Config struct {
	Gate   *gate.Gate
	Exempt []string // full methods that need no token, such as those of health and reflection
}

// Guard judges the calls of a server.
type Guard struct {
	gate   *gate.Gate
	exempt map[string]bool
}

// New checks cfg and returns a Guard.
func New(cfg Config) (*Guard, error) {
	var wrong []error
	if cfg.Gate == nil {
		wrong = append(wrong, errors.New("grpc: Gate: required"))
	}
	g := &Guard{gate: cfg.Gate, exempt: make(map[string]bool, len(cfg.Exempt))}
	for _, method := range cfg.Exempt {
		service, name, ok := strings.Cut(strings.TrimPrefix(method, "/"), "/")
		if !strings.HasPrefix(method, "/") || !ok || service == "" || name == "" || strings.ContainsAny(name, "/*") {
			wrong = append(wrong, fmt.Errorf(`grpc: Exempt: %.200q is no full method, such as "/grpc.health.v1.Health/Check"`, method))
		}
		g.exempt[method] = true
	}
	return g, errors.Join(wrong...)
}

// Unary is a grpc.UnaryServerInterceptor.
func (g *Guard) Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	admitted, said, err := g.admit(ctx, info.FullMethod)
	if err != nil {
		_ = grpc.SetTrailer(ctx, said)
		return nil, err
	}
	_ = grpc.SetHeader(ctx, said)
	return next(admitted, req)
}

// Stream is a grpc.StreamServerInterceptor.
func (g *Guard) Stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	admitted, said, err := g.admit(ss.Context(), info.FullMethod)
	if err != nil {
		ss.SetTrailer(said)
		return err
	}
	_ = ss.SetHeader(said)
	return next(srv, &stream{ServerStream: ss, ctx: admitted})
}

// stream is a ServerStream whose context has the claims.
type stream struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // a ServerStream is where gRPC keeps it
}

func (s *stream) Context() context.Context { return s.ctx }

// admit returns the context of an admitted call and what its header says to the
// client, or the status of a refused one and what its trailer says.
func (g *Guard) admit(ctx context.Context, method string) (context.Context, metadata.MD, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	if g.exempt[method] {
		return cleaned(ctx, md), nil, nil
	}
	a := g.gate.Judge(ctx, requestOf(ctx, method, md))
	if !a.Allowed {
		return nil, trailerOf(a), statusOf(a)
	}
	ctx = cleaned(ctx, md)
	if a.Claims != nil {
		ctx = gate.NewContext(ctx, a.Claims)
	}
	if a.Nonce != "" {
		return ctx, metadata.Pairs("dpop-nonce", a.Nonce), nil
	}
	return ctx, nil, nil
}

// cleaned is ctx without the metadata that would say who was accepted.
func cleaned(ctx context.Context, md metadata.MD) context.Context {
	for name := range md {
		if gate.Reserved(name) {
			return metadata.NewIncomingContext(ctx, without(md))
		}
	}
	return ctx
}

func without(md metadata.MD) metadata.MD {
	md = md.Copy()
	for name := range md {
		if gate.Reserved(name) {
			delete(md, name)
		}
	}
	return md
}

// requestOf is a call as it is judged.
func requestOf(ctx context.Context, method string, md metadata.MD) gate.Request {
	r := gate.Request{Edge: gate.EdgeGRPC, Method: http.MethodPost, Target: method, Scheme: "http", Header: make(http.Header, len(md))}
	for name, values := range md {
		if name == ":authority" && len(values) == 1 {
			r.Host = values[0]
		}
		if !strings.HasPrefix(name, ":") {
			r.Header[textproto.CanonicalMIMEHeaderKey(name)] = values
		}
	}
	p, ok := peer.FromContext(ctx)
	if !ok {
		return r
	}
	if p.Addr != nil {
		r.Peer = p.Addr.String()
	}
	if info, ok := p.AuthInfo.(credentials.TLSInfo); ok {
		r.Scheme = "https"
		if certs := info.State.PeerCertificates; len(certs) > 0 {
			r.Certificate = certs[0].Raw
		}
	}
	return r
}
