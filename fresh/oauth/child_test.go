package oauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/token"
)

const (
	processes  = 16
	childGrace = 20 * time.Second
)

// child is one of many processes that share a refresh token. It refreshes until
// its standard input ends, and says on standard output why it cannot go on.
func child(mode string) int {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	cfg := Config{Issuer: os.Getenv("LONGCASE_OAUTH_ISSUER"), Client: "app", HTTP: &http.Client{Transport: signed{}}}
	state := State{File: os.Getenv("LONGCASE_OAUTH_STATE"), Seed: text(os.Getenv("LONGCASE_OAUTH_SEED")), Grace: childGrace}
	root := Refresh(cfg, state)
	if mode == "careless" {
		root = careless(cfg, state)
	}
	for ctx.Err() == nil {
		_, err := root(ctx, time.Now())
		if errors.Is(err, ErrSignIn) {
			fmt.Println(err)
			return 3
		}
	}
	return 0
}

// signed says which process asks.
type signed struct{}

func (signed) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("User-Agent", strconv.Itoa(os.Getpid()))
	return http.DefaultTransport.RoundTrip(r)
}

// careless is what many programs do: read the token, use it, write the next.
func careless(cfg Config, state State) fresh.Root[fresh.Token] {
	s := newService(cfg)
	return func(ctx context.Context, now time.Time) (fresh.Credential[fresh.Token], error) {
		refresh, err := os.ReadFile(state.File)
		if err != nil {
			seed, _ := state.Seed()
			refresh = []byte(seed)
		}
		form := cfg.form("refresh_token")
		form.Set("refresh_token", string(refresh))
		got, err := s.token(ctx, form, now)
		var no *Error
		if errors.As(err, &no) {
			return got.Credential, signIn("%s", no)
		}
		if err == nil {
			err = os.WriteFile(state.File, []byte(got.refresh), 0o600)
		}
		return got.Credential, err
	}
}

// crowd is a number of child processes that are killed and started again.
type crowd struct {
	t   *testing.T
	env []string

	mu    sync.Mutex
	alive map[string]*exec.Cmd // by process id
	said  []string             // why children could not go on
	kills int
}

func newCrowd(t *testing.T, r *rig, mode string) *crowd {
	return &crowd{t: t, alive: map[string]*exec.Cmd{}, env: append(os.Environ(), "LONGCASE_OAUTH_CHILD="+mode, "LONGCASE_OAUTH_ISSUER="+r.URL,
		"LONGCASE_OAUTH_STATE="+filepath.Join(t.TempDir(), "app.state"), "LONGCASE_OAUTH_SEED="+r.signIn(t))}
}

// run keeps the crowd going until done.
func (c *crowd) run(done func() bool) {
	ctx, cancel := context.WithCancel(c.t.Context())
	var wait sync.WaitGroup
	for range processes {
		wait.Go(func() {
			for ctx.Err() == nil {
				c.one(ctx)
			}
		})
	}
	for !done() && !c.failed() {
		time.Sleep(time.Duration(20+rand.IntN(100)) * time.Millisecond)
		c.kill("")
	}
	cancel()
	wait.Wait()
}

// one is the life of one child.
func (c *crowd) one(ctx context.Context) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = c.env
	in, err := cmd.StdinPipe()
	if err != nil {
		c.t.Error(err)
		return
	}
	out := new(strings.Builder)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		c.t.Error(err)
		return
	}
	name := strconv.Itoa(cmd.Process.Pid)
	c.mu.Lock()
	c.alive[name] = cmd
	c.mu.Unlock()
	defer context.AfterFunc(ctx, func() { _ = in.Close() })()
	_ = cmd.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.alive, name)
	if out.Len() > 0 {
		c.said = append(c.said, out.String())
	}
}

// kill kills one child: that of a process id, or any.
func (c *crowd) kill(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, cmd := range c.alive {
		if name == "" || name == id {
			_ = cmd.Process.Kill()
			c.kills++
			return
		}
	}
}

func (c *crowd) failed() bool { c.mu.Lock(); defer c.mu.Unlock(); return len(c.said) > 0 }

// slowly hands answers on after a while. Of forty that ask, one dies while its
// answer is on the way.
func (c *crowd) slowly(w http.ResponseWriter, r *http.Request, answer *httptest.ResponseRecorder) {
	time.Sleep(time.Duration(rand.IntN(5)) * time.Millisecond)
	if rand.IntN(40) == 0 {
		c.kill(r.UserAgent())
		lose(w, r, answer)
	}
	pass(w, r, answer)
}

// Goal F7: 16 processes share one rotating refresh token of an issuer that ends
// the session when an old one comes back, and are killed at random.
func TestSixteenProcessesNeverReuseARefreshToken(t *testing.T) {
	r := newRig(t, childGrace, token.Key{})
	c := newCrowd(t, r, "careful")
	r.set(func() { r.after = c.slowly })
	r.issued.Store(0)
	want := int64(long(10_000))
	c.run(func() bool { return r.issued.Load() >= want })
	if r.reused.Load() != 0 || len(c.said) != 0 || r.repeated.Load() == 0 {
		t.Errorf("%d reuse events; children said %q", r.reused.Load(), c.said)
	}
	t.Logf("%d refreshes, %d of them of lost answers, %d kills", r.issued.Load(), r.repeated.Load(), c.kills)
}

// The control: the same without lock and write-ahead must be caught.
func TestCarelessProcessesReuseARefreshToken(t *testing.T) {
	r := newRig(t, 0, token.Key{})
	c := newCrowd(t, r, "careless")
	r.set(func() { r.after = c.slowly })
	c.run(func() bool { return r.reused.Load() > 0 })
	if r.reused.Load() == 0 {
		t.Errorf("no reuse event; children said %q", c.said)
	}
}
