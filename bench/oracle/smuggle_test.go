package oracle

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/longcase/longcase/gate"
	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify"
)

// A witness is an upstream that remembers what it was told of each request.
type witness struct {
	mu   sync.Mutex
	told []http.Header
}

func (w *witness) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	told := r.Header.Clone()
	for name, values := range r.Trailer {
		told[name] = append(told[name], values...)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = append(w.told, told)
}

// take returns what was told since the last take.
func (w *witness) take() []http.Header {
	w.mu.Lock()
	defer w.mu.Unlock()
	told := w.told
	w.told = nil
	return told
}

// watched is a gate on a real socket before a witness on another.
func watched(t *testing.T) (address string, w *witness) {
	t.Helper()
	w = &witness{}
	upstream := httptest.NewServer(w)
	t.Cleanup(upstream.Close)
	transport := &http.Transport{MaxIdleConnsPerHost: 8}
	t.Cleanup(transport.CloseIdleConnections)
	g := newGate(t, gate.Config{Issuers: world(verify.RFC9068), Transport: transport, Routes: []gate.Route{{Path: "/", Upstream: upstream.URL}}})
	s := httptest.NewServer(g.Handler())
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), w
}

// reserved are the names that only the gate may write, in the lower case and
// with the hyphens that a reader of CGI variables folds them to.
func reserved() []string {
	list := []string{"forwarded", "x-real-ip", "x-rewrite-url", "x-http-method", "x-http-method-override", "x-method-override"}
	for _, rest := range []string{"subject", "client", "scope", "expires", "issuer", "admin", "reason", "problem", "status", "x"} {
		list = append(list, "x-token-"+rest)
	}
	for _, rest := range []string{"for", "host", "proto", "port", "uri", "method", "prefix", "user", "email", "groups", "access-token", "preferred-username", "server", "ssl", "scheme", "client-cert", "tls-client-cert", "by", "path", "x"} {
		list = append(list, "x-forwarded-"+rest)
	}
	for _, rest := range []string{"uri", "url", "method", "host", "for", "path", "forwarded-for"} {
		list = append(list, "x-original-"+rest)
	}
	return list
}

// folded writes a name as the laxest reader does: whatever is neither letter
// nor digit is one hyphen.
func folded(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			return r
		case 'A' <= r && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, name)
}

func isReserved(name string) bool {
	name = folded(name)
	for _, prefix := range []string{"x-token-", "x-forwarded-", "x-original-"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	for _, r := range reserved() {
		if name == r {
			return true
		}
	}
	return false
}

// respelledName is name in a random case, with random separators that HTTP
// allows in a name (RFC 9110 section 5.6.2).
func respelledName(r *rand.Rand, name string) string {
	const separators = "-_.!#$%&'*+^`|~"
	b := []byte(name)
	for i, c := range b {
		switch {
		case c == '-' && r.IntN(3) > 0:
			b[i] = separators[r.IntN(len(separators))]
		case 'a' <= c && c <= 'z' && r.IntN(2) == 0:
			b[i] = c - ('a' - 'A')
		}
	}
	return string(b)
}

// A lie is what a client says of itself beside its token, byte for byte.
type lie struct {
	name  string
	lines string // of the header, each ended by CRLF
	body  string // after the header; it ends the request
}

// lies are generated from a fixed seed: one header alone, several, after
// Connection, in a trailer, folded, with white space, with bytes that no name
// has, with an upgrade.
func lies() []lie {
	r := rand.New(rand.NewPCG(5, 6))
	var all []lie
	for round := range 24 {
		for _, name := range reserved() {
			spelled := respelledName(r, name)
			if round == 0 {
				spelled = name
			}
			all = append(all, lieWith(r, round, spelled))
		}
	}
	return all
}

func lieWith(r *rand.Rand, round int, name string) lie {
	const who = ": mallory\r\n"
	switch round % 12 {
	case 2:
		return lie{"twice", name + ": mallory\r\n" + respelledName(r, folded(name)) + who, ""}
	case 3:
		return lie{"named by Connection", "Connection: " + name + ", X-Token-Subject, x-token-client\r\n" + name + who, ""}
	case 4:
		return lie{"in a trailer", "Transfer-Encoding: chunked\r\nTrailer: " + name + "\r\n", "1\r\nx\r\n0\r\n" + name + who + "\r\n"}
	case 5:
		return lie{"with a space before the colon", name + " " + who, ""}
	case 6:
		return lie{"in a folded line", "X-Kept: a\r\n " + name + who, ""}
	case 7:
		return lie{"after a line feed alone", "X-Kept: a\n" + name + who, ""}
	case 8:
		return lie{"after a byte no name has", string([]byte{"\x00\x01\x7f\x80\xff\t\v("[r.IntN(8)]}) + name + who, ""}
	case 9:
		return lie{"with an upgrade", "Connection: Upgrade\r\nUpgrade: websocket\r\n" + name + who, ""}
	case 10:
		return lie{"in an announced trailer only", "Transfer-Encoding: chunked\r\n", "0\r\n" + name + who + "\r\n"}
	case 11:
		return lie{"after a carriage return", "X-Kept: a\r" + name + who, ""}
	}
	return lie{"alone", name + who, ""}
}

// Nothing that a client says reaches the upstream under a name that folds to a
// reserved one, and what the gate says does (RFC 9700 section 4.13,
// CVE-2025-64484).
func TestNothingIsSmuggled(t *testing.T) {
	address, w := watched(t)
	raw := good(t, pairs()[token.ES256])
	set := lies()
	passed := 0
	for _, l := range set {
		status := request(t, address, "GET", raw, l)
		told := w.take()
		if status >= 500 || status < 300 != (len(told) == 1) || len(told) > 1 {
			t.Errorf("%s: %q: status %d, %d requests upstream", l.name, l.lines, status, len(told))
		}
		for _, header := range told {
			passed++
			checkTold(t, l, header)
		}
	}
	t.Logf("%d lies, %d requests reached the upstream", len(set), passed)
	if len(set) < 1000 || passed*2 < len(set) {
		t.Errorf("%d lies of which %d passed the parser: too few to say anything", len(set), passed)
	}
}

// checkTold fails if the upstream heard what the client said, or did not hear
// what the gate says.
func checkTold(t *testing.T, l lie, header http.Header) {
	t.Helper()
	for name, values := range header {
		if text := strings.Join(values, ","); strings.Contains(text, "mallory") && (isReserved(name) || strings.Contains(name, "Kept") && strings.Contains(l.name, "carriage")) {
			t.Errorf("%s: %q: the upstream is told %s: %s", l.name, l.lines+l.body, name, text)
		}
	}
	for name, want := range map[string]string{"X-Token-Subject": "s", "X-Token-Client": "c", "X-Token-Scope": "orders.read", "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "api.test"} {
		if got := header[name]; len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q: the upstream is told %s: %q, want %q", l.name, l.lines+l.body, name, got, want)
		}
	}
}

// request sends a request byte for byte and returns the status of the answer.
func request(t *testing.T, address, method, raw string, l lie) int {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "%s /orders HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer %s\r\n%s\r\n%s", method, raw, l.lines, l.body)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%s: %q: %v", l.name, l.lines, err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// The control: a header that only looks like a reserved one goes through.
func TestOtherHeadersGoThrough(t *testing.T) {
	address, w := watched(t)
	raw := good(t, pairs()[token.ES256])
	for _, name := range []string{"X-Kept", "X-Tokenizer", "X-Token", "XToken-Subject", "Y-Token-Subject", "X-Forwardedness", "X-Originality", "Forwarded2", "X-Real-Ipsum", "Traceparent", "Cookie"} {
		if status := request(t, address, "GET", raw, lie{lines: name + ": said\r\n"}); status != http.StatusOK {
			t.Errorf("%s: status %d", name, status)
		}
		for _, header := range w.take() {
			if header.Get(name) != "said" {
				t.Errorf("%s did not reach the upstream: %v", name, header)
			}
		}
	}
}

// What the gate itself reads of where a request came from, it takes from nobody
// but a trusted proxy; and what it answers holds nothing a client said.
func TestLiesDoNotChangeTheVerdict(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	raw := good(t, pairs()[token.EdDSA])
	g := newGate(t, gate.Config{Issuers: world(verify.RFC9068), Routes: []gate.Route{{Path: "/orders", Upstream: "http://upstream.test"}, {Path: "/admin/", Scopes: []string{"admin"}, Upstream: "http://upstream.test"}}})
	var inside http.Header
	handlers := map[string]http.Handler{"proxy": g.Handler(), "middleware": g.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { inside = r.Header }))}
	for range 20 {
		for _, name := range reserved() {
			for edge, h := range handlers {
				for path, want := range map[string]saying{"/orders": {true, "", 200}, "/admin/x": {false, "insufficient_scope", 403}, "/nowhere": {false, "no_route", 404}} {
					req := httptest.NewRequest(http.MethodGet, path, nil)
					req.Header["Authorization"] = []string{"Bearer " + raw}
					req.Header[respelledName(r, name)] = []string{[]string{"/orders", "GET", "127.0.0.1", "admin", "https"}[r.IntN(5)]}
					if said := said(h, req); said != want {
						t.Errorf("%s %s: %v: %+v, want %+v", edge, path, req.Header, said, want)
					}
				}
			}
			for told := range inside {
				if strings.HasPrefix(folded(told), "x-token-") {
					t.Errorf("the handler behind the middleware is told %s", told)
				}
			}
		}
	}
}
