package gateway

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/longcase/longcase/token"
)

// TestMain lets the test's own binary be the servers that the benchmark brings.
func TestMain(m *testing.M) {
	if len(os.Args) == 6 && os.Args[1] == "-be" {
		if err := Serve(Role(os.Args[2]), os.Args[3], os.Args[4], os.Args[5]); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// config runs each lane for a moment.
func config(t *testing.T) Config {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(t.TempDir(), "longcase")
	build := exec.Command("go", "build", "-o", binary, "./cmd/longcase")
	build.Dir = filepath.Join("..", "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return Config{Longcase: binary, Self: []string{self, "-be"}, Rounds: 1, Requests: 2 * hot, OnlyGo: true, Distinct: 8 * hot, Algorithm: token.ES256}
}

// The lanes that need nothing but Go start, pass good tokens, refuse bad ones
// (right says so, or Run fails), and are in the table with what they cost.
func TestLanesAnswerRightly(t *testing.T) {
	var out bytes.Buffer
	if err := Run(&out, config(t)); err != nil {
		t.Fatal(err)
	}
	t.Log(out.String())
	for _, k := range ours() {
		if !strings.Contains(out.String(), k.name) {
			t.Errorf("%s is not in the table", k.name)
		}
	}
	for _, row := range []string{"/verify", "ext_authz gRPC", "resident memory"} {
		if !strings.Contains(out.String(), row) {
			t.Errorf("no line of %s", row)
		}
	}
}

// The control: a lane that lets everything through where it says that it checks
// is found out.
func TestALaneThatChecksNothingIsFoundOut(t *testing.T) {
	s, m, end, err := raise(Config{Self: config(t).Self, Algorithm: token.ES256})
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	l, err := s.open(kind{name: "open", role: Bare})
	if err != nil {
		t.Fatal(err)
	}
	defer l.kill()
	if l.hot, err = m.tokens(0, 1); err != nil {
		t.Fatal(err)
	}
	if err := l.right(m); err == nil {
		t.Error("a proxy that checks nothing passes for a gateway")
	}
	l.plain = true
	if err := l.right(m); err != nil {
		t.Errorf("a plain proxy: %v", err)
	}
}

// Every configuration can be filled, and a server that is missing is an error
// that says what to install.
func TestMissingServersSayWhatToInstall(t *testing.T) {
	t.Setenv("PATH", "")
	s := &stage{cfg: Config{Cache: t.TempDir()}}
	for _, name := range []string{"envoy", "no-such-server"} {
		if _, err := s.program(name); err == nil || !strings.Contains(err.Error(), "install") {
			t.Errorf("%s: %v", name, err)
		}
	}
	p := place{Dir: t.TempDir(), Front: "127.0.0.1:1", Gate: "127.0.0.1:2", ExtAuthz: "127.0.0.1:3", Upstream: "127.0.0.1:4", Issuer: issuer, Audience: audience, Algorithm: token.ES256}
	for _, k := range others() {
		p.Filter = k.filter
		for _, name := range []string{"longcase.yaml", "haproxy.cfg", "nginx.conf", "Caddyfile", "envoy.yaml"} {
			if _, err := fill(p, name); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
