package agent

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/longcase/longcase/internal/agent/render"
	"go.uber.org/goleak"
)

const (
	child  = "LONGCASE_TEST_SEND" // network and address that a child process sends its input to
	nobody = 65534
	listen = "127.0.0.1:0"
)

var start = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

func TestMain(m *testing.M) {
	if where := os.Getenv(child); where != "" {
		os.Exit(send(where))
	}
	if os.Getenv(namespace) != "" {
		if err := alone(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// A server that refuses a body lingers half a second, so that the peer reads
	// the answer.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// send writes its input to a listener and prints what comes back.
func send(where string) int {
	network, address, _ := strings.Cut(where, " ")
	c, err := net.Dial(network, address)
	if err == nil {
		defer c.Close()
		_, err = io.Copy(c, os.Stdin)
	}
	if err == nil {
		_, err = io.Copy(os.Stdout, c)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// sendAs does that as another uid.
func sendAs(t *testing.T, uid uint32, where, request string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test starts a process of another uid: run it as root, as CI does")
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Dir, cmd.Stdin, cmd.Stderr = "/", strings.NewReader(request), os.Stderr
	cmd.Env = append(os.Environ(), child+"="+where)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// clock is a wall clock that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// The credentials of these tests. Each holds a word that must be nowhere else.
func someKeys(context.Context) (render.Keys, error) {
	return render.Keys{AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: "hush/key", SessionToken: "hush+session", Expires: start.Add(time.Hour)}, nil
}

func someToken(context.Context) (render.Token, error) {
	return render.Token{Value: "hush.token", Type: "Bearer", Scope: "a b", Expires: start.Add(time.Hour)}, nil
}

func someIdentity(_ context.Context, audience string) (render.Token, error) {
	return render.Token{Value: "hush-for-" + audience, Expires: start.Add(time.Hour)}, nil
}

// prepared is an agent with these publications, at start.
func prepared(t testing.TB, cfg Config) *Agent {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	if cfg.Now == nil {
		cfg.Now = func() time.Time { return start }
	}
	cfg.Log = slog.New(slog.DiscardHandler)
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Prepare(); err != nil {
		t.Fatal(err)
	}
	return a
}

// served answers on loopback until the test is over.
func served(t *testing.T, a *Agent, network, address string) net.Addr {
	t.Helper()
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: a.Handler(listen)}
	Bound(s)
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return ln.Addr()
}

// ask sends one request past the network, from our own uid on loopback. Headers
// are name, value, and so on; "Host" is one of them.
func ask(a *Agent, method, target string, headers ...string) *http.Response {
	return askAs(a, uint32(os.Geteuid()), method, target, headers...)
}

func askAs(a *Agent, uid uint32, method, target string, headers ...string) *http.Response {
	w := httptest.NewRecorder()
	a.Handler(listen).ServeHTTP(w, request(uid, method, target, headers...))
	return w.Result()
}

func request(uid uint32, method, target string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	r.Host = "127.0.0.1:4620"
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
			continue
		}
		r.Header.Add(headers[i], headers[i+1])
	}
	return r.WithContext(from(r.Context(), uid))
}

func from(ctx context.Context, uid uint32) context.Context {
	return context.WithValue(ctx, callerKey{}, caller{
		local: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4620},
		uid:   func() (uint32, error) { return uid, nil },
	})
}

func body(r *http.Response) string {
	b, _ := io.ReadAll(r.Body)
	return string(b)
}

// row is one request of a protocol and its answer.
type row struct {
	name    string
	method  string // default GET
	target  string
	headers []string
	status  int
	body    string // all of it; "~x" contains x; empty: not looked at
}

// rows asks them all. Whatever is answered must not be cached, and a refusal
// holds no secret.
func rows(t *testing.T, a *Agent, table []row) {
	t.Helper()
	for _, tt := range table {
		t.Run(tt.name, func(t *testing.T) {
			if tt.method == "" {
				tt.method = http.MethodGet
			}
			resp := ask(a, tt.method, tt.target, tt.headers...)
			said := body(resp)
			if resp.StatusCode != tt.status {
				t.Errorf("%s %s is answered with %d %q, want %d", tt.method, tt.target, resp.StatusCode, said, tt.status)
			}
			part, contains := strings.CutPrefix(tt.body, "~")
			if tt.body != "" && said != tt.body && (!contains || !strings.Contains(said, part)) {
				t.Errorf("%s %s says %q, want %q", tt.method, tt.target, said, tt.body)
			}
			if resp.Header.Get("Cache-Control") != "no-store" {
				t.Error("the answer may be cached")
			}
			if resp.StatusCode >= 400 && strings.Contains(said, "hush") {
				t.Errorf("a refusal holds a secret: %q", said)
			}
		})
	}
}

// raw sends bytes and reads one answer.
func raw(t *testing.T, at net.Addr, request string) *http.Response {
	t.Helper()
	c, err := net.Dial(at.Network(), at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	said := body(resp)
	resp.Body.Close()
	resp.Body = io.NopCloser(strings.NewReader(said))
	return resp
}
