package gate

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/longcase/longcase/internal/gatetest"
	"github.com/longcase/longcase/token"
)

// rawRequest sends lines byte for byte and returns the status, so that no
// client library cleans them up.
func rawRequest(t *testing.T, s *httptest.Server, lines ...string) int {
	t.Helper()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "%s\r\nConnection: close\r\n\r\n", strings.Join(lines, "\r\n"))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%q: %v", lines[0], err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// proxied is a server of a gate in front of upstream, open to readers at /.
func proxied(t *testing.T, key token.Signer, upstream string) *httptest.Server {
	t.Helper()
	cfg := config(key)
	cfg.Routes = []Route{{Path: "/", Upstream: upstream}}
	g := mustNew(t, cfg)
	run(t, g)
	return serve(t, g.Handler())
}

// RFC 9700 section 4.13, CVE-2025-64484: in every spelling.
func TestClientsCannotSayWhoTheyAre(t *testing.T) {
	key := newSigner(t, "k1")
	var seen *http.Request
	upstream := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r }))
	s := proxied(t, key, upstream.URL)
	raw := sign(t, key, good())
	lines := []string{"GET /x HTTP/1.1", "Host: api.test", "Authorization: Bearer " + raw, "X-Kept: yes", "X-Tokenizer: yes"}
	for _, name := range []string{
		"X-Token-Subject", "x-token-subject", "X_Token_Subject", "X-Token_Subject", "x.token.subject", "X-Token-Client", "X_TOKEN_SCOPE",
		"X-Token-Expires", "X-Token-Admin", "X-Forwarded-For", "X_Forwarded_For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-User",
		"X-Forwarded_Email", "X-Forwarded-Uri", "X-Forwarded-Prefix", "X-Real-IP", "X_Real_Ip", "Forwarded", "X-Original-URI", "X-Original-URL",
		"X-Original-Method", "X-Rewrite-URL", "X-HTTP-Method-Override", "X-Method-Override", "X_HTTP_Method",
	} {
		lines = append(lines, name+": mallory")
	}
	if status := rawRequest(t, s, lines...); status != 200 {
		t.Fatalf("status %d", status)
	}
	for name, values := range seen.Header {
		if strings.Contains(strings.Join(values, ","), "mallory") {
			t.Errorf("the upstream was told %s: %v", name, values)
		}
	}
	for name, want := range map[string]string{
		"X-Token-Subject": "alice", "X-Token-Client": "web", "X-Token-Scope": "orders.read", "X-Token-Expires": fmt.Sprint(at(300).Unix()),
		"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "api.test", "X-Forwarded-Proto": "http",
		"X-Kept": "yes", "X-Tokenizer": "yes", "Authorization": "Bearer " + raw,
	} {
		if got := seen.Header.Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
}

// "Connection" names headers to drop on the way; the gate's own are not among
// them.
func TestConnectionCannotTakeIdentityAway(t *testing.T) {
	key := newSigner(t, "k1")
	var seen http.Header
	upstream := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.Header }))
	s := proxied(t, key, upstream.URL)
	rawRequest(t, s, "GET /x HTTP/1.1", "Host: x", "Authorization: Bearer "+sign(t, key, good()), "Connection: X-Token-Subject, X-Forwarded-For")
	if seen.Get("X-Token-Subject") != "alice" || seen.Get("X-Forwarded-For") != "127.0.0.1" {
		t.Errorf("the upstream was told %v", seen)
	}
}

func TestAnUpstreamThatIsDownIsABadGateway(t *testing.T) {
	key := newSigner(t, "k1")
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	s := proxied(t, key, dead.URL)
	req, _ := http.NewRequest(http.MethodGet, s.URL+"/x", nil)
	req.Header.Set("Authorization", "Bearer "+sign(t, key, good()))
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	p := readProblem(t, resp)
	if p.Status != 502 || resp.StatusCode != 502 || p.Reason != reasonBadGateway || strings.Contains(p.Detail, "127.0.0.1") {
		t.Errorf("%d %+v", resp.StatusCode, p)
	}
}

// A refused request does not reach the upstream, body or not.
func TestARefusedRequestGoesNoFurther(t *testing.T) {
	key := newSigner(t, "k1")
	upstream := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the upstream was called") }))
	s := proxied(t, key, upstream.URL)
	if status := rawRequest(t, s, "POST /x HTTP/1.1", "Host: x", "Content-Length: 0"); status != 401 {
		t.Errorf("status %d", status)
	}
}

func TestAnswersStream(t *testing.T) {
	key := newSigner(t, "k1")
	next := make(chan struct{})
	upstream := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "one\n")
		w.(http.Flusher).Flush()
		<-next
		fmt.Fprint(w, "two\n")
	}))
	s := proxied(t, key, upstream.URL)
	req, _ := http.NewRequest(http.MethodGet, s.URL+"/x", nil)
	req.Header.Set("Authorization", "Bearer "+sign(t, key, good()))
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	if line, err := lines.ReadString('\n'); err != nil || line != "one\n" {
		t.Fatalf("%q, %v before the answer is complete", line, err)
	}
	close(next)
	if rest, err := io.ReadAll(lines); err != nil || string(rest) != "two\n" {
		t.Errorf("%q, %v", rest, err)
	}
}

// A caller that hangs up ends the call to the upstream.
func TestACallerThatLeavesIsNotWaitedFor(t *testing.T) {
	key := newSigner(t, "k1")
	began, ended := make(chan struct{}), make(chan struct{})
	upstream := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		close(ended)
	}))
	s := proxied(t, key, upstream.URL)
	ctx, cancel := context.WithCancel(context.Background())
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/x", nil)
	req.Header.Set("Authorization", "Bearer "+sign(t, key, good()))
	go func() { <-began; cancel() }()
	if resp, err := s.Client().Do(req); err == nil {
		resp.Body.Close()
		t.Error("an answer to nobody")
	}
	<-ended
}

// An upstream that speaks HTTP/2 over an upgraded connection would take further
// requests on it, which nobody judges: h2c is no way past the gate, a WebSocket
// is what it is.
func TestOnlyAWebSocketIsAnUpgrade(t *testing.T) {
	key := newSigner(t, "k1")
	var seen http.Header
	upstream := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header
		if to := r.Header.Get("Upgrade"); to != "" {
			w.Header().Set("Connection", "Upgrade")
			w.Header().Set("Upgrade", to)
			w.WriteHeader(http.StatusSwitchingProtocols)
		}
	}))
	s := proxied(t, key, upstream.URL)
	raw := sign(t, key, good())
	for to, status := range map[string]int{"websocket": 101, "WebSocket": 101, "h2c": 200, "H2C": 200, "websocket, h2c": 200, "h2c, websocket": 200, "TLS/1.0": 200, "HTTP/2.0": 200} {
		got := rawRequest(t, s, "GET /x HTTP/1.1", "Host: x", "Authorization: Bearer "+raw, "Connection: Upgrade, HTTP2-Settings", "Upgrade: "+to, "HTTP2-Settings: AAMAAABkAAQAAP__")
		if got != status || (seen.Get("Upgrade") != "") != (status == 101) || seen.Get("HTTP2-Settings") != "" {
			t.Errorf("%s: %d, the upstream saw %v", to, got, seen)
		}
	}
	if got := rawRequest(t, s, "GET /x HTTP/1.1", "Host: x", "Authorization: Bearer "+raw, "Connection: Upgrade", "Upgrade: websocket", "Upgrade: h2c"); got != 101 || len(seen["Upgrade"]) != 1 || seen.Get("Upgrade") != "websocket" {
		t.Errorf("two at once: %d, the upstream saw %v", got, seen)
	}
}

// Early hints and the like are answers before the answer: its own header stays.
func TestAnInformationalAnswerTakesNothingAway(t *testing.T) {
	key, p := newSigner(t, "k1"), gatetest.NewProver(t)
	for _, tt := range []struct {
		name  string
		hints bool
		own   string // the upstream's own nonce
	}{{"plain", false, ""}, {"after hints", true, ""}, {"where the upstream has one", false, "theirs"}} {
		upstream := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if tt.hints {
				w.Header().Set("Link", "</a.css>; rel=preload")
				w.WriteHeader(http.StatusEarlyHints)
			}
			if tt.own != "" {
				w.Header().Set("DPoP-Nonce", tt.own)
			}
			w.WriteHeader(http.StatusOK)
		}))
		g := bindingGate(t, key, func(c *Config) { c.Routes[1].Upstream = upstream.URL })
		run(t, g)
		s := serve(t, g.Handler())
		raw, nonce := p.Token(t, key), g.keys.nonces.At(at(-150))
		req, _ := http.NewRequest("GET", s.URL+"/dpop/1", nil)
		req.Header.Set("Authorization", "DPoP "+raw)
		req.Header.Set("DPoP", p.Proof(t, "GET", called+"/dpop/1", raw, nonce, nil))
		resp, err := s.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := resp.Header["Dpop-Nonce"]; resp.StatusCode != 200 || len(got) != 1 || got[0] != g.keys.nonces.At(start) {
			t.Errorf("%s: %d, DPoP-Nonce %q", tt.name, resp.StatusCode, got)
		}
	}
}
