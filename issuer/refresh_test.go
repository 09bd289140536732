package issuer

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/longcase/longcase/store"
)

func TestJudge(t *testing.T) {
	start := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	life := Lifetimes{SessionIdle: time.Hour, SessionAbsolute: 12 * time.Hour, Grace: time.Minute}
	tests := []struct {
		name      string
		presented store.Generation
		at        time.Duration // after the last rotation
		ended     bool
		want      standing
	}{
		{"the newest", 3, 0, false, current},
		{"the newest, just before the idle end", 3, time.Hour - time.Millisecond, false, current},
		{"the newest, at the idle end", 3, time.Hour, false, over},
		{"the newest of an ended session", 3, 0, true, ended},
		{"the predecessor at once", 2, 0, false, repeated},
		{"the predecessor, seen from a slow clock", 2, -time.Second, false, repeated},
		{"the predecessor at the end of grace", 2, time.Minute - time.Millisecond, false, repeated},
		{"the predecessor after grace", 2, time.Minute, false, reused},
		{"the one before", 1, 0, false, reused},
		{"the one before, after the idle end", 1, time.Hour, false, over},
		{"the predecessor of an ended session", 2, 0, true, ended},
		{"one ahead", 4, 0, false, ahead},
		{"the last there can be", 1<<64 - 1, 0, false, ahead},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := store.Session{Generation: 3, Ended: tt.ended, End: start.Add(10 * time.Hour)}
			if got := life.judge(s, sessionData{Used: start.UnixMilli()}, tt.presented, start.Add(tt.at)); got != tt.want {
				t.Errorf("standing %d, want %d", got, tt.want)
			}
		})
	}
	t.Run("the absolute end comes first", func(t *testing.T) {
		s := store.Session{Generation: 3, End: start.Add(time.Minute)}
		if got := life.judge(s, sessionData{Used: start.UnixMilli()}, 3, start.Add(time.Minute)); got != over {
			t.Errorf("standing %d, want over", got)
		}
	})
}

func TestWithoutGraceTheLastOneIsReused(t *testing.T) {
	for _, at := range []time.Duration{-time.Second, 0, time.Second} {
		l := Lifetimes{SessionIdle: time.Hour, SessionAbsolute: 12 * time.Hour}
		now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
		s := store.Session{Generation: 3, End: now.Add(10 * time.Hour)}
		if got := l.judge(s, sessionData{Used: now.UnixMilli()}, 2, now.Add(at)); got != reused {
			t.Errorf("%s after the rotation: standing %d, want reused", at, got)
		}
	}
}

// TestAnIdleEndDoesNotShortenAccessTokens: a session that nobody uses ends, and
// the tokens that it gave have their own end.
func TestAnIdleEndDoesNotShortenAccessTokens(t *testing.T) {
	r := newRig(t)
	r.is.cfg.Lifetimes.SessionIdle = time.Minute
	first := r.session(t, "web")
	second := r.refresh("web", first.text("refresh_token"))
	if first.JSON["expires_in"] != 300.0 || second.JSON["expires_in"] != 300.0 {
		t.Errorf("expires_in %v, then %v; want 300", first.JSON["expires_in"], second.JSON["expires_in"])
	}
}

func TestRefreshRotates(t *testing.T) {
	r := newRig(t)
	first := r.session(t, "web", "openid", "orders.read")
	second := r.refresh("web", first.text("refresh_token"))
	wantNoStore(t, second)
	if second.Status != 200 || second.text("refresh_token") == first.text("refresh_token") {
		t.Fatalf("%d %s", second.Status, second.Body)
	}
	_, a := r.claims(t, first.text("access_token"))
	_, b := r.claims(t, second.text("access_token"))
	if a.Session != b.Session || a.ID == b.ID || !a.AuthTime.Equal(b.AuthTime) || b.Scope != "openid orders.read" {
		t.Errorf("%s\n%s", a.Raw, b.Raw)
	}
	if _, id := r.claims(t, second.text("id_token")); id.Session != a.Session || strings.Contains(string(id.Raw), "nonce") {
		t.Errorf("ID token of a refresh: %s", id.Raw)
	}
}

// TestChecklist01 races many uses of one token: every winner holds the same
// successor, and the session lives on.
func TestChecklist01RacedRefreshesGetOneSuccessor(t *testing.T) {
	r := newRig(t)
	text := r.session(t, "web").text("refresh_token")
	for range long(100) {
		var wait sync.WaitGroup
		got := make([]reply, 64)
		for i := range got {
			wait.Go(func() { got[i] = r.refresh("web", text) })
		}
		wait.Wait()
		for _, one := range got {
			if one.Status != 200 || one.text("refresh_token") != got[0].text("refresh_token") {
				t.Fatalf("%d %s; another holds %s", one.Status, one.Body, got[0].Body)
			}
		}
		text = got[0].text("refresh_token")
		r.advance(2 * time.Second)
	}
	if len(r.feed(t)) != 0 {
		t.Errorf("feed %v", r.feed(t))
	}
}

// TestChecklist02 uses a parent after its child was used: all is dead, told once.
func TestChecklist02ReuseEndsTheSession(t *testing.T) {
	r := newRig(t)
	first := r.session(t, "web")
	second := r.refresh("web", first.text("refresh_token"))
	third := r.refresh("web", second.text("refresh_token"))
	if !r.active(t, third.text("access_token")) {
		t.Fatal("not active before")
	}
	var wait sync.WaitGroup
	for range 16 {
		wait.Go(func() { wantError(t, r.refresh("web", first.text("refresh_token")), 400, "invalid_grant") })
	}
	wait.Wait()
	for _, text := range []string{first.text("refresh_token"), second.text("refresh_token"), third.text("refresh_token")} {
		wantError(t, r.refresh("web", text), 400, "invalid_grant")
	}
	for _, one := range []reply{first, second, third} {
		if r.active(t, one.text("access_token")) {
			t.Error("an access token of the session is still active")
		}
	}
	if n := r.count("reused"); n != 1 {
		t.Errorf("told %d times", n)
	}
	if all := r.feed(t); len(all) != 1 || all[0].Kind != store.RevokedSession || all[0].End.Sub(r.now()) < time.Hour+11*time.Minute {
		t.Errorf("feed %v", all)
	}
}

// TestReplaysOnAFrozenClock is keycloak#50999: three rotations within one
// instant, and each replayed.
func TestReplaysOnAFrozenClock(t *testing.T) {
	for replay := range 3 {
		r := newRig(t)
		texts := []string{r.session(t, "web").text("refresh_token")}
		for i := range 3 {
			texts = append(texts, r.refresh("web", texts[i]).text("refresh_token"))
		}
		got := r.refresh("web", texts[replay])
		if replay == 2 { // the immediate predecessor
			if got.Status != 200 || got.text("refresh_token") != texts[3] || r.count("repeated") != 1 {
				t.Errorf("predecessor: %d %s", got.Status, got.Body)
			}
			continue
		}
		wantError(t, got, 400, "invalid_grant")
		wantError(t, r.refresh("web", texts[3]), 400, "invalid_grant")
	}
}

// TestChecklist03 drops a response and repeats the request, within grace and
// after.
func TestChecklist03ALostResponseMayBeRepeated(t *testing.T) {
	r := newRig(t)
	first := r.session(t, "web").text("refresh_token")
	lost := r.refresh("web", first).text("refresh_token")
	r.advance(time.Minute - time.Second)
	if got := r.refresh("web", first); got.text("refresh_token") != lost {
		t.Fatalf("within grace: %d %s", got.Status, got.Body)
	}
	r.advance(time.Second)
	wantError(t, r.refresh("web", first), 400, "invalid_grant")
	wantError(t, r.refresh("web", lost), 400, "invalid_grant")
}

// TestChecklist04 asks for more than was granted.
func TestChecklist04ARefreshNeverWidens(t *testing.T) {
	r := newRig(t)
	r.change("web", func(c *Client) { c.Audiences = append(c.Audiences, "https://bills.test") })
	text := r.session(t, "web", "orders.read").text("refresh_token")
	wantError(t, r.refresh("web", text, "scope", "orders.read orders.write"), 400, "invalid_scope")
	wantError(t, r.refresh("web", text, "scope", "admin"), 400, "invalid_scope")
	wantError(t, r.refresh("web", text, "scope", "openid"), 400, "invalid_scope")
	wantError(t, r.refresh("web", text, "resource", "https://bills.test"), 400, "invalid_target")
	wantError(t, r.refresh("web", text, "audience", "*"), 400, "invalid_target")
	wantError(t, r.refresh("web", text, "audience", testAudience, "resource", testAudience), 400, "invalid_target")
	if got := r.refresh("web", text, "resource", testAudience); got.Status != 200 {
		t.Errorf("the same audience: %d %s", got.Status, got.Body)
	}
}

func TestARefreshMayNarrowOneToken(t *testing.T) {
	r := newRig(t)
	first := r.session(t, "web")
	narrow := r.refresh("web", first.text("refresh_token"), "scope", "orders.read")
	if _, c := r.claims(t, narrow.text("access_token")); c.Scope != "orders.read" || narrow.text("scope") != "orders.read" {
		t.Errorf("%s", c.Raw)
	}
	if got := r.refresh("web", narrow.text("refresh_token")); got.text("scope") != "orders.read orders.write" {
		t.Errorf("the session itself was narrowed: %s", got.Body)
	}
}

// TestChecklist05 is a stranger with a stolen token, of every generation.
func TestChecklist05AStrangerEndsNothing(t *testing.T) {
	r := newRig(t)
	texts := []string{r.session(t, "web").text("refresh_token")}
	for i := range 3 {
		texts = append(texts, r.refresh("web", texts[i]).text("refresh_token"))
	}
	for _, text := range texts {
		wantError(t, r.refresh("rival", text), 400, "invalid_grant")
		wantError(t, r.post("/revoke", "client_id", "rival", "token", text), 400, "invalid_grant")
	}
	h, err := parseRefresh(texts[3])
	if err != nil {
		t.Fatal(err)
	}
	forged := h
	forged.generation = 1
	wantError(t, r.refresh("web", refreshPrefix+base64.RawURLEncoding.EncodeToString(append(forged.body(), h.mac...))), 400, "invalid_grant")
	ahead, err := r.is.refreshText(r.ring.CurrentMAC(r.now()), h.id, h.generation+1)
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, r.refresh("web", ahead), 400, "invalid_grant")
	if got := r.post("/revoke", "client_id", "web", "token", ahead); got.Status != 200 {
		t.Errorf("revoking what was never given out: %d", got.Status)
	}
	if n := r.count("reused"); n != 0 || len(r.feed(t)) != 0 {
		t.Errorf("reused %d, feed %v", n, r.feed(t))
	}
	if got := r.refresh("web", texts[3]); got.Status != 200 {
		t.Errorf("the owner lost the session: %s", got.Body)
	}
}

// TestChecklist06 is one second on either side of the idle end.
func TestChecklist06IdleEnd(t *testing.T) {
	r := newRig(t)
	text := r.session(t, "web").text("refresh_token")
	for range 3 { // each refresh begins it anew
		r.advance(time.Hour - time.Second)
		text = r.refresh("web", text).text("refresh_token")
	}
	r.advance(time.Hour + time.Second)
	wantError(t, r.refresh("web", text), 400, "invalid_grant")
}

func TestTheAbsoluteEndIsFixedAndNothingOutlivesIt(t *testing.T) {
	r := newRig(t)
	start := r.now()
	got := r.session(t, "web")
	for r.advance(50 * time.Minute); r.now().Sub(start) < 12*time.Hour; r.advance(50 * time.Minute) {
		got = r.refresh("web", got.text("refresh_token"))
		if got.Status != 200 {
			t.Fatalf("after %s: %s", r.now().Sub(start), got.Body)
		}
		if _, c := r.claims(t, got.text("access_token")); c.Expires.After(start.Add(12 * time.Hour)) {
			t.Fatalf("exp %s outlives the session", c.Expires)
		}
	}
	wantError(t, r.refresh("web", got.text("refresh_token")), 400, "invalid_grant")
}

func TestAnAccessTokenIsCutAtTheEndOfItsSession(t *testing.T) {
	r := newRig(t)
	got := r.session(t, "web")
	for range 14 {
		r.advance(51*time.Minute + 20*time.Second)
		got = r.refresh("web", got.text("refresh_token"))
	}
	if got.JSON["expires_in"] != 80.0 {
		t.Errorf("expires_in %v, 80 s before the end", got.JSON["expires_in"])
	}
}

// TestChecklist08 flips every bit and cuts at every place.
func TestChecklist08AChangedRefreshTokenIsNone(t *testing.T) {
	r := newRig(t)
	text := r.session(t, "web").text("refresh_token")
	refused := func(changed string) {
		t.Helper()
		if got := r.refresh("web", changed); got.Status != 400 || got.text("error") != "invalid_grant" && len(changed) > 1 { // "" and "-" are sent as none
			t.Errorf("%q: %d %s", changed, got.Status, got.Body)
		}
	}
	for i := range text {
		refused(text[:i])
		refused(text[i+1:])
		refused(text[i+1:] + text[:i])
		for bit := range 8 {
			flipped := []byte(text)
			flipped[i] ^= 1 << bit
			refused(string(flipped))
		}
	}
	for _, changed := range []string{text + "A", text + "=", text + "\n", " " + text, text[:20] + "\n" + text[20:], strings.ToUpper(text), strings.Repeat(text, 100),
		refreshPrefix + strings.Repeat("\n", len(text)-len(refreshPrefix)), text[:len(text)-4] + "\n\n\n\n"} {
		refused(changed)
	}
	if r.count("reused") != 0 {
		t.Error("a forged token ended the session")
	}
	if got := r.refresh("web", text); got.Status != 200 {
		t.Errorf("the true one: %s", got.Body)
	}
}

// TestPolicyChangesReachTheNextRefresh is GHSA-895x-rfqp-jh5c and its like.
func TestPolicyChangesReachTheNextRefresh(t *testing.T) {
	tests := []struct {
		name   string
		change func(*rig)
		code   string // empty: it works
	}{
		{"refresh_token no longer named", func(r *rig) { r.change("web", func(c *Client) { c.Grants = c.Grants[:1] }) }, "unauthorized_client"},
		{"authorization_code no longer named", func(r *rig) { r.change("web", func(c *Client) { c.Grants = c.Grants[1:] }) }, "invalid_grant"},
		{"audience gone", func(r *rig) { r.change("web", func(c *Client) { c.Audiences = []string{"https://bills.test"} }) }, "invalid_grant"},
		{"every scope gone", func(r *rig) { r.change("web", func(c *Client) { c.Scopes = nil }) }, "invalid_grant"},
		{"one scope gone", func(r *rig) { r.change("web", func(c *Client) { c.Scopes = c.Scopes[:1] }) }, ""},
		{"client gone", func(r *rig) { delete(r.clients, "web") }, "invalid_client"},
		{"user gone", func(r *rig) { delete(r.people, "alice") }, "invalid_grant"},
		{"client asks for a secret now", func(r *rig) { r.change("web", func(c *Client) { c.Authenticate = AuthSecret }) }, "invalid_client"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			text := r.session(t, "web").text("refresh_token")
			tt.change(r)
			got := r.refresh("web", text)
			if tt.code != "" {
				wantError(t, got, status(tt.code), tt.code)
			} else if got.text("scope") != "orders.read" {
				t.Errorf("%d %s", got.Status, got.Body)
			}
		})
	}
}

// TestRotationIsAsItsModel drives one session with any order of presentations,
// retries and waits, and compares each answer with the rule of DESIGN 3.2.
func TestRotationIsAsItsModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := newRig(t)
		texts := []string{"", r.session(t, "web").text("refresh_token")} // by generation
		ended, used := false, r.now()
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			r.advance(time.Duration(rapid.SampledFrom([]int{0, 0, 1, 59, 60, 61, 3599, 3600}).Draw(rt, "wait")) * time.Second)
			g := rapid.IntRange(max(1, len(texts)-4), len(texts)-1).Draw(rt, "generation")
			newest, idle := len(texts)-1, r.now().Sub(used)
			got := r.refresh("web", texts[g])
			switch {
			case ended || idle >= time.Hour:
				wantCode(rt, got, "invalid_grant")
			case g == newest:
				if got.Status != 200 {
					rt.Fatalf("newest: %s", got.Body)
				}
				texts, used = append(texts, got.text("refresh_token")), r.now()
			case g == newest-1 && idle < time.Minute:
				if got.text("refresh_token") != texts[newest] {
					rt.Fatalf("predecessor in grace: %s", got.Body)
				}
			default:
				wantCode(rt, got, "invalid_grant")
				ended = true
			}
		}
		if n := r.count("reused"); (n == 1) != ended || n > 1 {
			rt.Fatalf("ended %v, told %d times", ended, n)
		}
	})
}

func wantCode(t *rapid.T, got reply, code string) {
	if got.text("error") != code {
		t.Fatalf("%d %s, want %s", got.Status, got.Body, code)
	}
}

// TestAStoreThatFailsIsNeverASuccess fails each store call of each flow in turn: a failure is
// said as one, a success is one, and the flow can be tried again.
func TestAStoreThatFailsIsNeverASuccess(t *testing.T) {
	flows := []struct {
		name string
		make func(*testing.T, *rig) (attempt func() reply, holds func(last reply) bool)
	}{
		{"refresh", refreshFlow}, {"reuse", reuseFlow}, {"code", codeFlow}, {"code used twice", codeAgainFlow},
		{"revoke a session", revokeSessionFlow}, {"revoke a token", revokeTokenFlow}, {"assertion", assertionFlow},
	}
	faults := map[string]struct {
		err  error
		does bool
	}{"failed": {errDisk, false}, "unknown, not done": {store.ErrUnknown, false}, "unknown, done": {store.ErrUnknown, true}}
	for _, flow := range flows {
		for name, fault := range faults {
			t.Run(flow.name+" "+name, func(t *testing.T) {
				for n := 1; ; n++ {
					r := newRig(t)
					attempt, holds := flow.make(t, r)
					r.engine.arm(n, fault.err, fault.does)
					got := attempt()
					struck := r.engine.heal()
					if !struck {
						if n == 1 {
							t.Error("the flow never calls the store")
						}
						break
					}
					if got.Status >= 500 {
						wantError(t, got, 503, "temporarily_unavailable")
						got = attempt()
					}
					if !holds(got) {
						t.Errorf("fault %d: then %d %s", n, got.Status, got.Body)
					}
				}
			})
		}
	}
}

func refreshFlow(t *testing.T, r *rig) (func() reply, func(reply) bool) {
	text := r.session(t, "web").text("refresh_token")
	return func() reply { return r.refresh("web", text) }, func(got reply) bool {
		next := got.text("refresh_token")
		return got.Status == 200 && r.refresh("web", next).Status == 200
	}
}

func reuseFlow(t *testing.T, r *rig) (func() reply, func(reply) bool) {
	first := r.session(t, "web")
	second := r.refresh("web", first.text("refresh_token"))
	third := r.refresh("web", second.text("refresh_token"))
	return func() reply { return r.refresh("web", first.text("refresh_token")) }, func(got reply) bool {
		return got.text("error") == "invalid_grant" && len(r.feed(t)) > 0 && r.dead(t, third)
	}
}

// dead reports whether nothing of a session works, in the store too and not
// only as long as its entry is in the feed.
func (r *rig) dead(t *testing.T, last reply) bool {
	h, err := parseRefresh(last.text("refresh_token"))
	if err != nil {
		t.Fatal(err)
	}
	refused := r.refresh("web", last.text("refresh_token")).text("error") == "invalid_grant"
	s, err := r.engine.Engine.Sessions().Load(t.Context(), h.id)
	return refused && err == nil && s.Ended && !r.active(t, last.text("access_token"))
}

// codeFlow: after a failure the code may count as used, and is then refused;
// it never makes two sessions.
func codeFlow(t *testing.T, r *rig) (func() reply, func(reply) bool) {
	code := r.code(t, "web")
	return func() reply { return r.redeem("web", code) }, func(got reply) bool {
		live := 0
		all, err := r.engine.Engine.Sessions().List(t.Context(), store.ID{}, 100)
		for _, s := range all {
			if !s.Ended {
				live++
			}
		}
		if got.Status == 200 {
			return err == nil && r.refresh("web", got.text("refresh_token")).Status == 200
		}
		return got.text("error") == "invalid_grant" && live <= 1
	}
}

func codeAgainFlow(t *testing.T, r *rig) (func() reply, func(reply) bool) {
	code := r.code(t, "web")
	first := r.redeem("web", code)
	return func() reply { return r.redeem("web", code) }, func(got reply) bool {
		return got.text("error") == "invalid_grant" && r.dead(t, first)
	}
}

func revokeSessionFlow(t *testing.T, r *rig) (func() reply, func(reply) bool) {
	first := r.session(t, "web")
	return func() reply { return r.post("/revoke", "client_id", "web", "token", first.text("refresh_token")) }, func(got reply) bool {
		return got.Status == 200 && r.dead(t, first)
	}
}

func revokeTokenFlow(t *testing.T, r *rig) (func() reply, func(reply) bool) {
	first := r.session(t, "web")
	return func() reply { return r.post("/revoke", "client_id", "web", "token", first.text("access_token")) }, func(got reply) bool {
		return got.Status == 200 && !r.active(t, first.text("access_token"))
	}
}

// assertionFlow: after a failure the assertion counts as used; it never works
// twice.
func assertionFlow(t *testing.T, r *rig) (func() reply, func(reply) bool) {
	assertion := r.assertion(t, nil)
	return func() reply { return r.assert(assertion) }, func(got reply) bool {
		return (got.Status == 200 || got.Status == 401) && r.assert(assertion).Status == 401
	}
}

func TestTheLosersOfARaceAreNoServerError(t *testing.T) {
	r := newRig(t)
	text := r.session(t, "web").text("refresh_token")
	r.engine.arm(2, fmt.Errorf("lost: %w", store.ErrConflict), true) // the winner is another node
	if got := r.refresh("web", text); got.Status != 200 {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	if !r.engine.heal() {
		t.Fatal("no fault struck")
	}
	if !errors.Is(r.is.cfg.Engine.Sessions().Revoke(t.Context(), store.ID{}), store.ErrNotFound) {
		t.Error("the engine is not itself again")
	}
}

// TestTheOtherOfARace lets another request finish between a refresh's look at
// the session and its write.
func TestTheOtherOfARace(t *testing.T) {
	r := newRig(t)
	text := r.session(t, "web").text("refresh_token")
	var winner reply
	r.engine.race(2, func() { winner = r.refresh("web", text) })
	loser := r.refresh("web", text)
	if loser.Status != 200 || loser.text("refresh_token") != winner.text("refresh_token") || r.count("repeated") != 1 {
		t.Errorf("loser %s\nwinner %s", loser.Body, winner.Body)
	}
	next := loser.text("refresh_token")
	r.engine.race(2, func() { // the successor is used before the predecessor is judged again
		r.refresh("web", r.refresh("web", next).text("refresh_token"))
	})
	wantError(t, r.refresh("web", next), 400, "invalid_grant")
	if r.count("reused") != 1 {
		t.Errorf("told %d times", r.count("reused"))
	}
	other := r.session(t, "web")
	h, err := parseRefresh(other.text("refresh_token"))
	if err != nil {
		t.Fatal(err)
	}
	r.engine.race(2, func() {
		if _, err := r.is.RevokeSession(t.Context(), h.id.String()); err != nil {
			t.Error(err)
		}
	})
	wantError(t, r.refresh("web", other.text("refresh_token")), 400, "invalid_grant")
}

func FuzzRefreshToken(f *testing.F) {
	r := newRig(f)
	text := r.session(f, "web").text("refresh_token")
	code := r.code(f, "web")
	for _, seed := range []string{text, code, "", refreshPrefix, refreshPrefix + strings.Repeat("\n", len(text)-len(refreshPrefix)), text[:20], text + "A", strings.Replace(text, "_", "-", 3), refreshPrefix + code[len(codePrefix):]} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if h, err := parseRefresh(s); err == nil {
			if again := refreshPrefix + base64.RawURLEncoding.EncodeToString(append(h.body(), h.mac...)); again != s {
				t.Errorf("%q reads as %q", s, again)
			}
			if ok, err := r.is.genuine(r.ring.CurrentMAC(r.now()), h); ok != (s == text) || err != nil {
				t.Errorf("%q is genuine: %v, %v", s, ok, err)
			}
		}
		if h, err := parseCode(s); err == nil {
			if again := codePrefix + base64.RawURLEncoding.EncodeToString(append(h.body(), h.mac...)); again != s {
				t.Errorf("%q reads as %q", s, again)
			}
		}
	})
}

// TestASessionThatARefreshEndsIsInTheFeed stages a revocation of a client whose
// entry is written and whose sessions are not ended yet.
func TestASessionThatARefreshEndsIsInTheFeed(t *testing.T) {
	r := newRig(t)
	first := r.session(t, "web")
	r.advance(10 * time.Second)
	before := r.now() // of the entry: the session began earlier, its next token comes later
	r.advance(time.Second)
	second := r.refresh("web", first.text("refresh_token"))
	entry := store.Revocation{Kind: store.RevokedClient, Value: "web", Before: before, End: r.now().Add(time.Hour)}
	if err := r.is.add(t.Context(), entry); err != nil {
		t.Fatal(err)
	}
	wantError(t, r.refresh("web", second.text("refresh_token")), 400, "invalid_grant")
	if r.active(t, second.text("access_token")) {
		t.Error("the session was ended by the refresh, but its access token is live")
	}
}
