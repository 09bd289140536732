package app

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/longcase/longcase/internal/config"
	"github.com/longcase/longcase/issuer/password"
)

// patience bounds a wait for something that happens within milliseconds on a
// quiet machine.
const patience = 30 * time.Second

func TestReloadValidatesFirst(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := t.TempDir()
	file, secret := filepath.Join(dir, "longcase.yaml"), password.NewSecret()
	write(t, file, configOf("first", secret, 5), 0o600)
	s := start(t, file)
	defer s.stop(t)

	if got := s.ask(t, "first", secret); got != http.StatusOK {
		t.Fatalf("first client: %d", got)
	}
	write(t, file, "issuer: {url: nonsense}\n", 0o600)
	s.hangup(t, "not reloaded, nothing changed")
	if got := s.ask(t, "first", secret); got != http.StatusOK {
		t.Errorf("after a bad file: %d, want the old configuration to serve on", got)
	}
	write(t, file, configOf("second", secret, 5), 0o600)
	s.hangup(t, "msg=reloaded")
	if got := s.ask(t, "second", secret); got != http.StatusOK {
		t.Errorf("the new file's client: %d", got)
	}
	if got := s.ask(t, "first", secret); got != http.StatusUnauthorized {
		t.Errorf("the old file's client: %d, want it gone", got)
	}
}

func TestSecondProcessOnOneDirectoryIsRefused(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "longcase.yaml")
	write(t, file, configOf("a", password.NewSecret(), 5), 0o600)
	s := start(t, file)
	defer s.stop(t)
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	err = Serve(t.Context(), Options{Config: cfg, Stdout: io.Discard, Stderr: io.Discard})
	if err == nil || !strings.Contains(err.Error(), "data") {
		t.Errorf("second process: %v, want a refusal that names the directory", err)
	}
}

func TestLocalSetupIsAGoodFile(t *testing.T) {
	upstream, err := listenLoopback()
	if err != nil {
		t.Fatal(err)
	}
	defer upstream.Close()
	cfg, l, err := localSetup(t.Context(), t.TempDir(), upstream)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := l.write(&text, localText); err != nil {
		t.Fatal(err)
	}
	if cfg.Issuer == nil || cfg.Gate == nil || cfg.Console == nil || !strings.Contains(text.String(), l.Secret) {
		t.Errorf("the local setup lacks a room, or its text the secret")
	}
}

func configOf(client, secret string, minutes int) string {
	return fmt.Sprintf(`
data: data
issuer:
  url: http://127.0.0.1:4600
  listen: 127.0.0.1:0
  lifetimes: {access: %dm}
  clients:
    - {id: %s, authenticate: secret, secret: {hash: "%s"}, grants: [client_credentials], audiences: ["https://b.example"]}
`, minutes, client, password.HashSecret(secret))
}

// server is Serve in this process.
type server struct {
	cancel context.CancelFunc
	done   chan error
	log    *lockedBuffer
	issuer string
}

func start(t *testing.T, file string) *server {
	t.Helper()
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &server{cancel: cancel, done: make(chan error, 1), log: &lockedBuffer{}}
	go func() { s.done <- Serve(ctx, Options{Config: cfg, Stdout: io.Discard, Stderr: s.log}) }()
	s.wait(t, "\nready\n")
	s.issuer = regexp.MustCompile(`listening issuer (\S+)`).FindStringSubmatch(s.log.String())[1]
	return s
}

func (s *server) stop(t *testing.T) {
	t.Helper()
	http.DefaultClient.CloseIdleConnections()
	s.cancel()
	if err := <-s.done; err != nil {
		t.Errorf("Serve = %v, want nil after a clean end", err)
	}
}

// hangup sends SIGHUP and waits for what the log says of it.
func (s *server) hangup(t *testing.T, want string) {
	t.Helper()
	s.log.reset()
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.wait(t, want)
}

func (s *server) wait(t *testing.T, want string) {
	t.Helper()
	for began := time.Now(); !strings.Contains(s.log.String(), want); time.Sleep(5 * time.Millisecond) {
		select {
		case err := <-s.done:
			t.Fatalf("Serve ended: %v\n%s", err, s.log)
		default:
		}
		if time.Since(began) > patience {
			t.Fatalf("the log never said %q:\n%s", want, s.log)
		}
	}
}

// ask asks for a token and returns the status.
func (s *server) ask(t *testing.T, client, secret string) int {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {client}, "client_secret": {secret}}
	resp, err := http.PostForm(s.issuer+"/token", form)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *lockedBuffer) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.Reset()
}
