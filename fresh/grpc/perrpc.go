package grpc

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/longcase/longcase/fresh"
)

// PerRPC attaches "authorization: Bearer TOKEN" to every call to one of hosts. A
// host is a name or an address; with a port it means that port only. Calls to
// other hosts get no token. Without TLS it works only where all hosts are
// loopback ones. A layer that has no token fails the call: Unavailable where
// waiting may help, else Unauthenticated.
func PerRPC(layer *fresh.Layer[fresh.Token], hosts ...string) credentials.PerRPCCredentials {
	p := &perRPC{layer: layer, hosts: map[string]bool{}, plain: len(hosts) > 0}
	for _, h := range hosts {
		h = strings.ToLower(h)
		p.hosts[unbracket(h)] = true
		p.plain = p.plain && loopback(hostname(h))
	}
	return p
}

type perRPC struct {
	layer *fresh.Layer[fresh.Token]
	hosts map[string]bool
	plain bool // all hosts are loopback ones
}

// RequireTransportSecurity is false only where every host is a loopback one.
func (p *perRPC) RequireTransportSecurity() bool { return !p.plain }

// GetRequestMetadata implements credentials.PerRPCCredentials. uri is
// "https://HOST[:PORT]/SERVICE", TLS or not.
func (p *perRPC) GetRequestMetadata(ctx context.Context, uri ...string) (map[string]string, error) {
	if len(uri) != 1 || !p.named(uri[0]) {
		return nil, nil
	}
	if !private(ctx) {
		return nil, status.Error(codes.Unauthenticated, "a token goes over TLS, or to this machine")
	}
	lease, err := p.layer.Get(ctx)
	if err != nil {
		return nil, statusOf(err)
	}
	note(ctx, lease)
	return map[string]string{"authorization": scheme(lease.Value) + " " + lease.Value.Value}, nil
}

func scheme(t fresh.Token) string {
	if t.Type == "" {
		return "Bearer"
	}
	return t.Type
}

// named reports whether the call goes to one of the hosts.
func (p *perRPC) named(uri string) bool {
	u, err := url.Parse(uri)
	if err != nil {
		return false
	}
	host := strings.ToLower(u.Hostname())
	if p.hosts[host] {
		return true
	}
	port := u.Port()
	if port == "" {
		port = "443" // gRPC leaves the default out
	}
	return p.hosts[net.JoinHostPort(host, port)]
}

// private reports whether nobody else can read the call: it is encrypted, or
// stays on this machine whatever the host is called.
func private(ctx context.Context) bool {
	info, _ := credentials.RequestInfoFromContext(ctx)
	if credentials.CheckSecurityLevel(info.AuthInfo, credentials.PrivacyAndIntegrity) == nil {
		return true
	}
	at, ok := peer.FromContext(ctx)
	return ok && at.Addr != nil && local(at.Addr)
}

func local(a net.Addr) bool {
	if a.Network() == "unix" {
		return true
	}
	ip, err := netip.ParseAddrPort(a.String())
	return err == nil && ip.Addr().Unmap().IsLoopback()
}

// hostname is a host without its port.
func hostname(h string) string {
	if name, _, err := net.SplitHostPort(h); err == nil {
		return name
	}
	return unbracket(h)
}

// unbracket takes the brackets off a bare IPv6 address.
func unbracket(h string) string {
	if strings.HasPrefix(h, "[") && strings.HasSuffix(h, "]") {
		return h[1 : len(h)-1]
	}
	return h
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// statusOf says why there is no token, in a code that a credential may use (gRPC
// proposal A54).
func statusOf(err error) error {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(err).Err()
	case errors.Is(err, fresh.Unavailable):
		return status.Error(codes.Unavailable, err.Error())
	}
	return status.Error(codes.Unauthenticated, err.Error())
}
