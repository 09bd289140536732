package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/longcase/longcase/internal/agent/peer"
)

// everything is every form on one listener.
func everything() []Publication {
	return []Publication{
		{Form: IMDS, Name: "role", Listen: listen, Keys: someKeys, Region: "eu-west-1"},
		{Form: AWSContainer, Name: "role", Listen: listen, Keys: someKeys},
		{Form: GCEMetadata, Name: "mail", Listen: listen, Bearer: someToken, Identity: someIdentity, Project: "p"},
		{Form: AzureIMDS, Name: "vm", Listen: listen, Bearer: someToken, Resource: "https://vault.azure.net"},
		{Form: AzureAppService, Name: "app", Listen: listen, Bearer: someToken, Resource: "https://vault.azure.net"},
	}
}

func TestEachUidIsToldApart(t *testing.T) {
	tests := []struct {
		name  string
		allow []uint32
		uid   uint32
		want  int
	}{
		{"our own uid is served", nil, 0, 200},
		{"another uid is refused", nil, nobody, 403},
		{"an allowed uid is served", []uint32{1000, nobody}, nobody, 200},
		{"allowing one uid allows no other", []uint32{1000}, nobody, 403},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var refused []Refusal
			a := prepared(t, Config{Publish: everything(), AllowUID: tt.allow, Hooks: Hooks{
				Refused: func(_ Form, _ string, why Refusal) { refused = append(refused, why) },
			}})
			at := served(t, a, "tcp", listen)
			said := sendAs(t, tt.uid, "tcp "+at.String(), fmt.Sprintf(
				"GET /computeMetadata/v1/instance/service-accounts/default/token HTTP/1.1\r\nHost: %s\r\nMetadata-Flavor: Google\r\nConnection: close\r\n\r\n", at))
			if !strings.HasPrefix(said, fmt.Sprintf("HTTP/1.1 %d ", tt.want)) || strings.Contains(said, "hush") != (tt.want == 200) {
				t.Errorf("uid %d hears %q", tt.uid, said)
			}
			if tt.want == 403 && (len(refused) != 1 || refused[0] != ByPeer || !strings.Contains(said, "allow_uid")) {
				t.Errorf("refused %v with %q", refused, said)
			}
		})
	}
}

func TestAUnixSocketNamesItsPeer(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	a := prepared(t, Config{Publish: everything(), AllowUID: []uint32{1000}})
	at := served(t, a, "unix", filepath.Join(dir, "s"))
	if err := os.Chmod(at.String(), 0o666); err != nil {
		t.Fatal(err)
	}
	const request = "GET /computeMetadata/v1/instance/service-accounts/default/token HTTP/1.1\r\nHost: x\r\nMetadata-Flavor: Google\r\nConnection: close\r\n\r\n"
	for uid, want := range map[uint32]string{0: "HTTP/1.1 200 ", 1000: "HTTP/1.1 200 ", nobody: "HTTP/1.1 403 "} {
		if said := sendAs(t, uid, "unix "+at.String(), request); !strings.HasPrefix(said, want) {
			t.Errorf("uid %d hears %q", uid, said)
		}
	}
}

func TestWhoCannotBeIdentifiedIsRefused(t *testing.T) {
	a := prepared(t, Config{Publish: everything()})
	for name, ctx := range map[string]context.Context{
		"a server that is not bound": context.Background(),
		"a peer that nobody knows": context.WithValue(context.Background(), callerKey{}, caller{
			local: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4620},
			uid:   func() (uint32, error) { return 0, fmt.Errorf("%w: hush", peer.ErrUnknown) },
		}),
		"a listener beyond loopback": context.WithValue(context.Background(), callerKey{}, caller{
			local: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 4620},
			uid:   func() (uint32, error) { return 0, nil },
		}),
	} {
		r := httptest.NewRequest("GET", "/computeMetadata/v1/instance/service-accounts/default/token", nil)
		r.Host = "127.0.0.1:4620"
		if name == "a listener beyond loopback" {
			r.Host = "10.0.0.1:4620"
		}
		r.Header.Set("Metadata-Flavor", "Google")
		w := httptest.NewRecorder()
		a.Handler(listen).ServeHTTP(w, r.WithContext(ctx))
		if w.Code != http.StatusForbidden || strings.Contains(w.Body.String(), "hush") {
			t.Errorf("%s: %d %q", name, w.Code, w.Body)
		}
	}
}

// Every guard stands before every form.
func TestNoFormAnswersWhatAPageOrAProxySends(t *testing.T) {
	a := prepared(t, Config{Publish: everything()})
	targets := [][]string{
		{"PUT", "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", "60"},
		{"GET", "/container/role", "Authorization", secretText(t, a, AWSContainer)},
		{"GET", "/", "Metadata-Flavor", "Google"},
		{"GET", "/computeMetadata/v1/instance/service-accounts/default/token", "Metadata-Flavor", "Google"},
		{"GET", azurePath + "?api-version=2018-02-01&resource=https://vault.azure.net", "Metadata", "true"},
		{"GET", servicePath + "?api-version=2019-08-01&resource=https://vault.azure.net", "X-IDENTITY-HEADER", secretText(t, a, AzureAppService)},
	}
	guards := []struct {
		name   string
		with   []string
		status int
	}{
		{"plain", nil, 200},
		{"localhost", []string{"Host", "localhost:4620"}, 200},
		{"another loopback name", []string{"Host", "[::1]:4620"}, 200},
		{"typed by a person", []string{"Sec-Fetch-Site", "none"}, 200},
		{"fetch of Node", []string{"Sec-Fetch-Mode", "cors"}, 200},
		{"a name that was rebound", []string{"Host", "evil.example.com:4620"}, 403},
		{"a name below localhost", []string{"Host", "a.localhost:4620"}, 403},
		{"another port", []string{"Host", "127.0.0.1:4621"}, 403},
		{"no port", []string{"Host", "127.0.0.1"}, 403},
		{"no host", []string{"Host", ""}, 403},
		{"a number for an address", []string{"Host", "2130706433:4620"}, 403},
		{"the metadata service's address", []string{"Host", "169.254.169.254:4620"}, 403},
		{"the metadata server's name", []string{"Host", "metadata.google.internal"}, 403},
		{"a page", []string{"Origin", "http://127.0.0.1:4620"}, 403},
		{"a sandboxed page", []string{"Origin", "null"}, 403},
		{"an empty origin", []string{"Origin", ""}, 403},
		{"a page elsewhere", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"a page on this machine", []string{"Sec-Fetch-Site", "same-site"}, 403},
		{"a page of this listener", []string{"Sec-Fetch-Site", "same-origin"}, 403},
		{"a proxy", []string{"X-Forwarded-For", "10.0.0.1"}, 403},
		{"a proxy that says nothing", []string{"X-Forwarded-For", ""}, 403},
		{"a newer proxy", []string{"Forwarded", "for=10.0.0.1"}, 403},
		{"a proxy that hides its client", []string{"Via", "1.1 squid"}, 403},
		{"a proxy that tells a host", []string{"X-Forwarded-Host", "a.example.com"}, 403},
		{"a proxy that tells a scheme", []string{"x-forwarded-proto", "https"}, 403},
		{"a proxy that tells an address", []string{"X-Real-IP", "10.0.0.1"}, 403},
	}
	for _, g := range guards {
		t.Run(g.name, func(t *testing.T) {
			if got := behindGuard(a, g.with...); got != g.status {
				t.Errorf("the guard answers %d, want %d", got, g.status)
			}
			for _, to := range targets {
				resp := ask(a, to[0], to[1], append(append([]string{}, to[2:]...), g.with...)...)
				if said := body(resp); resp.StatusCode != g.status || (g.status != 200 && strings.Contains(said, "hush")) {
					t.Errorf("%s is answered with %d %q, want %d", to[1], resp.StatusCode, said, g.status)
				}
			}
		})
	}
}

// behindGuard is the status of something that is no form's, guarded.
func behindGuard(a *Agent, headers ...string) int {
	w := httptest.NewRecorder()
	a.Guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, request(uint32(os.Geteuid()), http.MethodGet, "/health", headers...))
	return w.Code
}

func secretText(t *testing.T, a *Agent, f Form) string {
	t.Helper()
	for _, p := range a.cfg.Publish {
		if p.Form == f {
			v, err := a.secretOf(p).text()
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("%s is not published", f)
	return ""
}

func TestAHostIsItsListenersOwn(t *testing.T) {
	tests := []struct {
		host, local string
		want        bool
	}{
		{"127.0.0.1:80", "127.0.0.1:80", true},
		{"127.0.0.1", "127.0.0.1:80", true},
		{"[::1]", "[::1]:80", true},
		{"localhost", "127.0.0.1:80", true},
		{"169.254.169.254", "169.254.169.254:80", true},
		{"169.254.169.254:80", "169.254.169.254:80", true},
		{"metadata.google.internal", "169.254.169.254:80", true},
		{"metadata.google.internal:80", "169.254.169.254:80", true},
		{"metadata", "169.254.169.254:80", true},
		{"[fd00:ec2::254]", "[fd00:ec2::254]:80", true},
		{"169.254.170.2", "169.254.170.2:80", true},

		{"metadata.google.internal", "169.254.170.2:80", false},
		{"metadata.google.internal:81", "169.254.169.254:80", false},
		{"localhost", "169.254.169.254:80", false},
		{"127.0.0.1", "169.254.169.254:80", false},
		{"169.254.170.2", "169.254.169.254:80", false},
		{"localhost.", "127.0.0.1:80", false},
		{"", "127.0.0.1:80", false},
		{":80", "127.0.0.1:80", false},
		{"127.0.0.1:", "127.0.0.1:80", false},
		{"127.0.0.1:080", "127.0.0.1:80", false},
		{"127.0.0.1@evil.example.com", "127.0.0.1:80", false},
	}
	for _, tt := range tests {
		local, err := net.ResolveTCPAddr("tcp", tt.local)
		if err != nil {
			t.Fatal(err)
		}
		if got := hostIs(tt.host, local); got != tt.want {
			t.Errorf("hostIs(%q, %s) = %v", tt.host, tt.local, got)
		}
	}
}

func TestARequestHasOneSpelling(t *testing.T) {
	a := prepared(t, Config{Publish: everything()})
	at := served(t, a, "tcp", listen)
	const token = "/computeMetadata/v1/instance/service-accounts/default/token"
	tests := []struct {
		name, line, more string
		want             int
	}{
		{"plain", "GET " + token, "", 200},
		{"an empty segment", "GET //computeMetadata/v1/instance/service-accounts/default/token", "", 400},
		{"an empty segment within", "GET /computeMetadata/v1//instance/service-accounts/default/token", "", 400},
		{"dots", "GET /latest/../computeMetadata/v1/instance/service-accounts/default/token", "", 400},
		{"a dot", "GET /./computeMetadata/v1/instance/service-accounts/default/token", "", 400},
		{"escaped dots", "GET /latest/%2e%2e" + token, "", 400},
		{"an escaped slash", "GET /computeMetadata%2fv1/instance/service-accounts/default/token", "", 400},
		{"an escaped letter", "GET /%63omputeMetadata/v1/instance/service-accounts/default/token", "", 400},
		{"a backslash", `GET /computeMetadata\v1/instance/service-accounts/default/token`, "", 400},
		{"a parameter", "GET " + token + ";a=b", "", 400},
		{"as a proxy is asked", "GET http://127.0.0.1:1" + token, "", 403},
		{"as a proxy is asked for us", "GET http://HOST" + token, "", 400},
		{"CONNECT", "CONNECT HOST", "", 405},
		{"POST", "POST " + token, "", 405},
		{"HEAD", "HEAD " + token, "", 405},
		{"OPTIONS, as a page asks first", "OPTIONS " + token, "", 405},
		{"DELETE", "DELETE " + token, "", 405},
		{"PUT of what is only read", "PUT " + token, "", 405},
		{"a body", "GET " + token, "Content-Length: 1\r\n", 413},
		{"a body in chunks", "PUT /latest/api/token", "Transfer-Encoding: chunked\r\nX-Aws-Ec2-Metadata-Token-Ttl-Seconds: 60\r\n\r\n1\r\na\r\n0\r\n", 413},
		{"no body in chunks", "PUT /latest/api/token", "Transfer-Encoding: chunked\r\nX-Aws-Ec2-Metadata-Token-Ttl-Seconds: 60\r\n\r\n0\r\n", 200},
		{"two hosts", "GET " + token, "Host: evil.example.com\r\n", 400},
		{"a long query", "GET " + token + "?scopes=" + strings.Repeat("a", 9<<10), "", 400},
		{"a long path", "GET /computeMetadata/" + strings.Repeat("a", 2<<10), "", 400},
		{"long headers", "GET " + token, "X-A: " + strings.Repeat("a", 40<<10) + "\r\n", 431},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			line := strings.ReplaceAll(tt.line, "HOST", at.String())
			resp := raw(t, at, line+" HTTP/1.1\r\nHost: "+at.String()+"\r\nMetadata-Flavor: Google\r\nConnection: close\r\n"+tt.more+"\r\n")
			if said := body(resp); resp.StatusCode != tt.want || (tt.want != 200 && strings.Contains(said, "hush")) {
				t.Errorf("%.100s is answered with %d %q, want %d", line, resp.StatusCode, said, tt.want)
			}
		})
	}
}

func TestTheKernelIsAskedOncePerConnection(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	c := withConn(context.Background(), a).Value(callerKey{}).(caller)
	_, first := c.uid()
	_, second := c.uid()
	if !errors.Is(first, peer.ErrUnknown) || !errors.Is(second, first) {
		t.Errorf("asked twice: %v, %v", first, second)
	}
}

func FuzzRequest(f *testing.F) {
	f.Add("GET", "/latest/meta-data/iam/security-credentials/role", "X-Aws-Ec2-Metadata-Token", "AAAA")
	f.Add("PUT", "/latest/api/token", "X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "21600")
	f.Add("GET", "/computeMetadata/v1/instance/service-accounts/?recursive=true", "Metadata-Flavor", "Google")
	f.Add("GET", "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fvault.azure.net", "Metadata", "true")
	f.Add("GET", "/container/role", "Authorization", "x")
	f.Add("GET", "/msi/token?resource=%zz", "X-Identity-Header", "x")
	a := prepared(f, Config{Publish: everything()})
	f.Fuzz(func(t *testing.T, method, target, header, value string) {
		if !strings.HasPrefix(target, "/") {
			return
		}
		r, err := http.NewRequest(method, "http://127.0.0.1:4620"+target, nil)
		if err != nil {
			return
		}
		r.RequestURI = target
		r.Header.Set(header, value)
		w := httptest.NewRecorder()
		a.Handler(listen).ServeHTTP(w, r.WithContext(from(r.Context(), uint32(os.Geteuid()))))
		leaks := strings.Contains(w.Body.String(), "hush")
		if w.Header().Get("Cache-Control") != "no-store" || (w.Code != 200 && leaks) {
			t.Errorf("%s %s is answered with %d %q", method, target, w.Code, w.Body)
		}
		if leaks && !strings.HasPrefix(r.URL.Path, gceV1) && !strings.HasPrefix(r.URL.Path, azurePath) {
			t.Errorf("%s %s with %s gets a credential without its secret", method, target, header)
		}
	})
}
