package e2e

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/websocket"
)

// overHTTP calls check for every adapter but gRPC's, which has neither paths
// nor browsers.
func (f *fleet) overHTTP(t *testing.T, check func(t *testing.T, e *edge)) {
	t.Helper()
	for _, e := range f.edges {
		if e.name != "grpc" {
			t.Run(e.name, func(t *testing.T) {
				f.behind.take()
				check(t, e)
			})
		}
	}
}

// one returns the only request that reached the service behind.
func (f *fleet) one(t *testing.T) seen {
	t.Helper()
	got := f.behind.take()
	if len(got) != 1 {
		t.Fatalf("%d requests reached the service, want 1", len(got))
	}
	return got[0]
}

// impostor is a header for the spellings of what only the gate may say: fewer
// than the 100 headers that HAProxy and Envoy take.
func impostor() http.Header {
	h := http.Header{}
	for _, what := range []string{"Subject", "Client", "Scope", "Expires"} {
		for _, between := range []string{"--", "__", "..", "-_", "_-", "-.", "-~"} {
			name := "X" + between[:1] + "Token" + between[1:] + what
			h[name] = []string{"mallory"}
			h[strings.ToLower(name)] = []string{"mallory"}
		}
		h["X-Token-"+what] = []string{"mallory", "mallory"}
		h["X-TOKEN-"+strings.ToUpper(what)] = []string{"mallory"}
	}
	return h
}

// identities says that nobody but the gate says who calls: not in any spelling,
// not where the token leaves something out, and not with a preflight.
func (f *fleet) identities(t *testing.T) {
	f.overHTTP(t, func(t *testing.T, e *edge) {
		raw := f.house.token(claims{"client_id": "partner", "scope": nil})
		a := e.ask(t, probe{path: "/partner/1", token: raw, header: impostor()})
		if a.status != http.StatusOK {
			t.Fatalf("answer is %d %s", a.status, a.body)
		}
		h := f.one(t).Header
		noImpostor(t, h)
		if got := h["X-Token-Subject"]; !slices.Equal(got, []string{"alice"}) {
			t.Errorf("X-Token-Subject is %q, want alice", got)
		}
		h = preflight()
		for name, values := range impostor() {
			h[name] = values
		}
		if a := e.ask(t, probe{method: http.MethodOptions, header: h}); a.status != http.StatusOK {
			t.Fatalf("a preflight is answered %d %s", a.status, a.body)
		}
		noImpostor(t, f.one(t).Header)
	})
}

func noImpostor(t *testing.T, h http.Header) {
	t.Helper()
	for name, values := range h {
		if slices.Contains(values, "mallory") {
			t.Errorf("the service sees %s: %q", name, values)
		}
	}
}

// lies says that what a client writes into the headers of proxies chooses
// neither the path nor the method that are judged.
func (f *fleet) lies(t *testing.T) {
	lie := http.Header{
		"X-Forwarded-Uri": {"/orders/1"}, "X-Original-Uri": {"/orders/1"}, "X-Original-Url": {"/orders/1"},
		"X-Rewrite-Url": {"/orders/1"}, "X-Forwarded-Path": {"/orders/1"}, "X-Envoy-Original-Path": {"/orders/1"},
		"X-Forwarded-Method": {"GET"}, "X-Original-Method": {"GET"}, "X-Http-Method-Override": {"GET"},
		"X-Forwarded-Prefix": {"/orders"}, "X-Forwarded-Host": {"elsewhere.example.com"}, "X-Forwarded-Proto": {"https"},
		"Forwarded": {"for=192.0.2.1;host=elsewhere.example.com;proto=https"}, "X-Forwarded-For": {"192.0.2.1"},
		"X_Forwarded_Uri": {"/orders/1"}, "X_Original_Uri": {"/orders/1"},
	}
	f.overHTTP(t, func(t *testing.T, e *edge) {
		e.ask(t, probe{path: "/admin/1", token: f.house.token(nil), header: lie}).expect(t, http.StatusForbidden, "insufficient_scope")
		e.ask(t, probe{path: "/read/1", token: f.house.token(nil), header: lie}).expect(t, http.StatusForbidden, "not_allowed")
		if got := f.behind.take(); len(got) != 0 {
			t.Errorf("the service was asked for %s", got[0].Target)
		}
		if a := e.ask(t, probe{token: f.house.token(nil), header: lie}); a.status != http.StatusOK {
			t.Errorf("beside lies a good request is answered %d %s", a.status, a.body)
		}
	})
}

// certificates says that a stolen token does not pass with the certificate it is
// bound to in a header: that is no secret, and only a gateway that saw it used
// may say so.
func (f *fleet) certificates(t *testing.T) {
	shown, sum := selfSigned(t)
	der := shown.Certificate[0]
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	plain, escaped := base64.StdEncoding.EncodeToString(der), url.PathEscape(string(text))
	lie := http.Header{
		"X-Ssl-Client-Cert": {escaped}, "X-Forwarded-Tls-Client-Cert": {plain}, "Client-Cert": {":" + plain + ":"},
		"X-Forwarded-Client-Cert": {fmt.Sprintf("Hash=%x;Cert=%q", sha256.Sum256(der), escaped)},
		"X_ssl_client_cert":       {escaped}, "X_forwarded_tls_client_cert": {plain}, "Client_cert": {":" + plain + ":"},
	}
	for _, e := range f.edges {
		t.Run(e.name, func(t *testing.T) {
			raw := f.house.token(claims{"cnf": claims{"x5t#S256": sum}})
			e.ask(t, probe{token: raw, header: lie}).expect(t, http.StatusUnauthorized, "binding_missing")
		})
	}
}

func preflight() http.Header {
	return http.Header{
		"Origin": {"https://app.example.com"}, "Access-Control-Request-Method": {"POST"},
		"Access-Control-Request-Headers": {"authorization"},
	}
}

// preflights pass without a token, and nothing else by OPTIONS does.
func (f *fleet) preflights(t *testing.T) {
	f.overHTTP(t, func(t *testing.T, e *edge) {
		a := e.ask(t, probe{method: http.MethodOptions, path: "/partner/1", header: preflight()})
		if a.status != http.StatusOK || a.header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("a preflight is answered %d %v", a.status, a.header)
		}
		if got := f.one(t); got.Method != http.MethodOptions {
			t.Errorf("the service sees %s", got.Method)
		}
		e.ask(t, probe{method: http.MethodOptions, path: "/partner/1"}).expect(t, http.StatusUnauthorized, "no_token")
		e.ask(t, probe{method: http.MethodOptions, path: "/nowhere/1", header: preflight()}).expect(t, http.StatusNotFound, "no_route")
	})
}

// sockets says that a WebSocket is judged once and then left alone.
func (f *fleet) sockets(t *testing.T) {
	f.overHTTP(t, func(t *testing.T, e *edge) {
		cfg, err := websocket.NewConfig(strings.Replace(e.URL, "http", "ws", 1)+"/read/socket", "http://127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		if c, err := cfg.DialContext(context.Background()); err == nil {
			c.Close()
			t.Error("a WebSocket opens without a token")
		}
		cfg.Header.Set("Authorization", "Bearer "+f.house.token(nil))
		c, err := cfg.DialContext(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		for _, said := range []string{"one", "two"} {
			var heard string
			if err := websocket.Message.Send(c, said); err != nil {
				t.Fatal(err)
			}
			if err := websocket.Message.Receive(c, &heard); err != nil || heard != said {
				t.Fatalf("the socket says %q (%v), want %q", heard, err, said)
			}
		}
	})
}

// events says that server-sent events come as they are sent: the service sends
// few and then waits for ever.
func (f *fleet) events(t *testing.T) {
	f.overHTTP(t, func(t *testing.T, e *edge) {
		r := probe{method: http.MethodGet, path: "/read/events", token: f.house.token(nil)}.request(t, e.URL)
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		lines := bufio.NewScanner(resp.Body)
		for i := range 3 {
			if !lines.Scan() || lines.Text() != fmt.Sprint("data: ", i) || !lines.Scan() {
				t.Fatalf("event %d is %q (%v)", i, lines.Text(), lines.Err())
			}
		}
	})
}

// detours are ways to write a path that somebody takes for /admin/1 and somebody
// else for another one.
var detours = []string{
	"//admin/1", "/./admin/1", "/ADMIN/1", "/Admin/1", "/%61dmin/1", "/admin%2f1", "/admin;x=1/1", "/admin%3b/1", "/admin%00/1",
	"/orders/../admin/1", "/orders//../admin/1", "/orders/1/../../admin/1", "/orders/%2e%2e/admin/1", "/orders/.%2e/admin/1",
	"/orders/..%2fadmin/1", "/orders/..%5cadmin/1", `/orders/..\admin/1`, "/orders/..;/admin/1", "/orders/;/../admin/1",
	"/orders/%252e%252e/admin/1", "/orders/%25%32%65%25%32%65/admin/1", "/orders/%00/../admin/1", "/orders/..%00/admin/1",
	"/orders/%c0%ae%c0%ae/admin/1", "/orders/1#/../../admin/1", "/orders/1%23/../../admin/1", "/orders/1%3f/../../admin/1",
	"/orders/..%09/admin/1", "/orders/..//admin/1", "/orders/x/..;a=b/../admin/1",
	"http://127.0.0.1/admin/1", "http://127.0.0.1//admin/1", "/orders/1/..%252f..%252fadmin/1",
}

// paths says that no detour leads to what the token is not good for.
func (f *fleet) paths(t *testing.T) {
	f.overHTTP(t, func(t *testing.T, e *edge) {
		for _, detour := range detours {
			status := f.bare(t, e, detour)
			got := f.behind.take()
			if (status == http.StatusOK) != (len(got) == 1) {
				t.Errorf("%s is answered %d and reaches the service %d times", detour, status, len(got))
			}
			for _, s := range got {
				if leadsAstray(s.Target) {
					t.Errorf("%s reaches the service as %s", detour, s.Target)
				}
			}
		}
	})
}

// bare sends a good token and a request target as it is, which no client library
// does, and returns the status.
func (f *fleet) bare(t *testing.T, e *edge, target string) int {
	t.Helper()
	address := strings.TrimPrefix(e.URL, "http://")
	c, err := (&net.Dialer{Timeout: patience}).DialContext(context.Background(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nConnection: close\r\n\r\n", target, address, f.house.token(nil))
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("%s: %v", target, err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return resp.StatusCode
}

// orphans says that a gateway that cannot ask passes nothing on.
func (f *fleet) orphans(t *testing.T) {
	for _, e := range f.edges {
		if e.gate == nil || e.name == "proxy" {
			continue
		}
		t.Run(e.name, func(t *testing.T) {
			e.gate.kill()
			f.behind.take()
			if a := e.ask(t, probe{token: f.house.token(nil)}); a.status < http.StatusInternalServerError || len(f.behind.take()) > 0 {
				t.Errorf("answer is %d %s", a.status, a.body)
			}
		})
	}
}

// leadsAstray reports whether anybody could read target as a path below /admin.
func leadsAstray(target string) bool {
	p, _, _ := strings.Cut(target, "?")
	for range 4 {
		if dec, err := url.PathUnescape(p); err == nil {
			p = dec
		}
	}
	p = strings.NewReplacer(`\`, "/", "\x00", "", "\t", "").Replace(strings.ToLower(p))
	segments := strings.Split(p, "/")
	for i, s := range segments {
		segments[i], _, _ = strings.Cut(s, ";")
	}
	return strings.HasPrefix(path.Clean("/"+strings.Join(segments, "/")), "/admin")
}
