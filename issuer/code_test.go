package issuer

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/longcase/longcase/store"
)

func TestACodeBecomesTokens(t *testing.T) {
	r := newRig(t)
	got := r.redeem("web", r.code(t, "web", "openid", "orders.read"), "resource", testAudience)
	wantNoStore(t, got)
	if got.Status != 200 || got.text("scope") != "openid orders.read" || !strings.HasPrefix(got.text("refresh_token"), refreshPrefix) {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	_, access := r.claims(t, got.text("access_token"))
	jws, id := r.claims(t, got.text("id_token"))
	if jws.Type() != "jwt" || id.Subject != "alice" || id.Audience[0] != "web" || id.Session != access.Session || access.Session == "" {
		t.Errorf("ID token %s %s", jws.Type(), id.Raw)
	}
	var more struct {
		Nonce, AZP string
		AuthTime   int64  `json:"auth_time"`
		AtHash     string `json:"at_hash"`
	}
	if err := json.Unmarshal(id.Raw, &more); err != nil {
		t.Fatal(err)
	}
	if more.Nonce != "n-1" || more.AZP != "web" || more.AuthTime != r.now().Unix() || more.AtHash != accessHash(jws.Algorithm(), got.text("access_token")) {
		t.Errorf("%s", id.Raw)
	}
}

func TestAClientWithoutRefreshGetsNoSession(t *testing.T) {
	r := newRig(t)
	got := r.redeem("once", r.code(t, "once"))
	_, c := r.claims(t, got.text("access_token"))
	all, err := r.engine.Sessions().List(t.Context(), store.ID{}, 10)
	if _, there := got.JSON["refresh_token"]; there || c.Session != "" || len(all) != 0 || err != nil {
		t.Errorf("%s; sessions %v, %v", got.Body, all, err)
	}
}

// TestRefusedCodes changes one thing of a good request each; none of it spends
// the code. Rows 13 and 16 of the checklist are among them.
func TestRefusedCodes(t *testing.T) {
	tests := []struct {
		name   string
		client string
		pairs  []string
		code   string
	}{
		{"no code", "web", []string{"code", "-"}, "invalid_request"},
		{"not a code", "web", []string{"code", "lc_ac_x"}, "invalid_grant"},
		{"another client", "rival", nil, "invalid_grant"},
		{"no redirect_uri", "web", []string{"redirect_uri", "-"}, "invalid_grant"},
		{"redirect_uri with a slash more", "web", []string{"redirect_uri", testCallback + "/"}, "invalid_grant"},
		{"no verifier", "web", []string{"code_verifier", "-"}, "invalid_grant"},
		{"the challenge as verifier", "web", []string{"code_verifier", testPKCE}, "invalid_grant"},
		{"verifier of another case", "web", []string{"code_verifier", strings.ToUpper(testVerifier)}, "invalid_grant"},
		{"short verifier", "web", []string{"code_verifier", testVerifier[:42]}, "invalid_grant"},
		{"verifier with a space", "web", []string{"code_verifier", testVerifier + " "}, "invalid_grant"},
		{"another audience", "web", []string{"resource", "https://bills.test"}, "invalid_target"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			code := r.code(t, "web")
			wantError(t, r.redeem(tt.client, code, tt.pairs...), 400, tt.code)
			if got := r.redeem("web", code); got.Status != 200 {
				t.Errorf("the code was spent: %s", got.Body)
			}
		})
	}
	t.Run("TestChecklist16: a second after its end", func(t *testing.T) {
		r := newRig(t)
		code := r.code(t, "web")
		r.advance(time.Minute + time.Second)
		wantError(t, r.redeem("web", code), 400, "invalid_grant")
	})
	t.Run("a second before its end", func(t *testing.T) {
		r := newRig(t)
		code := r.code(t, "web")
		r.advance(time.Minute - time.Second)
		if got := r.redeem("web", code); got.Status != 200 {
			t.Errorf("%s", got.Body)
		}
	})
}

// TestChecklist13 is a verifier where no challenge was given: a downgrade.
func TestChecklist13AVerifierWithoutAChallengeIsRefused(t *testing.T) {
	r := newRig(t)
	code, err := r.is.putCode(t.Context(), codeData{
		Client: "web", Subject: "alice", RedirectURI: testCallback, Audience: testAudience, AuthTime: r.now().Unix()}, r.now())
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, r.redeem("web", code), 400, "invalid_grant")
}

// TestChecklist15 redeems one code many times at once: one wins, and then
// nobody holds a session.
func TestChecklist15ACodeWorksOnce(t *testing.T) {
	for range long(200) {
		r := newRig(t)
		code := r.code(t, "web")
		var wait sync.WaitGroup
		got := make([]reply, 16)
		for i := range got {
			wait.Go(func() { got[i] = r.redeem("web", code) })
		}
		wait.Wait()
		var won []reply
		for _, one := range got {
			if one.Status == 200 {
				won = append(won, one)
				continue
			}
			wantError(t, one, 400, "invalid_grant")
		}
		if len(won) != 1 {
			t.Fatalf("%d winners", len(won))
		}
		if !r.dead(t, won[0]) {
			t.Fatal("a code was used twice and its session lives")
		}
		all, err := r.engine.Sessions().List(t.Context(), store.ID{}, 100)
		for _, s := range all {
			if !s.Ended {
				t.Errorf("session %s of a loser lives", s.ID)
			}
		}
		if err != nil || r.count("reused") != 1 {
			t.Errorf("told %d times, %v", r.count("reused"), err)
		}
	}
}

func TestALateSecondUseEndsWhatTheFirstMade(t *testing.T) {
	r := newRig(t)
	code := r.code(t, "web")
	first := r.redeem("web", code)
	next := r.refresh("web", first.text("refresh_token"))
	r.advance(50 * time.Minute) // long after the code's own end
	wantError(t, r.redeem("rival", code), 400, "invalid_grant")
	if r.count("reused") != 0 {
		t.Fatal("a stranger ended a session")
	}
	wantError(t, r.redeem("web", code), 400, "invalid_grant")
	if !r.dead(t, next) {
		t.Error("the session lives")
	}
}

func TestASecondUseEndsATokenWithoutASession(t *testing.T) {
	r := newRig(t)
	code := r.code(t, "once")
	first := r.redeem("once", code)
	if !r.active(t, first.text("access_token")) {
		t.Fatal("not active before")
	}
	for range 3 {
		wantError(t, r.redeem("once", code), 400, "invalid_grant")
	}
	if r.active(t, first.text("access_token")) || r.count("reused") != 1 || len(r.feed(t)) != 1 {
		t.Errorf("told %d times, feed %v", r.count("reused"), r.feed(t))
	}
}

func TestACodeChangedAnywhereIsNone(t *testing.T) {
	r := newRig(t)
	code := r.code(t, "web")
	for i := range code {
		for _, changed := range []string{code[:i], code[i+1:], code[:i] + "\n" + code[i:]} {
			if got := r.redeem("web", changed); got.Status != 400 {
				t.Errorf("%q: %d", changed, got.Status)
			}
		}
		for bit := range 8 {
			flipped := []byte(code)
			flipped[i] ^= 1 << bit
			if got := r.redeem("web", string(flipped)); got.text("error") != "invalid_grant" {
				t.Errorf("%q: %s", flipped, got.Body)
			}
		}
	}
	if got := r.redeem("web", code); got.Status != 200 {
		t.Errorf("the true one: %s", got.Body)
	}
}

// TestWhoIsCutOffRedeemsNothing is a revocation between sign-in and redemption.
func TestWhoIsCutOffRedeemsNothing(t *testing.T) {
	for name, cut := range map[string]func(*rig) error{
		"subject": func(r *rig) error { _, err := r.is.RevokeSubject(t.Context(), "alice", time.Time{}); return err },
		"client":  func(r *rig) error { _, err := r.is.RevokeClient(t.Context(), "web", time.Time{}); return err },
		"all":     func(r *rig) error { _, err := r.is.RevokeAllBefore(t.Context(), time.Time{}); return err },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			code := r.code(t, "web")
			if err := cut(r); err != nil {
				t.Fatal(err)
			}
			wantError(t, r.redeem("web", code), 400, "invalid_grant")
			r.advance(time.Second)
			if got := r.redeem("web", r.code(t, "web")); got.Status != 200 {
				t.Errorf("a new sign-in: %s", got.Body)
			}
		})
	}
}

// TestWhoIsCutOffMeanwhileGetsNothing is a revocation, from its first word to
// its last, between two steps of a redemption.
func TestWhoIsCutOffMeanwhileGetsNothing(t *testing.T) {
	for name, cut := range map[string]func(*rig) error{
		"subject": func(r *rig) error { _, err := r.is.RevokeSubject(t.Context(), "alice", time.Time{}); return err },
		"client":  func(r *rig) error { _, err := r.is.RevokeClient(t.Context(), "web", time.Time{}); return err },
		"all":     func(r *rig) error { _, err := r.is.RevokeAllBefore(t.Context(), time.Time{}); return err },
	} {
		for call := 2; call <= 3; call++ { // before the session is stored, and after
			t.Run(fmt.Sprint(name, " before call ", call), func(t *testing.T) {
				r := newRig(t)
				r.session(t, "rival") // loads the early ends
				code := r.code(t, "web")
				var err error
				r.engine.race(call, func() { err = cut(r) })
				wantError(t, r.redeem("web", code), 400, "invalid_grant")
				if !r.engine.heal() || err != nil {
					t.Fatalf("not cut off: %v", err)
				}
				found, _, err := r.is.ListSessions(t.Context(), SessionFilter{Client: "web"})
				if len(found) != 1 || !found[0].Ended {
					t.Errorf("sessions %+v, %v; want one that has ended", found, err)
				}
				r.advance(time.Second)
				if got := r.redeem("web", r.code(t, "web")); got.Status != 200 {
					t.Errorf("a new sign-in: %s", got.Body)
				}
			})
		}
	}
}

// A clock that was ahead when everything was ended keeps nobody out.
func TestAnEndOfAllThatLiesAheadIsNobodys(t *testing.T) {
	r := newRig(t)
	r.advance(24 * time.Hour)
	if _, err := r.is.RevokeAllBefore(t.Context(), time.Time{}); err != nil {
		t.Fatal(err)
	}
	r.advance(-24 * time.Hour)
	r.session(t, "web")
}

// TestTheLoserOfARaceEndsWhatTheWinnerMade lets a whole redemption happen
// between another's look at the code and its write.
func TestTheLoserOfARaceEndsWhatTheWinnerMade(t *testing.T) {
	for client, call := range map[string]int{"web": 4, "once": 3} { // the code, the session, the early ends, and then the write
		t.Run(client, func(t *testing.T) {
			r := newRig(t)
			r.session(t, "rival") // loads the early ends
			code := r.code(t, client)
			var winner reply
			r.engine.race(call, func() { winner = r.redeem(client, code) })
			wantError(t, r.redeem(client, code), 400, "invalid_grant")
			if !r.engine.heal() || winner.Status != 200 {
				t.Fatalf("no winner: %d %s", winner.Status, winner.Body)
			}
			if r.active(t, winner.text("access_token")) || r.count("reused") != 1 {
				t.Errorf("the winner's token lives; told %d times", r.count("reused"))
			}
			found, _, err := r.is.ListSessions(t.Context(), SessionFilter{Client: client})
			for _, s := range found {
				if !s.Ended {
					t.Errorf("session %s lives, %v", s.ID, err)
				}
			}
		})
	}
}

func TestAnUnknownOutcomeThatWasASuccessIsOne(t *testing.T) {
	for _, n := range []int{2, 4} { // the session, the code's write
		r := newRig(t)
		r.session(t, "rival") // loads the early ends
		code := r.code(t, "web")
		r.engine.arm(n, store.ErrUnknown, true)
		got := r.redeem("web", code)
		if !r.engine.heal() || got.Status != 200 || r.refresh("web", got.text("refresh_token")).Status != 200 {
			t.Errorf("call %d: %d %s", n, got.Status, got.Body)
		}
	}
}

func TestPolicyChangesReachACode(t *testing.T) {
	r := newRig(t)
	trimmed, dead := r.code(t, "web"), r.code(t, "web")
	r.change("web", func(c *Client) { c.Scopes = c.Scopes[:1] })
	got := r.redeem("web", trimmed)
	if got.text("scope") != "orders.read" || r.refresh("web", got.text("refresh_token")).text("scope") != "orders.read" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	r.change("web", func(c *Client) { c.Audiences = []string{"https://bills.test"} })
	wantError(t, r.redeem("web", dead), 400, "invalid_grant")
}

func TestVerifies(t *testing.T) {
	tests := []struct {
		name, verifier string
		want           bool
	}{
		{"43 characters", strings.Repeat("a", 43), true},
		{"128 characters", strings.Repeat("~", 128), true},
		{"42 characters", strings.Repeat("a", 42), false},
		{"129 characters", strings.Repeat("a", 129), false},
		{"a reserved character", strings.Repeat("a", 42) + "+", false},
		{"not ASCII", strings.Repeat("a", 42) + "é", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sum := sha256.Sum256([]byte(tt.verifier))
			if got := verifies(tt.verifier, base64.RawURLEncoding.EncodeToString(sum[:])); got != tt.want {
				t.Errorf("verifies = %v", got)
			}
		})
	}
	if verifies("", testPKCE) || verifies(testVerifier, "") || !verifies("", "") || !verifies(testVerifier, testPKCE) {
		t.Error("one without the other")
	}
}
