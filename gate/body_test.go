package gate

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"
)

// far is long after the answer to a body that never comes must have been
// written, and no measure of how fast.
const far = 20 * time.Second

// TestABodyThatNeverComesHoldsNoAnswer speaks to a server without any deadline
// of its own, over a socket.
func TestABodyThatNeverComesHoldsNoAnswer(t *testing.T) {
	key := newSigner(t, "k1")
	cfg := config(key)
	cfg.Routes = []Route{{Path: "/orders/", Upstream: "http://127.0.0.1:1"}}
	g := mustNew(t, cfg)
	cfg.Forward, cfg.TrustedProxies = Nginx, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	forward := mustNew(t, cfg)
	token := "Authorization: Bearer " + sign(t, key, good()) + "\r\n"
	original := "X-Original-Method: GET\r\nX-Original-URI: /orders/1\r\n"
	tests := []struct {
		name, path, headers string
		handler             http.Handler
		want                int
	}{
		{"refused by the proxy", "/orders/1", "", g.Handler(), 401},
		{"refused by the middleware", "/orders/1", "", g.Middleware(http.NotFoundHandler()), 401},
		{"no route", "/other", token, g.Handler(), 404},
		{"an ambiguous path", "/orders//1", token, g.Handler(), 400},
		{"refused by /verify", verifyPath, original, forward.Handler(), 401},
		{"accepted by /verify", verifyPath, original + token, forward.Handler(), 200},
	}
	lengths := []string{"Content-Length: 100000\r\n", "Transfer-Encoding: chunked\r\n"}
	var waiting []net.Conn // all at once: each waits a second
	for _, tt := range tests {
		for _, length := range lengths {
			conn := dial(t, serve(t, tt.handler))
			fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: a\r\n%s%s\r\n", tt.path, tt.headers, length)
			waiting = append(waiting, conn)
		}
	}
	for i, conn := range waiting {
		tt := tests[i/len(lengths)]
		t.Run(tt.name+", "+lengths[i%len(lengths)][:7], func(t *testing.T) {
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatalf("no answer: %v", err)
			}
			resp.Body.Close()
			if resp.StatusCode != tt.want || !resp.Close {
				t.Errorf("answer %d, close %v; want %d and an end, since the body may still come", resp.StatusCode, resp.Close, tt.want)
			}
		})
	}
}

// A body in time keeps the connection, and its deadline is not the next
// request's.
func TestARefusedBodyThatComesKeepsTheConnection(t *testing.T) {
	t.Parallel()
	key := newSigner(t, "k1")
	g := mustNew(t, config(key))
	conn := dial(t, serve(t, g.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))))
	answers := bufio.NewReader(conn)
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody")
	if resp := readAnswer(t, answers); resp.status != 401 {
		t.Fatalf("answer %+v", resp)
	}
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\nContent-Length: 8\r\n\r\nslow", sign(t, key, good()))
	time.Sleep(bodyWithin + 200*time.Millisecond)
	fmt.Fprint(conn, "body")
	if resp := readAnswer(t, answers); resp != (answer{200, "slowbody"}) {
		t.Errorf("an accepted body that took longer: %+v", resp)
	}
}

// An accepted upload through the proxy may take its time.
func TestAnAcceptedBodyMayBeSlow(t *testing.T) {
	t.Parallel()
	key := newSigner(t, "k1")
	upstream := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %v", body, err)
	}))
	cfg := config(key)
	cfg.Routes = []Route{{Path: "/", Upstream: upstream.URL}}
	g := mustNew(t, cfg)
	run(t, g)
	conn := dial(t, serve(t, g.Handler()))
	fmt.Fprintf(conn, "PUT / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\nContent-Length: 8\r\n\r\nslow", sign(t, key, good()))
	time.Sleep(bodyWithin + 200*time.Millisecond)
	fmt.Fprint(conn, "body")
	if resp := readAnswer(t, bufio.NewReader(conn)); resp != (answer{200, "slowbody <nil>"}) {
		t.Errorf("answer %+v", resp)
	}
}

// dial connects to s to talk byte by byte.
func dial(t *testing.T, s *httptest.Server) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(far)); err != nil {
		t.Fatal(err)
	}
	return conn
}

type answer struct {
	status int
	body   string
}

func readAnswer(t *testing.T, from *bufio.Reader) answer {
	t.Helper()
	resp, err := http.ReadResponse(from, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, string(body)}
}
