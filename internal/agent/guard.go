package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/longcase/longcase/internal/agent/peer"
	"github.com/longcase/longcase/token"
)

// Bounds of a server that publishes.
const (
	maxHeader     = 16 << 10
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	writeTimeout  = 60 * time.Second
	idleTimeout   = 2 * time.Minute
)

// A Refusal is a stable code for why a request was refused, for metrics.
type Refusal string

// The refusals.
const (
	ByListener  Refusal = "listener"    // the connection came in on an address that is not this machine's own
	ByPeer      Refusal = "peer"        // the peer's uid is not known, or not allowed
	ByHost      Refusal = "host"        // Host is another name: DNS rebinding
	ByBrowser   Refusal = "browser"     // a page asked
	ByForwarded Refusal = "forwarded"   // somebody asked for somebody else
	ByRequest   Refusal = "request"     // method, path, body or query are not the protocol's
	ByHeader    Refusal = "header"      // the protocol's own header or secret is missing or wrong
	ByNotFound  Refusal = "not_found"   // nothing is published there
	ByUpstream  Refusal = "unavailable" // the credential cannot be had now
)

// Bound makes a server fit to publish: it learns who is at the other end of
// each connection, and its requests are bounded in size and time. Call it before
// the server serves.
func Bound(s *http.Server) {
	before := s.ConnContext
	s.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if before != nil {
			ctx = before(ctx, c)
		}
		return withConn(ctx, c)
	}
	s.MaxHeaderBytes = maxHeader
	s.ReadHeaderTimeout, s.ReadTimeout = headerTimeout, readTimeout
	s.WriteTimeout, s.IdleTimeout = writeTimeout, idleTimeout
}

// caller is who is at the other end of one connection. The kernel is asked
// once, at the first request.
type caller struct {
	local net.Addr
	uid   func() (uint32, error)
}

type callerKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	ask := sync.OnceValues(func() (uint32, error) { return peer.UID(c) })
	return context.WithValue(ctx, callerKey{}, caller{c.LocalAddr(), ask})
}

var errUnbound = errors.New("the server does not know its connections")

// refusal is a no: a status, a code and words for the client.
type refusal struct {
	status int
	why    Refusal
	words  string
}

func no(status int, why Refusal, format string, args ...any) *refusal {
	return &refusal{status, why, fmt.Sprintf(format, args...)}
}

// Guard lets next answer only whom the agent itself would answer, whatever is
// asked. Its server must be Bound.
func (a *Agent) Guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, refused := a.admitCaller(r); refused != nil {
			a.refused("", "", refused.why)
			write(w, plainly(refused))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// admit decides who may ask at all, before what is asked. It returns the peer's
// uid.
func (a *Agent) admit(r *http.Request) (uint32, *refusal) {
	uid, refused := a.admitCaller(r)
	if refused != nil {
		return 0, refused
	}
	return uid, admitShape(r)
}

// admitCaller decides by the connection, and by whose name is asked for.
func (a *Agent) admitCaller(r *http.Request) (uint32, *refusal) {
	c, ok := r.Context().Value(callerKey{}).(caller)
	if !ok {
		return 0, no(http.StatusForbidden, ByPeer, "%v", errUnbound)
	}
	if !ownAddress(c.local) {
		return 0, no(http.StatusForbidden, ByListener, "this address is not loopback: credentials are published to this machine only")
	}
	uid, refused := a.admitPeer(c)
	if refused != nil {
		return 0, refused
	}
	return uid, admitOrigin(r, c.local)
}

func (a *Agent) admitPeer(c caller) (uint32, *refusal) {
	uid, err := c.uid()
	if err != nil {
		a.cfg.Log.Debug("a peer is refused", "err", err)
		return 0, no(http.StatusForbidden, ByPeer, "%v", peer.ErrUnknown)
	}
	if uid == 0 || uid == a.uid {
		return uid, nil
	}
	for _, allowed := range a.cfg.AllowUID {
		if uid == allowed {
			return uid, nil
		}
	}
	return 0, no(http.StatusForbidden, ByPeer, "uid %d may not ask: list it under agent.allow_uid", uid)
}

func ownAddress(local net.Addr) bool {
	switch l := local.(type) {
	case *net.UnixAddr:
		return true
	case *net.TCPAddr:
		return ours(l.AddrPort().Addr())
	}
	return false
}

// admitOrigin refuses what a page in a browser, or somebody behind a proxy, has
// sent.
func admitOrigin(r *http.Request, local net.Addr) *refusal {
	if !hostIs(r.Host, local) {
		return no(http.StatusForbidden, ByHost, "Host %.100q is not this listener's: ask for its address", r.Host)
	}
	if _, yes := r.Header["Origin"]; yes {
		return no(http.StatusForbidden, ByBrowser, "a page may not ask (Origin)")
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "none" {
		return no(http.StatusForbidden, ByBrowser, "a page may not ask (Sec-Fetch-Site)")
	}
	for name := range r.Header {
		if forwarding(name) {
			return no(http.StatusForbidden, ByForwarded, "a forwarded request is refused (%s)", name)
		}
	}
	return nil
}

// forwarding reports whether a header is one that a proxy adds, each its own.
func forwarding(name string) bool {
	return name == "Forwarded" || name == "Via" || name == "X-Real-Ip" || strings.HasPrefix(name, "X-Forwarded-")
}

// hostIs reports whether host names the listener: a loopback name or address
// with its port, or the metadata service whose address it has.
func hostIs(host string, local net.Addr) bool {
	l, ok := local.(*net.TCPAddr)
	if !ok {
		return true // nobody's name resolves to a Unix socket
	}
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name, port = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"), "80"
	}
	if port != strconv.Itoa(l.Port) {
		return false
	}
	at := l.AddrPort().Addr().Unmap()
	if at.IsLoopback() {
		return token.Loopback(name)
	}
	if at == linkLocal[0] && (name == "metadata.google.internal" || name == "metadata") {
		return true
	}
	asked, err := netip.ParseAddr(name)
	return err == nil && asked == at
}

// admitShape wants a plain request: a path in its one spelling, and no body.
func admitShape(r *http.Request) *refusal {
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodPut:
		return no(http.StatusMethodNotAllowed, ByRequest, "method %.20s is not allowed", r.Method)
	case !strings.HasPrefix(r.RequestURI, "/"):
		return no(http.StatusBadRequest, ByRequest, "this is no proxy")
	case !onePath(r.URL.EscapedPath()):
		return no(http.StatusBadRequest, ByRequest, "the path is not in its plain spelling")
	case len(r.URL.RawQuery) > 8<<10:
		return no(http.StatusBadRequest, ByRequest, "the query is too long")
	case r.ContentLength > 0 || hasBody(r):
		return no(http.StatusRequestEntityTooLarge, ByRequest, "a body is not expected")
	}
	return nil
}

// onePath reports whether an escaped path has no other spelling: no empty
// segment but the last, no dots, nothing escaped but the @ of an account.
func onePath(path string) bool {
	path = strings.ReplaceAll(path, "%40", "@")
	if !strings.HasPrefix(path, "/") || len(path) > 1024 || strings.ContainsAny(path, "%\\;") {
		return false
	}
	segments := strings.Split(path[1:], "/")
	for i, s := range segments {
		if s == "." || s == ".." || (s == "" && i < len(segments)-1) {
			return false
		}
	}
	return true
}

// hasBody looks for the first byte of a body whose length is not said; some
// clients send an empty one in chunks.
func hasBody(r *http.Request) bool {
	if r.ContentLength == 0 || r.Body == nil {
		return false
	}
	var b [1]byte
	n, err := io.ReadFull(r.Body, b[:])
	return n > 0 || !errors.Is(err, io.EOF)
}
