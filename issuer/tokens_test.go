package issuer

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/longcase/longcase/store"
)

func TestIntrospection(t *testing.T) {
	r := newRig(t)
	first := r.session(t, "web")
	access, refresh := first.text("access_token"), first.text("refresh_token")
	_, c := r.claims(t, access)
	got := r.basic("/introspect", "gate", testSecret, "token", access, "token_type_hint", "refresh_token")
	wantNoStore(t, got)
	want := map[string]any{
		"active": true, "scope": "orders.read orders.write", "client_id": "web", "token_type": "Bearer", "sub": "alice", "aud": testAudience,
		"iss": testURL, "jti": c.ID, "sid": c.Session,
		"exp": float64(c.Expires.Unix()), "iat": float64(c.IssuedAt.Unix()), "nbf": float64(c.NotBefore.Unix()),
	}
	for name, v := range want {
		if got.JSON[name] != v {
			t.Errorf("%s is %v, want %v", name, got.JSON[name], v)
		}
	}
	inactive := func(name, id, token string) {
		t.Helper()
		if got := r.basic("/introspect", id, testSecret, "token", token); got.Status != 200 || string(got.Body) != `{"active":false}` {
			t.Errorf("%s: %d %s", name, got.Status, got.Body)
		}
	}
	inactive("a client that is neither", "idle", access)
	inactive("another client's refresh token", "gate", refresh)
	inactive("rubbish", "gate", "x.y.z")
	inactive("cut", "gate", access[:len(access)-1])
	inactive("cut refresh token", "gate", refresh[:len(refresh)-1])
	wantError(t, r.basic("/introspect", "gate", testSecret), 400, "invalid_request")
	wantError(t, r.basic("/introspect", "gate", "wrong", "token", access), 401, "invalid_client")
	wantError(t, r.post("/introspect", "client_id", "web", "token", access), 401, "invalid_client")
	r.change("idle", func(c *Client) { c.ID = testAudience })
	r.clients[testAudience] = r.clients["idle"]
	if got := r.basic("/introspect", testAudience, testSecret, "token", access); got.JSON["active"] != true {
		t.Errorf("the audience itself: %s", got.Body)
	}
}

// TestChecklist52 moves a token out of life in every way; the answer says
// nothing more.
func TestChecklist52WhatIsOverSaysOnlyThat(t *testing.T) {
	kid := func(r *rig, access string) string { jws, _ := r.claims(t, access); return jws.KeyID() }
	tests := map[string]func(t *testing.T, r *rig, one reply) error{
		"expired": func(_ *testing.T, r *rig, _ reply) error { r.advance(5 * time.Minute); return nil },
		"revoked": func(_ *testing.T, r *rig, one reply) error {
			r.post("/revoke", "client_id", "web", "token", one.text("access_token"))
			return nil
		},
		"session revoked by its refresh token": func(_ *testing.T, r *rig, one reply) error {
			r.post("/revoke", "client_id", "web", "token", one.text("refresh_token"))
			return nil
		},
		"session ended": func(t *testing.T, r *rig, one reply) error {
			_, c := r.claims(t, one.text("access_token"))
			did, err := r.is.RevokeSession(t.Context(), c.Session)
			if again, _ := r.is.RevokeSession(t.Context(), c.Session); !did || again {
				t.Errorf("it ended it %v, and again %v", did, again)
			}
			return err
		},
		"client ended": func(t *testing.T, r *rig, _ reply) error {
			n, err := r.is.RevokeClient(t.Context(), "web", time.Time{})
			if n != 1 {
				t.Errorf("ended %d sessions", n)
			}
			return err
		},
		"subject ended": func(t *testing.T, r *rig, _ reply) error {
			_, err := r.is.RevokeSubject(t.Context(), "alice", time.Time{})
			return err
		},
		"all before now ended": func(t *testing.T, r *rig, _ reply) error {
			_, err := r.is.RevokeAllBefore(t.Context(), time.Time{})
			return err
		},
		"key in the feed": func(t *testing.T, r *rig, one reply) error {
			return r.is.RevokeKey(t.Context(), kid(r, one.text("access_token")))
		},
		"key withdrawn": func(t *testing.T, r *rig, one reply) error {
			return r.ring.Revoke(t.Context(), kid(r, one.text("access_token")), r.now())
		},
	}
	for name, end := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			one := r.session(t, "web")
			if !r.active(t, one.text("access_token")) {
				t.Fatal("not active before")
			}
			if err := end(t, r, one); err != nil {
				t.Fatal(err)
			}
			got := r.basic("/introspect", "gate", testSecret, "token", one.text("access_token"))
			if got.Status != 200 || string(got.Body) != `{"active":false}` {
				t.Errorf("%d %s", got.Status, got.Body)
			}
		})
	}
}

// TestATokenWithoutASessionEndsWithItsClient compares with the token's own iat,
// never with now (CVE-2020-26892).
func TestATokenWithoutASessionEndsWithItsClient(t *testing.T) {
	ends := map[string]func(*Issuer, context.Context, string, time.Time) (int, error){"client": (*Issuer).RevokeClient, "subject": (*Issuer).RevokeSubject}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			issue := func() string {
				return r.basic("/token", "service", testSecret, "grant_type", "client_credentials").text("access_token")
			}
			old := issue()
			r.advance(time.Second)
			young := issue()
			if _, err := end(r.is, t.Context(), "service", r.now()); err != nil {
				t.Fatal(err)
			}
			if r.active(t, old) || !r.active(t, young) {
				t.Errorf("before: active %v; after: active %v", r.active(t, old), r.active(t, young))
			}
			if _, err := end(r.is, t.Context(), "service", time.Time{}); err != nil {
				t.Fatal(err)
			}
			if r.active(t, young) {
				t.Error("now leaves a token of this second")
			}
			r.advance(time.Second)
			if !r.active(t, issue()) {
				t.Error("a new token is ended too")
			}
		})
	}
}

func TestATokenOfAnotherIssuerOrKindIsNotActive(t *testing.T) {
	r := newRig(t)
	signer, err := r.ring.Signer(r.now())
	if err != nil {
		t.Fatal(err)
	}
	write := func(typ, iss string) string {
		raw, err := sign(signer, typ, accessClaims{Issuer: iss, Subject: "a", Audience: testAudience, ClientID: "web", ID: "j",
			IssuedAt: r.now().Unix(), NotBefore: r.now().Unix(), Expires: r.now().Add(time.Minute).Unix()})
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	if !r.active(t, write("at+jwt", testURL)) || !r.active(t, write("application/at+jwt", testURL)) {
		t.Error("a good one is not active")
	}
	for name, raw := range map[string]string{"another issuer": write("at+jwt", testURL+"/"), "ID token": write("JWT", testURL), "no type": write("", testURL)} {
		if r.active(t, raw) {
			t.Errorf("%s: active", name)
		}
		if got := r.post("/revoke", "client_id", "web", "token", raw); got.Status != 200 || len(r.feed(t)) != 0 {
			t.Errorf("%s: revoking it is %d, feed %v", name, got.Status, r.feed(t))
		}
	}
}

func TestARefreshTokenIsActiveWhileItWouldWork(t *testing.T) {
	r := newRig(t)
	r.change("web", func(c *Client) { c.Authenticate, c.SecretHash = AuthSecret, r.clients["gate"].SecretHash })
	redeem := r.basic("/token", "web", testSecret, "grant_type", "authorization_code", "code", r.code(t, "web"), "redirect_uri", testCallback, "code_verifier", testVerifier)
	refresh := func(text string) string {
		return r.basic("/token", "web", testSecret, "grant_type", "refresh_token", "refresh_token", text).text("refresh_token")
	}
	active := func(text string) bool {
		return r.basic("/introspect", "web", testSecret, "token", text).JSON["active"] == true
	}
	first := redeem.text("refresh_token")
	second := refresh(first)
	if !active(first) || !active(second) {
		t.Error("the predecessor in grace and the newest would work")
	}
	third := refresh(second)
	if active(first) || !active(second) || !active(third) {
		t.Error("two behind would not work")
	}
	if r.count("reused") != 0 {
		t.Error("looking at a token ended its session")
	}
	r.advance(time.Hour)
	if active(third) {
		t.Error("an idle session's token is active")
	}
}

// TestChecklist53 revokes twice, what is not there, and what is another's.
func TestChecklist53Revocation(t *testing.T) {
	r := newRig(t)
	one := r.session(t, "web")
	for _, text := range []string{one.text("access_token"), one.text("access_token"), "rubbish", refreshPrefix + "x", strings.Repeat("x", 20_000), one.text("refresh_token"), one.text("refresh_token")} {
		got := r.post("/revoke", "client_id", "web", "token", text, "token_type_hint", "nonsense")
		wantNoStore(t, got)
		if got.Status != 200 || len(got.Body) != 0 {
			t.Errorf("%.20q: %d %s", text, got.Status, got.Body)
		}
	}
	if all := r.feed(t); len(all) != 2 || all[0].Kind != store.RevokedToken || all[1].Kind != store.RevokedSession {
		t.Errorf("feed %v", all)
	}
	two := r.session(t, "web")
	wantError(t, r.post("/revoke", "client_id", "rival", "token", two.text("access_token")), 400, "invalid_grant")
	wantError(t, r.post("/revoke", "client_id", "rival", "token", two.text("refresh_token")), 400, "invalid_grant")
	wantError(t, r.post("/revoke", "client_id", "web"), 400, "invalid_request")
	if len(r.feed(t)) != 2 {
		t.Error("a stranger revoked something")
	}
	if got := r.refresh("web", two.text("refresh_token")); got.Status != 200 {
		t.Errorf("%s", got.Body)
	}
}

// TestRevokingAnOldGenerationEndsTheSession: whichever of its tokens a client
// gives back, it has signed out.
func TestRevokingAnOldGenerationEndsTheSession(t *testing.T) {
	r := newRig(t)
	first := r.session(t, "web")
	second := r.refresh("web", first.text("refresh_token"))
	third := r.refresh("web", second.text("refresh_token"))
	if got := r.post("/revoke", "client_id", "web", "token", first.text("refresh_token")); got.Status != 200 || !r.dead(t, third) {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

// TestAnInterruptedEndIsFinished is a node that dies between the feed and the
// row: the row would outlive the entry.
func TestAnInterruptedEndIsFinished(t *testing.T) {
	r := newRig(t)
	one := r.session(t, "web")
	r.engine.arm(4, errDisk, false) // two loads, add, revoke
	h, err := parseRefresh(one.text("refresh_token"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.is.RevokeSession(t.Context(), h.id.String()); err == nil || !r.engine.heal() {
		t.Fatalf("the fault did not strike: %v", err)
	}
	wantError(t, r.refresh("web", one.text("refresh_token")), 400, "invalid_grant")
	if s, err := r.engine.Sessions().Load(t.Context(), h.id); err != nil || !s.Ended {
		t.Errorf("ended %v, %v", s.Ended, err)
	}
}

func TestAdministration(t *testing.T) {
	r := newRig(t)
	old := r.session(t, "web")
	r.advance(10 * time.Second)
	between := r.now()
	r.advance(10 * time.Second)
	fresh, rival := r.session(t, "web"), r.session(t, "rival")
	found, next, err := r.is.ListSessions(t.Context(), SessionFilter{Client: "web"})
	if len(found) != 2 || next != "" || err != nil {
		t.Fatalf("%v %q %v", found, next, err)
	}
	paged := 0
	for f := (SessionFilter{Limit: 1}); ; f.After = next {
		if found, next, err = r.is.ListSessions(t.Context(), f); err != nil {
			t.Fatal(err)
		}
		if paged += len(found); next == "" {
			break
		}
	}
	if paged != 3 {
		t.Errorf("%d sessions in pages of 1", paged)
	}
	if n, err := r.is.RevokeClient(t.Context(), "web", between); n != 1 || err != nil {
		t.Errorf("ended %d, %v", n, err)
	}
	if !r.dead(t, old) || !r.active(t, fresh.text("access_token")) || r.refresh("web", fresh.text("refresh_token")).Status != 200 {
		t.Error("before cuts at another place")
	}
	if n, err := r.is.RevokeAllBefore(t.Context(), time.Time{}); n != 2 || err != nil {
		t.Errorf("ended %d, %v", n, err)
	}
	if r.active(t, rival.text("access_token")) {
		t.Error("still active")
	}
	if _, err := r.is.RevokeSession(t.Context(), "x"); err == nil {
		t.Error("ended a session that is none")
	}
}

// slowly is an engine whose writes of ended sessions take a second each,
// however many there are at once.
type slowly struct {
	store.Engine
	now, most atomic.Int64
}

func (s *slowly) Sessions() store.Sessions { return slowSessions{s.Engine.Sessions(), s} }

type slowSessions struct {
	store.Sessions
	s *slowly
}

func (s slowSessions) Revoke(ctx context.Context, id store.ID) error {
	n := s.s.now.Add(1)
	defer s.s.now.Add(-1)
	if n > s.s.most.Load() {
		s.s.most.Store(n)
	}
	time.Sleep(time.Second)
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.Sessions.Revoke(ctx, id)
}

// TestManySessionsAreEndedAtOnce, whether or not the administrator waits for
// the answer.
func TestManySessionsAreEndedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		const many = 200
		for range many {
			r.session(t, "web")
		}
		engine := &slowly{Engine: r.engine}
		r.is.cfg.Engine = engine
		ctx, leave := context.WithCancel(t.Context())
		r.is.cfg.Hooks.Ended = func(Event) { leave() } // told when the feed has it
		begun := time.Now()
		if n, err := r.is.RevokeClient(ctx, "web", time.Time{}); n != many || err != nil {
			t.Errorf("ended %d of %d: %v", n, many, err)
		}
		if took := time.Since(begun); took > 10*time.Second || engine.most.Load() > endAtOnce {
			t.Errorf("it took %s, %d at once", took, engine.most.Load())
		}
		if n, err := r.is.RevokeClient(t.Context(), "web", time.Time{}); n != 0 || err != nil {
			t.Errorf("once more: ended %d, %v", n, err)
		}
	})
}
