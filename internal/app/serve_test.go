package app

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
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

func TestReloadWhileTheIssuerIsDownRefusesNobody(t *testing.T) {
	dir, secret := t.TempDir(), password.NewSecret()
	url := "http://" + freeAddress(t)
	issuerFile, gateFile := filepath.Join(dir, "issuer.yaml"), filepath.Join(dir, "gate.yaml")
	text := strings.ReplaceAll(configOf("a", secret, 5), "http://127.0.0.1:4600", url)
	write(t, issuerFile, strings.ReplaceAll(text, "127.0.0.1:0", strings.TrimPrefix(url, "http://")), 0o600)
	write(t, gateFile, fmt.Sprintf("gate: {listen: 127.0.0.1:0, accept: [{issuer: %q, audience: https://b.example}]}\n", url), 0o600)
	is, g := start(t, issuerFile), start(t, gateFile)
	defer g.stop(t)
	bearer := is.token(t, "a", secret)
	if got := g.verify(t, bearer); got != http.StatusOK {
		t.Fatalf("before: %d", got)
	}
	is.stop(t)
	g.hangup(t, "msg=reloaded")
	if got := g.verify(t, bearer); got != http.StatusOK {
		t.Errorf("after a reload while the issuer is down: %d, want the keys that were known to serve on", got)
	}
}

func TestRefusedReloadLeavesTheKeysAlone(t *testing.T) {
	dir, secret := t.TempDir(), password.NewSecret()
	file := filepath.Join(dir, "longcase.yaml")
	good := configOf("a", secret, 5)
	write(t, file, good, 0o600)
	s := start(t, file)
	defer s.stop(t)
	before := s.get(t, "/jwks")
	bad := strings.Replace(good, "  clients:", "  signing: {algorithm: EdDSA}\n  clients:\n"+
		`    - {id: k, authenticate: private_key_jwt, jwks: {file: missing.jwks}, grants: [client_credentials], audiences: ["https://b.example"]}`, 1)
	write(t, file, bad, 0o600)
	s.hangup(t, "not reloaded, nothing changed")
	if after := s.get(t, "/jwks"); after != before {
		t.Errorf("a refused file changed the key set:\n%s\n%s", before, after)
	}
}

func TestRenewedCertificateIsServedAfterReload(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "longcase.yaml")
	first := writeCertificate(t, dir)
	write(t, file, "console: {listen: 127.0.0.1:0, tls: {certificate: tls.crt, key: tls.key}}\n"+
		"gate: {listen: 127.0.0.1:0, ext_authz: 127.0.0.1:0, tls: {certificate: tls.crt, key: tls.key}, accept: [{issuer: https://i.test, audience: https://b.example, jwks: {file: keys.jwks}}]}\n", 0o600)
	signedFor(t, dir, "https://i.test", "https://b.example")
	s := start(t, file)
	defer s.stop(t)
	listeners := regexp.MustCompile(`listening (\S+) \S+://(\S+)`).FindAllStringSubmatch(s.log.String(), -1)
	if len(listeners) != 3 {
		t.Fatalf("listens at %v, want gate, ext_authz and console", listeners)
	}
	for _, l := range listeners {
		if got := serial(t, l[2]); got != first {
			t.Fatalf("%s serves certificate %s, want %s", l[1], got, first)
		}
	}
	second := writeCertificate(t, dir)
	s.hangup(t, "msg=reloaded")
	for _, l := range listeners {
		if got := serial(t, l[2]); got != second {
			t.Errorf("%s after the reload: certificate %s, want the renewed %s", l[1], got, second)
		}
	}
}

func TestHealthDoesNotWaitForABody(t *testing.T) {
	file := filepath.Join(t.TempDir(), "longcase.yaml")
	write(t, file, "gate: {listen: 127.0.0.1:0, accept: [{issuer: http://127.0.0.1:9, audience: https://b.example}]}\n", 0o600)
	s := start(t, file)
	defer s.stop(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, "GET /.longcase/healthz HTTP/1.1\r\nHost: gate\r\nContent-Length: 1000\r\n\r\n")
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || line != "HTTP/1.1 200 OK\r\n" {
		t.Errorf("healthz with a body that never comes: %q, %v", line, err)
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
	url    string // of the first room
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
	s.url = regexp.MustCompile(`listening \S+ (\S+)`).FindStringSubmatch(s.log.String())[1]
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
	status, _ := s.post(t, client, secret)
	return status
}

// token asks for a token and returns it.
func (s *server) token(t *testing.T, client, secret string) string {
	t.Helper()
	_, body := s.post(t, client, secret)
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.AccessToken == "" {
		t.Fatalf("token answer %q: %v", body, err)
	}
	return answer.AccessToken
}

func (s *server) post(t *testing.T, client, secret string) (int, string) {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {client}, "client_secret": {secret}}
	resp, err := http.PostForm(s.url+"/token", form)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, readAll(t, resp)
}

// verify asks the gate to judge a token, as soon as it can, and returns the
// status.
func (s *server) verify(t *testing.T, bearer string) int {
	t.Helper()
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		req, err := http.NewRequest(http.MethodGet, s.url+"/verify", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+bearer)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		readAll(t, resp)
		if resp.StatusCode != http.StatusServiceUnavailable || time.Since(began) > settleTime {
			return resp.StatusCode
		}
	}
}

func (s *server) get(t *testing.T, path string) string {
	t.Helper()
	resp, err := http.Get(s.url + path)
	if err != nil {
		t.Fatal(err)
	}
	return readAll(t, resp)
}

// serial is the serial number of the certificate that is served at an address.
func serial(t *testing.T, address string) string {
	t.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}) // its name does not matter here
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

func readAll(t *testing.T, resp *http.Response) string {
	t.Helper()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := listenLoopback()
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// writeCertificate writes a fresh self-signed certificate to tls.crt and
// tls.key, and returns its serial number.
func writeCertificate(t *testing.T, dir string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{SerialNumber: serial, NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "tls.crt"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), 0o600)
	write(t, filepath.Join(dir, "tls.key"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})), 0o600)
	return serial.String()
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
