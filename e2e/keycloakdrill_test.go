package e2e

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"
)

// drill makes tokens and shows them to a gate all the time: each as soon as it is
// made, and then again and again.
type drill struct {
	j    *judge
	mint func() (string, error)

	mu       sync.Mutex
	tokens   []string
	made     int
	accepted int
	wrong    []string
}

func startDrill(t *testing.T, j *judge, mint func() (string, error)) *drill {
	t.Helper()
	d := &drill{j: j, mint: mint}
	quit, all := make(chan struct{}), sync.WaitGroup{}
	for _, work := range []struct {
		what  func()
		pause time.Duration
	}{{d.make, 20 * time.Millisecond}, {d.again, 4 * time.Millisecond}, {d.again, 4 * time.Millisecond}} {
		all.Go(func() {
			for {
				select {
				case <-quit:
					return
				case <-time.After(work.pause):
					work.what()
				}
			}
		})
	}
	t.Cleanup(func() { close(quit); all.Wait() })
	return d
}

// make gets a token, if the issuer is there to make one, and shows it.
func (d *drill) make() {
	token, err := d.mint()
	if err != nil {
		return
	}
	d.j.hide(token)
	d.show(token)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.made++
	d.tokens = append(d.tokens, token)
}

// again shows a token that was shown before.
func (d *drill) again() {
	d.mu.Lock()
	token := ""
	if n := len(d.tokens); n > 0 {
		token = d.tokens[d.accepted%n]
	}
	d.mu.Unlock()
	if token != "" {
		d.show(token)
	}
}

func (d *drill) show(token string) {
	a, err := try(d.j.request(token))
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil || a.status != http.StatusOK {
		d.wrong = append(d.wrong, fmt.Sprintf("kid %s: %v %d %s", kidOf(token), err, a.status, a.body))
		return
	}
	d.accepted++
}

// some waits until another thousand calls have been judged.
func (d *drill) some(t *testing.T) {
	t.Helper()
	count := func() int {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.accepted + len(d.wrong)
	}
	enough := count() + 1000
	eventually(t, 2*patience, "1000 calls more", func() bool { return count() >= enough })
}

// none asserts that nobody was refused.
func (d *drill) none(t *testing.T) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	t.Logf("%d tokens made, %d calls accepted, %d refused", d.made, d.accepted, len(d.wrong))
	if len(d.wrong) > 0 {
		t.Errorf("%d false refusals, the first: %s", len(d.wrong), d.wrong[0])
	}
}
