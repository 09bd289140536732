package gate

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1" //nolint:gosec // RFC 6455 section 1.3 asks for it
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/longcase/longcase/internal/gatetest"
	"github.com/longcase/longcase/token"
)

// accept answers an opening handshake of RFC 6455 section 4.2.2 and says back
// each frame it gets, in capitals.
func accept(t *testing.T, closed chan<- error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Token-Subject") != "alice" || !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
			http.Error(w, "no upgrade", http.StatusBadRequest)
			return
		}
		sum := sha1.Sum([]byte(r.Header.Get("Sec-Websocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // as above
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n\r\n", base64.StdEncoding.EncodeToString(sum[:]))
		_, _ = conn.Write(frame("welcome", nil)) // the server speaks first
		for {
			text, err := readFrame(rw.Reader)
			if err != nil {
				closed <- err
				return
			}
			_, _ = conn.Write(frame(strings.ToUpper(text), nil))
		}
	})
}

// frame is one short text frame (RFC 6455 section 5.2), masked if mask is not nil.
func frame(text string, mask []byte) []byte {
	f := []byte{0x81, byte(len(text))}
	if mask == nil {
		return append(f, text...)
	}
	f[1] |= 0x80
	f = append(f, mask...)
	for i := range len(text) {
		f = append(f, text[i]^mask[i%4])
	}
	return f
}

func readFrame(from *bufio.Reader) (string, error) {
	head := make([]byte, 2)
	if _, err := io.ReadFull(from, head); err != nil {
		return "", err
	}
	mask := make([]byte, 4)
	if head[1]&0x80 != 0 {
		if _, err := io.ReadFull(from, mask); err != nil {
			return "", err
		}
	}
	text := make([]byte, head[1]&0x7f)
	_, err := io.ReadFull(from, text)
	for i := range text {
		text[i] ^= mask[i%4]
	}
	return string(text), err
}

// open sends an opening handshake.
func open(t *testing.T, s *httptest.Server, raw string) (net.Conn, *bufio.Reader, *http.Response) {
	t.Helper()
	conn := dial(t, s)
	fmt.Fprintf(conn, "GET /chat HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-Token-Subject: root\r\nAuthorization: Bearer %s\r\n\r\n", raw)
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	return conn, in, resp
}

func TestAWebSocketSpeaksBothWays(t *testing.T) {
	key := newSigner(t, "k1")
	closed := make(chan error, 1)
	s := proxied(t, key, serve(t, accept(t, closed)).URL)
	conn, in, resp := open(t, s, sign(t, key, good()))
	if resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	if text, err := readFrame(in); err != nil || text != "welcome" {
		t.Errorf("the server's first word is %q, %v", text, err)
	}
	for _, text := range []string{"hello", "again"} {
		_, _ = conn.Write(frame(text, []byte{1, 2, 3, 4}))
		if back, err := readFrame(in); err != nil || back != strings.ToUpper(text) {
			t.Errorf("%q comes back as %q, %v", text, back, err)
		}
	}
	conn.Close()
	if err := <-closed; err == nil {
		t.Error("the upstream does not hear that the client has gone")
	}
	_, _, refused := open(t, s, sign(t, key, gatetest.Good(at(-900))))
	if refused.StatusCode != 401 || refused.Header.Get("X-Token-Reason") != string(token.Expired) {
		t.Errorf("with a token that is over: %d", refused.StatusCode)
	}
}

// A connection lasts longer than the token it was opened with.
func TestAWebSocketOutlivesItsToken(t *testing.T) {
	key := newSigner(t, "k1")
	closed := make(chan error, 1)
	now := make(chan time.Time, 1)
	now <- start
	cfg := config(key)
	cfg.Now = func() time.Time { n := <-now; now <- n; return n }
	cfg.Routes = []Route{{Path: "/", Upstream: serve(t, accept(t, closed)).URL}}
	g := mustNew(t, cfg)
	run(t, g)
	s := serve(t, g.Handler())
	raw := sign(t, key, good())
	conn, in, _ := open(t, s, raw)
	_, _ = readFrame(in)
	<-now
	now <- at(3600)
	_, _ = conn.Write(frame("still here", []byte{9, 9, 9, 9}))
	if back, err := readFrame(in); err != nil || back != "STILL HERE" {
		t.Errorf("%q, %v", back, err)
	}
	if _, _, again := open(t, s, raw); again.StatusCode != 401 {
		t.Errorf("a new connection with the same token: %d", again.StatusCode)
	}
	conn.Close()
	<-closed
}

// Each piece of an upload reaches the upstream when it is sent, and the answer
// may begin before the upload ends.
func TestAnUploadStreams(t *testing.T) {
	key := newSigner(t, "k1")
	upstream := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		lines := bufio.NewReader(r.Body)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			fmt.Fprint(w, strings.ToUpper(line))
			_ = http.NewResponseController(w).Flush()
		}
	}))
	cfg := config(key)
	cfg.Routes = []Route{{Path: "/", Upstream: upstream.URL}}
	g := mustNew(t, cfg)
	run(t, g)
	s := httptest.NewUnstartedServer(g.Handler())
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	body, up := io.Pipe()
	req, _ := http.NewRequest(http.MethodPut, s.URL+"/x", body)
	req.Header.Set("Authorization", "Bearer "+sign(t, key, good()))
	go fmt.Fprint(up, "one\n")
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	for _, want := range []string{"ONE\n", "TWO\n", "THREE\n"} {
		if line, err := lines.ReadString('\n'); err != nil || line != want {
			t.Fatalf("%q, %v; want %q", line, err, want)
		}
		go fmt.Fprint(up, map[string]string{"ONE\n": "two\n", "TWO\n": "three\n"}[want])
	}
	up.Close()
	if resp.ProtoMajor != 2 {
		t.Errorf("over %s", resp.Proto)
	}
}

func TestALargeUploadComesWhole(t *testing.T) {
	key := newSigner(t, "k1")
	upstream := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%d %v", n, err)
	}))
	s := proxied(t, key, upstream.URL)
	const size = 8 << 20
	req, _ := http.NewRequest(http.MethodPost, s.URL+"/x", bytes.NewReader(make([]byte, size)))
	req.Header.Set("Authorization", "Bearer "+sign(t, key, good()))
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if got := heard(resp); got.body != fmt.Sprintf("%d <nil>", size) {
		t.Errorf("%q", got.body)
	}
}

// A client that waits for 100 is refused without its body, and heard with it.
func TestContinueIsSaidByTheUpstream(t *testing.T) {
	key := newSigner(t, "k1")
	s := proxied(t, key, serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })).URL)
	ask := func(raw string) (*bufio.Reader, net.Conn) {
		conn := dial(t, s)
		fmt.Fprintf(conn, "POST /x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\nAuthorization: Bearer %s\r\n\r\n", raw)
		return bufio.NewReader(conn), conn
	}
	in, conn := ask(sign(t, key, good()))
	if resp, err := http.ReadResponse(in, nil); err != nil || resp.StatusCode != http.StatusContinue {
		t.Fatalf("%v, %v", resp, err)
	}
	fmt.Fprint(conn, "hello")
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := heard(resp); got.status != 200 || got.body != "hello" {
		t.Errorf("%d %q", got.status, got.body)
	}
	in, _ = ask("rubbish")
	if resp, err := http.ReadResponse(in, nil); err != nil || resp.StatusCode != 401 {
		t.Errorf("%v, %v", resp, err)
	}
}

// What the upstream says at the end of its answer comes through; what a client
// says at the end of its request is a header that nobody looked at.
func TestTrailers(t *testing.T) {
	key := newSigner(t, "k1")
	var heardAtEnd http.Header
	upstream := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "Grpc-Status")
		fmt.Fprint(w, "body")
		_, _ = io.Copy(io.Discard, r.Body)
		heardAtEnd = r.Trailer
		w.Header().Set("Grpc-Status", "0")
		w.Header().Set(http.TrailerPrefix+"Checksum", "abc")
	}))
	s := proxied(t, key, upstream.URL)
	req, _ := http.NewRequest(http.MethodPost, s.URL+"/x", io.MultiReader(strings.NewReader("x")))
	req.Trailer = http.Header{"X-Token-Subject": {"mallory"}}
	req.Header.Set("Authorization", "Bearer "+sign(t, key, good()))
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if got := heard(resp); got.body != "body" || resp.Trailer.Get("Grpc-Status") != "0" || resp.Trailer.Get("Checksum") != "abc" {
		t.Errorf("%q, trailer %v", got.body, resp.Trailer)
	}
	if len(heardAtEnd) != 0 {
		t.Errorf("the upstream was told %v", heardAtEnd)
	}
}

// upstreamTLS serves HTTP/2 over TLS to whoever shows a certificate.
func upstreamTLS(t *testing.T) (*httptest.Server, *tls.Config) {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %d", r.Proto, len(r.TLS.PeerCertificates))
	}))
	s.EnableHTTP2 = true
	s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	s.StartTLS()
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return s, &tls.Config{RootCAs: roots, ServerName: "example.com", Certificates: s.TLS.Certificates}
}

func TestAnUpstreamMayHaveTLSOfItsOwn(t *testing.T) {
	key := newSigner(t, "k1")
	upstream, trust := upstreamTLS(t)
	cfg := config(key)
	cfg.Routes = []Route{
		{Path: "/good/", Upstream: upstream.URL, UpstreamTLS: trust},
		{Path: "/unknown/", Upstream: upstream.URL},
		{Path: "/other/", Upstream: upstream.URL, UpstreamTLS: &tls.Config{RootCAs: trust.RootCAs, ServerName: "elsewhere.test"}},
	}
	g := mustNew(t, cfg)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	raw := sign(t, key, good())
	for path, want := range map[string]said{"/good/x": {status: 200, body: "HTTP/2.0 1"}, "/unknown/x": {status: 502}, "/other/x": {status: 502}} {
		got := heard(do(g.Handler(), get(path, raw)))
		if got.status != want.status || want.body != "" && got.body != want.body {
			t.Errorf("%s: %d %q", path, got.status, got.body)
		}
	}
	cancel()
	<-done // and closes what is idle: no goroutine is left
}

func TestTLSThatProvesNothingIsRefused(t *testing.T) {
	key := newSigner(t, "k1")
	for name, r := range map[string]Route{
		"plain":    {Path: "/", Upstream: "http://127.0.0.1:1", UpstreamTLS: &tls.Config{}},
		"nobody":   {Path: "/", UpstreamTLS: &tls.Config{}},
		"anybody":  {Path: "/", Upstream: "https://127.0.0.1:1", UpstreamTLS: &tls.Config{InsecureSkipVerify: true}},     //nolint:gosec // refused
		"outdated": {Path: "/", Upstream: "https://127.0.0.1:1", UpstreamTLS: &tls.Config{MinVersion: tls.VersionTLS10}}, //nolint:gosec // refused
	} {
		cfg := config(key)
		cfg.Routes = []Route{r}
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "upstream TLS") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
