package app

import (
	"bytes"
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"text/template"

	"golang.org/x/sync/errgroup"

	"github.com/longcase/longcase/internal/config"
	"github.com/longcase/longcase/issuer/password"
)

//go:embed local.yaml
var localYAML string

//go:embed local.txt
var localText string

// local is what the templates of the local setup show.
type local struct {
	Data         string
	Upstream     string
	Secret       string
	SecretHash   string
	Password     string
	PasswordHash string
}

// localSetup makes the configuration of `serve` without a file. The upstream
// listens already; the secrets are new and kept nowhere.
func localSetup(ctx context.Context, data string, upstream net.Listener) (*config.Config, local, error) {
	l := local{Data: data, Upstream: "http://" + upstream.Addr().String(), Secret: password.NewSecret(), Password: rand.Text()}
	l.SecretHash = password.HashSecret(l.Secret).String()
	hash, err := password.NewHasher(1).Hash(ctx, l.Password)
	if err != nil {
		return nil, l, err
	}
	l.PasswordHash = hash.String()
	var text bytes.Buffer
	if err := l.write(&text, localYAML); err != nil {
		return nil, l, err
	}
	cfg, err := config.Parse("(local setup)", text.Bytes())
	return cfg, l, err
}

// write fills one of the templates.
func (l local) write(w io.Writer, text string) error {
	t, err := template.New("local").Parse(text)
	if err != nil {
		return err
	}
	return t.Execute(w, l)
}

// demoUpstream is the service behind the gate: it says who called.
func demoUpstream() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]string{ // the peer may be gone
			"service": "orders (demo)",
			"path":    r.URL.Path,
			"client":  r.Header.Get("X-Token-Client"),
			"subject": r.Header.Get("X-Token-Subject"),
			"scope":   r.Header.Get("X-Token-Scope"),
			"expires": r.Header.Get("X-Token-Expires"),
		})
	})
}

// listenLoopback opens a free port for the demo upstream.
func listenLoopback() (net.Listener, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("demo upstream: %w", err)
	}
	return ln, nil
}

// serveDemo serves the demo upstream until ctx ends.
func serveDemo(ctx context.Context, g *errgroup.Group, ln net.Listener) {
	server := &http.Server{Handler: demoUpstream(), ReadHeaderTimeout: headerTimeout}
	g.Go(func() error {
		defer context.AfterFunc(ctx, func() { server.Close() })()
		if err := server.Serve(ln); ctx.Err() == nil {
			return fmt.Errorf("demo upstream: %w", err)
		}
		return nil
	})
}
