package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/longcase/longcase/gate"
	"github.com/longcase/longcase/gate/extauthz"
	"github.com/longcase/longcase/internal/admin"
	"github.com/longcase/longcase/internal/agent"
	"github.com/longcase/longcase/internal/config"
)

// Bounds of every listener. Bodies are bounded by the rooms.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 90 * time.Second
	maxHeader     = 48 << 10 // a token of 16 KiB and its company
	drainTimeout  = 10 * time.Second
)

// room is one listener and what stands behind it.
type room struct {
	place
	handler *swap                      // replaced as a whole by a reload
	tls     atomic.Pointer[tls.Config] // nil: plain; replaced by a reload
	ln      net.Listener
	server  *http.Server
}

// open listens. The error says which room and what to do.
func (r *room) open(log *slog.Logger) error {
	listen, files := r.keys()
	tlsConfig, err := serverTLS(r.place)
	if err != nil {
		return fmt.Errorf("%s: %w", files, err)
	}
	ln, err := listenAt(r.listen.Listen)
	if err != nil {
		return fmt.Errorf("%s: %w: is another server running?", listen, err)
	}
	r.ln = ln
	r.tls.Store(tlsConfig)
	r.server = &http.Server{
		Handler:           r.handler,
		TLSConfig:         r.tlsConfig(),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       bodyTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	switch r.room {
	case roomGate:
		r.server.ReadTimeout = 0 // an upload may take its time
	case roomAgent:
		agent.Bound(r.server)
	}
	return nil
}

// authorizer judges for Envoy with the gate of now: a reload puts another in its
// place.
type authorizer struct{ h *house }

func (a authorizer) Judge(ctx context.Context, r gate.Request) gate.Answer {
	if s := a.h.shift.Load(); s != nil {
		return s.gate.Judge(ctx, r)
	}
	return waitingAnswer()
}

func (a authorizer) Refuse(ctx context.Context, r gate.Request, why string) gate.Answer {
	if s := a.h.shift.Load(); s != nil {
		return s.gate.Refuse(ctx, r, why)
	}
	return waitingAnswer()
}

func (a authorizer) Ready() error {
	if s := a.h.shift.Load(); s != nil {
		return s.gate.Ready()
	}
	return a.h.reason()
}

// authorize answers Envoy until ctx ends. Who may reach the listener is decided
// by the file: by its tls.client_ca, by loopback, or by plain: true.
func (r *room) authorize(ctx context.Context, h *house) error {
	open := r.listen.Plain || r.listen.TLS != nil && r.listen.TLS.ClientCA == ""
	server, err := extauthz.New(extauthz.Config{Gate: authorizer{h}, TLS: r.askingConfig(), Open: open})
	if err != nil {
		return err
	}
	return server.Serve(ctx, r.ln)
}

// askingConfig is tlsConfig with what it asks of clients in sight.
func (r *room) askingConfig() *tls.Config {
	c := r.tlsConfig()
	if c != nil {
		c.ClientAuth = r.tls.Load().ClientAuth
	}
	return c
}

// listenAt listens on host:port or unix:PATH. Whoever may reach the socket may
// connect; the agent asks the kernel who it is.
func listenAt(at string) (net.Listener, error) {
	path, socket := strings.CutPrefix(at, "unix:")
	if !socket {
		return net.Listen("tcp", at)
	}
	if err := admin.RemoveStale(path); err != nil {
		return nil, err
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := openSocket(path); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return ln, nil
}

// openSocket lets everyone connect to the socket at path, and changes nothing
// else that somebody may have put there.
func openSocket(path string) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	defer func() { _ = unix.Close(fd) }()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return fmt.Errorf("%s is no socket any more: somebody else writes to its folder", path)
	}
	return os.Chmod(fmt.Sprintf("/proc/self/fd/%d", fd), 0o666) //nolint:gosec // the agent asks the kernel who connects
}

// tlsConfig asks for the room's TLS files at each connection, since they are
// renewed while it serves.
func (r *room) tlsConfig() *tls.Config {
	if r.tls.Load() == nil {
		return nil
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return r.tls.Load(), nil },
	}
}

// url is where the room listens, as a person would type it.
func (r *room) url() string {
	if strings.HasPrefix(r.listen.Listen, "unix:") {
		return r.listen.Listen
	}
	scheme := "http"
	switch {
	case r.room == roomExtAuthz:
		scheme = "grpc"
	case r.listen.TLS != nil:
		scheme = "https"
	}
	return scheme + "://" + r.ln.Addr().String()
}

// serve answers until ctx ends, then drains: new connections are refused and
// requests under way get drainTimeout to finish. Those that do not are cut.
func (r *room) serve(ctx context.Context, log *slog.Logger) error {
	r.server.BaseContext = func(net.Listener) context.Context { return context.WithoutCancel(ctx) }
	drained := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
		defer cancel()
		drained <- r.server.Shutdown(bound)
	})
	err := r.accept()
	if stop() || !errors.Is(err, http.ErrServerClosed) {
		return errors.Join(fmt.Errorf("%s: %w", r.room, err), r.server.Close())
	}
	if err := <-drained; err != nil {
		log.Warn("requests were still under way after the drain and are cut", "room", r.room, "after", drainTimeout)
		return r.server.Close()
	}
	return nil
}

func (r *room) accept() error {
	if r.server.TLSConfig != nil {
		return r.server.ServeTLS(r.ln, "", "")
	}
	return r.server.Serve(r.ln)
}

// serverTLS reads the files of a place; nil for none. Where tokens are bound to
// certificates, clients are asked for one, whoever signed it: the token says
// which it must be (RFC 8705 section 4).
func serverTLS(p place) (*tls.Config, error) {
	c := p.listen.TLS
	if c == nil {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(c.Certificate, c.Key)
	if err != nil {
		return nil, err
	}
	out := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	if p.asks {
		out.ClientAuth = tls.RequestClientCert
	}
	if c.ClientCA == "" {
		return out, nil
	}
	out.ClientCAs, err = authorities(c.ClientCA)
	out.ClientAuth = tls.RequireAndVerifyClientCert
	return out, err
}

// authorities reads a PEM file of certificates.
func authorities(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no PEM certificate", path)
	}
	return pool, nil
}

// upstreamTLS reads the files of c for connections to an upstream.
func upstreamTLS(c *config.UpstreamTLS) (*tls.Config, error) {
	out := &tls.Config{MinVersion: tls.VersionTLS12}
	var err error
	if c.CA != "" {
		if out.RootCAs, err = authorities(c.CA); err != nil {
			return nil, err
		}
	}
	if c.Certificate != "" {
		cert, err := tls.LoadX509KeyPair(c.Certificate, c.Key)
		if err != nil {
			return nil, err
		}
		out.Certificates = []tls.Certificate{cert}
	}
	return out, nil
}
