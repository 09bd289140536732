package e2e

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// shift lets a program live by a clock that is ahead. It is what the program
// faketime does, without a parent that would have to be ended too. A Go program
// asks the kernel and not libc, so it has to run inside qemu.
func shift(t *testing.T, cmd *exec.Cmd, ahead time.Duration) {
	t.Helper()
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	if ahead == 0 {
		return
	}
	found, err := filepath.Glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
	if err != nil || len(found) == 0 {
		t.Fatal("faketime is not installed: run e2e/setup")
	}
	cmd.Env = append(cmd.Env, "LD_PRELOAD="+found[0], fmt.Sprintf("FAKETIME=%+gs", ahead.Seconds()))
}

// startShifted is serve by a clock that is ahead, as a machine of another name.
func startShifted(t *testing.T, dir, file string, ahead time.Duration) *process {
	t.Helper()
	if ahead == 0 {
		return serve(t, dir, "-c", file)
	}
	named := []string{"--map-root-user", "--uts", "sh", "-c", `hostname shifted && exec "$@"`, "sh"}
	cmd := exec.Command("unshare", append(named, "qemu-x86_64", binary, "serve", "-c", file)...)
	shift(t, cmd, ahead)
	return start(t, dir, cmd)
}

// listening starts a script that says where it listens, and returns that.
func listening(t *testing.T, ahead time.Duration, task any, command ...string) string {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin = strings.NewReader(encode(t, task))
	shift(t, cmd, ahead)
	out := launch(t, cmd)
	var first struct{ Listening string }
	if err := json.NewDecoder(out).Decode(&first); err != nil {
		t.Fatalf("%v does not listen: %v", command, err)
	}
	return first.Listening
}

// launch starts a program that is killed at the end of the test, and returns its
// stdout.
func launch(t *testing.T, cmd *exec.Cmd) io.Reader {
	t.Helper()
	var said bytes.Buffer
	cmd.Stderr = &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%v said:\n%.4000s", cmd.Args, said.String())
		}
	})
	return out
}

// conversation is a program that answers each line of JSON with one.
type conversation struct {
	t   *testing.T
	in  io.Writer
	out *json.Decoder
}

func talk(t *testing.T, task any, command ...string) *conversation {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	c := &conversation{t: t, in: in}
	c.out = json.NewDecoder(bufio.NewReader(launch(t, cmd)))
	c.tell(task)
	return c
}

func (c *conversation) tell(what any) {
	c.t.Helper()
	if _, err := io.WriteString(c.in, encode(c.t, what)+"\n"); err != nil {
		c.t.Fatal(err)
	}
}

// ask adds what the program answers to out.
func (c *conversation) ask(what, out any) {
	c.t.Helper()
	c.tell(what)
	if err := c.out.Decode(out); err != nil {
		c.t.Fatal(err)
	}
}

// oidcProvider is node's oidc-provider, on one instance or several behind one
// iss.
type oidcProvider struct {
	t      *testing.T
	Issuer string
	keys   []jose.JSONWebKey
	next   atomic.Int64 // instance that is called next
}

const (
	opaque         = "https://opaque.example.com" // whose tokens say nothing
	providerSecret = "oidc-provider's secret"
)

// newOIDCProvider starts an instance for each clock.
func newOIDCProvider(t *testing.T, ahead ...time.Duration) *oidcProvider {
	t.Helper()
	p := &oidcProvider{t: t, keys: []jose.JSONWebKey{{Key: newKey(t), KeyID: "provider-1", Algorithm: "ES256", Use: "sig"}}}
	front := httptest.NewUnstartedServer(nil)
	p.Issuer = "http://" + front.Listener.Addr().String()
	var instances []*url.URL
	for _, by := range ahead {
		at, err := url.Parse(listening(t, by, p.task(), script(node, "clients/node/oidc-issuer.mjs")...))
		if err != nil {
			t.Fatal(err)
		}
		instances = append(instances, at)
	}
	front.Config.Handler = &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(instances[int(p.next.Add(1))%len(instances)])
		r.Out.Host = r.In.Host
	}}
	front.Start()
	t.Cleanup(front.Close)
	return p
}

func (p *oidcProvider) task() map[string]any {
	resource := func(format string) map[string]any {
		return map[string]any{"format": format, "scope": "orders.read"}
	}
	return map[string]any{
		"issuer": p.Issuer, "port": 0, "keys": p.keys,
		"clients":   []map[string]any{{"client_id": "service", "client_secret": providerSecret}},
		"resources": map[string]any{audience: resource("jwt"), opaque: resource("opaque")},
	}
}

// accept is the entry of a gate, open at its end.
func (p *oidcProvider) accept() string {
	return fmt.Sprintf("{issuer: %s, audience: %q, algorithms: [ES256]", p.Issuer, audience)
}

// introspect is the part of an entry that has the client service ask at url.
func introspect(t *testing.T, url, secret string) string {
	t.Helper()
	file := writeFile(t, t.TempDir(), "introspection.secret", secret+"\n")
	return fmt.Sprintf("introspect: {url: %s, client: service, secret: {file: %s}}", url, file)
}

// spoiled is a token with another character in its last part.
func spoiled(token string) string {
	at := len(token) - 10 // all bits of a character in the middle count
	other := "A"
	if token[at] == 'A' {
		other = "B"
	}
	return token[:at] + other + token[at+1:]
}

// end revokes a token (RFC 7009).
func (p *oidcProvider) end(token string) {
	p.t.Helper()
	r := form(p.Issuer+"/token/revocation", "token", token)
	r.SetBasicAuth("service", url.QueryEscape(providerSecret))
	send(p.t, r).expect(p.t, http.StatusOK, "")
}

func (p *oidcProvider) token() string { return p.tokenFor(audience) }

func (p *oidcProvider) tokenFor(resource string) string {
	p.t.Helper()
	r := form(p.Issuer+"/token", "grant_type", "client_credentials", "resource", resource, "scope", "orders.read")
	r.SetBasicAuth("service", url.QueryEscape(providerSecret))
	a := send(p.t, r)
	if a.status != http.StatusOK {
		p.t.Fatalf("no token: %d %s", a.status, a.body)
	}
	return a.text("access_token")
}

// segment is a part of a compact JWS, decoded.
func segment(token string, n int) []byte {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil
	}
	raw, _ := base64.RawURLEncoding.DecodeString(parts[n])
	return raw
}
