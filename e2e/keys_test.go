package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// key is one line of `keys list --json`.
type key struct {
	ID    string `json:"id"`
	State string `json:"state"`
}

func (w *world) keys(t *testing.T) []key {
	t.Helper()
	var list struct{ Keys []key }
	must(t, "", &list, "keys", "list", "--json", "-c", w.file)
	return list.Keys
}

func (w *world) active(t *testing.T) string {
	t.Helper()
	for _, k := range w.keys(t) {
		if k.State == "active" {
			return k.ID
		}
	}
	t.Fatal("no key is active")
	return ""
}

func TestKeysTurnUnderConstantVerification(t *testing.T) {
	for _, p := range processes {
		t.Run(p.name, func(t *testing.T) {
			p.plan.PublishAhead = "4s" // two of the gate's own rounds, on a busy machine too
			w := newWorld(t, p.plan)
			load := startLoad(t, w)
			first := w.active(t)

			must(t, "", nil, "keys", "rotate", "-c", w.file)
			if r := longcase(t, "", "keys", "rotate", "-c", w.file); r.code != 1 {
				t.Errorf("rotating while a successor waits exits %d: %s", r.code, r.stderr)
			}
			eventually(t, patience, "the successor signs", func() bool { return kidOf(w.token("service", "orders.read")) != first })
			load.run(time.Second)
			load.none(t, "after a rotation")

			load.revoke(t, w.active(t)) // no key is published ahead
			load.run(time.Second)
			load.revoke(t, w.active(t)) // and once more, at once
			load.run(time.Second)
			signing := w.active(t)
			must(t, "", nil, "keys", "rotate", "-c", w.file)
			eventually(t, patience, "the successor of a successor signs", func() bool { return kidOf(w.token("service", "orders.read")) != signing })
			load.run(time.Second)
			load.stop()
			load.none(t, "at the end")
			if n := load.accepted; n < 50 {
				t.Errorf("only %d calls were made", n)
			}
		})
	}
}

// load issues tokens and uses them at the gate all the time, each of them for a
// while.
type load struct {
	w    *world
	quit chan struct{}
	all  sync.WaitGroup

	mu       sync.Mutex
	revoked  map[string]bool // keys whose tokens may be refused
	accepted int
	wrong    []string
	tokens   []string // in use
}

const inUse = 40

func startLoad(t *testing.T, w *world) *load {
	t.Helper()
	l := &load{w: w, quit: make(chan struct{}), revoked: map[string]bool{}}
	for range 3 {
		l.all.Go(l.loop)
	}
	t.Cleanup(l.stop)
	l.run(time.Second)
	return l
}

func (l *load) run(d time.Duration) { time.Sleep(d) }

func (l *load) stop() {
	l.mu.Lock()
	select {
	case <-l.quit:
	default:
		close(l.quit)
	}
	l.mu.Unlock()
	l.all.Wait()
}

func (l *load) loop() {
	for i := 0; ; i++ {
		select {
		case <-l.quit:
			return
		default:
			l.use(l.mint())
			l.use(l.old(i))
		}
	}
}

func (l *load) mint() string {
	a, err := try(l.w.as("service", form(l.w.Issuer+"/token", "grant_type", "client_credentials", "scope", "orders.read")))
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil || a.status != http.StatusOK {
		l.wrong = append(l.wrong, fmt.Sprintf("no token: %v %d %s", err, a.status, a.body))
		return ""
	}
	token := a.text("access_token")
	if l.tokens = append(l.tokens, token); len(l.tokens) > inUse {
		l.tokens = l.tokens[1:]
	}
	return token
}

func (l *load) old(i int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.tokens) == 0 {
		return ""
	}
	return l.tokens[i%len(l.tokens)]
}

func (l *load) use(token string) {
	if token == "" {
		return
	}
	kid := kidOf(token)
	a, err := try(l.w.request("GET", "/orders/1", token))
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil && a.status == http.StatusOK:
		l.accepted++
	case !l.revoked[kid]:
		l.wrong = append(l.wrong, fmt.Sprintf("kid %s: %v %d %s", kid, err, a.status, a.body))
	}
}

// revoke ends a key in an emergency: its tokens are refused within the promised
// time, and nobody else's.
func (l *load) revoke(t *testing.T, kid string) {
	t.Helper()
	token := l.w.token("service", "orders.read")
	if kidOf(token) != kid {
		t.Fatalf("the active key is %s, the token is of %s", kid, kidOf(token))
	}
	l.mu.Lock()
	l.revoked[kid] = true
	l.mu.Unlock()
	must(t, "", nil, "keys", "revoke", kid, "-c", l.w.file)
	fresh := l.w.token("service", "orders.read")
	l.w.call("GET", "/orders/1", fresh).expect(t, http.StatusOK, "")
	var last answer
	eventually(t, honoured, "the revoked key's tokens are refused", func() bool {
		last = l.w.call("GET", "/orders/1", token)
		return last.status != http.StatusOK
	})
	last.expect(t, http.StatusUnauthorized, "key_revoked")
}

func (l *load) none(t *testing.T, when string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.wrong) > 0 {
		t.Errorf("%s: %d false refusals, the first: %s", when, len(l.wrong), l.wrong[0])
	}
}

// kidOf reads the key id out of a token's header.
func kidOf(token string) string {
	head, _, _ := strings.Cut(token, ".")
	var h struct {
		Kid string `json:"kid"`
	}
	raw, _ := base64.RawURLEncoding.DecodeString(head)
	_ = json.Unmarshal(raw, &h)
	return h.Kid
}
