package e2e

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// processes are the ways to run a gate: with the issuer, or apart from it.
var processes = []struct {
	name string
	plan plan
}{{"in one process", plan{}}, {"in two processes", plan{Remote: true}}, {"in two processes, by key", plan{Remote: true, ByKey: true}}}

// honoured is the promise: what was ended is refused at a gate that follows the
// feed within this time.
const honoured = time.Second

func TestATokenIsIssuedUsedRenewedAndRefused(t *testing.T) {
	for _, p := range processes {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			p.plan.Access = "3s"
			w := newWorld(t, p.plan)
			first := w.session("web")
			w.call("GET", "/orders/1", first.text("access_token")).expect(t, http.StatusOK, "")

			second := w.refresh("web", first.text("refresh_token"))
			second.expect(t, http.StatusOK, "")
			w.call("GET", "/orders/2", second.text("access_token")).expect(t, http.StatusOK, "")

			time.Sleep(4100 * time.Millisecond) // life and leeway
			over := w.call("GET", "/orders/3", second.text("access_token"))
			over.expect(t, http.StatusUnauthorized, "expired")
			if h := over.header.Get("WWW-Authenticate"); !strings.Contains(h, `error="invalid_token"`) {
				t.Errorf("WWW-Authenticate: %s", h)
			}
			third := w.refresh("web", second.text("refresh_token"))
			w.call("GET", "/orders/4", third.text("access_token")).expect(t, http.StatusOK, "")
		})
	}
}

func TestWhatIsRevokedIsRefusedAtOnce(t *testing.T) {
	for _, p := range processes {
		t.Run(p.name, func(t *testing.T) {
			w := newWorld(t, p.plan)
			t.Run("an access token at /revoke", func(t *testing.T) {
				token, other := w.token("service", "orders.read"), w.token("service", "orders.read")
				w.refusedAfter(t, token, func() {
					send(t, w.as("service", form(w.Issuer+"/revoke", "token", token))).expect(t, http.StatusOK, "")
				})
				w.call("GET", "/orders/1", other).expect(t, http.StatusOK, "")
			})
			t.Run("a refresh token at /revoke, with its session's access tokens", func(t *testing.T) {
				s := w.session("web")
				w.refusedAfter(t, s.text("access_token"), func() {
					send(t, w.as("web", form(w.Issuer+"/revoke", "token", s.text("refresh_token")))).expect(t, http.StatusOK, "")
				})
				w.refresh("web", s.text("refresh_token")).expect(t, http.StatusBadRequest, "invalid_grant")
			})
			t.Run("a subject by the administrator", func(t *testing.T) {
				s := w.session("public")
				w.refusedAfter(t, s.text("access_token"), func() {
					must(t, "", nil, "session", "revoke", "--subject", "alice", "-c", w.file)
				})
				w.refresh("public", s.text("refresh_token")).expect(t, http.StatusBadRequest, "invalid_grant")
			})
			t.Run("a client by the administrator", func(t *testing.T) {
				w.refusedAfter(t, w.token("service", "orders.read"), func() {
					must(t, "", nil, "session", "revoke", "--client", "service", "-c", w.file)
				})
			})
		})
	}
}

// refusedAfter asserts that the gate takes the token, and that it says revoked
// within the promised time after end returns.
func (w *world) refusedAfter(t *testing.T, token string, end func()) {
	t.Helper()
	w.call("GET", "/orders/1", token).expect(t, http.StatusOK, "")
	end()
	var last answer
	eventually(t, honoured, "the gate refuses what was revoked", func() bool {
		last = w.call("GET", "/orders/1", token)
		return last.status != http.StatusOK
	})
	last.expect(t, http.StatusUnauthorized, "revoked")
}

func TestAGateThatLostItsFeed(t *testing.T) {
	w := newWorld(t, plan{Remote: true, StaleAfter: "5s"})
	lives, ended := w.token("service", "orders.read"), w.token("service", "orders.read")
	send(t, w.as("service", form(w.Issuer+"/revoke", "token", ended))).expect(t, http.StatusOK, "")
	w.kill()
	t.Run("refuses everybody and is not ready", func(t *testing.T) {
		eventually(t, patience, "the feed is stale", func() bool { return w.call("GET", "/orders/1", lives).status != http.StatusOK })
		w.call("GET", "/orders/1", lives).expect(t, http.StatusServiceUnavailable, "revocations_stale")
		if got := status(w.Gate + "/.longcase/readyz"); got != http.StatusServiceUnavailable {
			t.Errorf("readyz says %d", got)
		}
		if got := status(w.Gate + "/.longcase/healthz"); got != http.StatusOK {
			t.Errorf("healthz says %d", got)
		}
	})
	t.Run("knows everything when the issuer is back", func(t *testing.T) {
		w.start()
		w.call("GET", "/orders/1", lives).expect(t, http.StatusOK, "")
		w.call("GET", "/orders/1", ended).expect(t, http.StatusUnauthorized, "revoked")
	})
	t.Run("knows everything when it is new itself", func(t *testing.T) {
		w.remote.kill()
		w.startGate()
		eventually(t, patience, "the gate is ready", w.gateReady)
		w.call("GET", "/orders/1", lives).expect(t, http.StatusOK, "")
		w.call("GET", "/orders/1", ended).expect(t, http.StatusUnauthorized, "revoked")
	})
}

func TestASessionEnds(t *testing.T) {
	t.Run("by idleness", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, plan{SessionIdle: "2s", SessionAbsolute: "12h"})
		s := w.session("web")
		time.Sleep(3 * time.Second)
		w.refresh("web", s.text("refresh_token")).expect(t, http.StatusBadRequest, "invalid_grant")
	})
	t.Run("at its absolute end, and no access token outlives it", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, plan{SessionIdle: "4s", SessionAbsolute: "4s", Access: "5m"})
		before := time.Now()
		s := w.session("web")
		if in, _ := s.json["expires_in"].(float64); in > 4 {
			t.Errorf("expires_in is %v, the session ends in 4 s", in)
		}
		if n := len(w.sessions(t)); n != 1 {
			t.Errorf("session list shows %d, want 1", n)
		}
		s = w.refresh("web", s.text("refresh_token"))
		s.expect(t, http.StatusOK, "")
		time.Sleep(time.Until(before.Add(5500 * time.Millisecond)))
		w.refresh("web", s.text("refresh_token")).expect(t, http.StatusBadRequest, "invalid_grant")
		w.call("GET", "/orders/1", s.text("access_token")).expect(t, http.StatusUnauthorized, "expired")
		if n := len(w.sessions(t)); n != 0 {
			t.Errorf("session list still shows %d", n)
		}
	})
}

// sessions is what session list shows.
func (w *world) sessions(t *testing.T) []map[string]any {
	t.Helper()
	var list struct{ Sessions []map[string]any }
	must(t, "", &list, "session", "list", "--json", "-c", w.file)
	return list.Sessions
}

func TestRacedRefreshesHaveOneWinner(t *testing.T) {
	w := newWorld(t, plan{})
	s := w.session("web")
	token := s.text("refresh_token")
	for round := range long(5) {
		for _, racers := range []int{2, 64} {
			token = raceOnce(t, w, token, racers)
			if t.Failed() {
				t.Fatalf("in round %d with %d racers", round, racers)
			}
		}
	}
	list := w.sessions(t)
	if want := float64(1 + 2*long(5)); len(list) != 1 || list[0]["generation"] != want {
		t.Errorf("session list shows %v, want one session of generation %v", list, want)
	}
}

// raceOnce refreshes one generation many times at once and returns the one
// successor that all of them must have been given.
func raceOnce(t *testing.T, w *world, token string, racers int) string {
	t.Helper()
	answers := make([]answer, racers)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() { answers[i], _ = try(w.refreshRequest("web", token)) })
	}
	all.Wait()
	next := answers[0].text("refresh_token")
	for _, a := range answers {
		w.hideAll(a).expect(t, http.StatusOK, "")
		if got := a.text("refresh_token"); got != next || got == token {
			t.Errorf("racers hold %.30s… and %.30s…", got, next)
		}
	}
	return next
}
