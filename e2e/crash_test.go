package e2e

import (
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const kills = 20

// A rotation that was acknowledged is there after kill -9: the last refresh
// token a client was given works, or yields the successor that was on its way.
func TestKilledServersLoseNoAcknowledgedRotation(t *testing.T) {
	w := newWorld(t, plan{Grace: "10m"})
	held := make([]string, 8) // the last refresh token each client was given
	for i := range held {
		held[i] = w.session("web").text("refresh_token")
	}
	rotations := 0
	for range kills {
		rotations += killDuringLoad(w, held)
		w.start()
		for i, token := range held {
			a := w.refresh("web", token)
			a.expect(t, http.StatusOK, "")
			held[i] = a.text("refresh_token")
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	if rotations < kills {
		t.Errorf("only %d rotations under load", rotations)
	}
	t.Logf("%d kills, %d rotations acknowledged under load", kills, rotations)
}

// killDuringLoad rotates every token as fast as it goes, kills the server in
// the middle and returns how many rotations were acknowledged.
func killDuringLoad(w *world, held []string) int {
	counts := make([]int, len(held))
	var all sync.WaitGroup
	for i := range held {
		all.Go(func() {
			for {
				a, err := try(w.refreshRequest("web", held[i]))
				if err != nil || a.status != http.StatusOK {
					return
				}
				held[i] = a.text("refresh_token")
				counts[i]++
			}
		})
	}
	time.Sleep(50*time.Millisecond + rand.N(200*time.Millisecond))
	w.kill()
	all.Wait()
	sum := 0
	for _, n := range counts {
		sum += n
	}
	return sum
}

func TestASecondProcessOnTheSameDataIsRefused(t *testing.T) {
	w := newWorld(t, plan{})
	other := strings.NewReplacer(w.IssuerAddress, freeAddress(t), w.GateAddress, freeAddress(t)).Replace(w.fill(worldFile))
	r := longcase(t, "", "serve", "-c", w.write("other.yaml", other))
	if r.code != 2 && r.code != 3 {
		t.Errorf("exits %d: %s", r.code, r.stderr)
	}
	if !strings.Contains(r.stderr, "longcase-data") || !strings.Contains(r.stderr, "another process") {
		t.Errorf("says %q: name the directory and the cause", r.stderr)
	}
	w.token("service", "orders.read") // the first one is as well as before
}

func TestReload(t *testing.T) {
	w := newWorld(t, plan{})
	good := w.fill(worldFile)
	t.Run("a wrong file changes nothing", func(t *testing.T) {
		w.write("longcase.yaml", strings.Replace(good, "access: 5m", "acces: 5m", 1))
		w.hangUp(t, "did you mean")
		w.token("service", "orders.read")
	})
	t.Run("a right one is taken", func(t *testing.T) {
		w.write("longcase.yaml", strings.Replace(good, "scopes: [orders.read, orders.write]", "scopes: [orders.read]", 1))
		w.hangUp(t, "")
		eventually(t, patience, "the client lost a scope", func() bool {
			a := send(t, w.as("service", form(w.Issuer+"/token", "grant_type", "client_credentials", "scope", "orders.write")))
			return a.status == http.StatusBadRequest && a.code() == "invalid_scope"
		})
	})
}

// hangUp sends SIGHUP and waits until the server has said words.
func (w *world) hangUp(t *testing.T, words string) {
	t.Helper()
	if err := w.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "the server says "+words, func() bool { return strings.Contains(w.output(), words) })
}
