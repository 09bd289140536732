package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/token"
)

func isReason(err error, r fresh.Reason) bool { return errors.Is(err, r) }

func fetch(t *testing.T, root fresh.Root[fresh.Token]) (string, error) {
	t.Helper()
	c, err := root(t.Context(), time.Now())
	return c.Value.Value, err
}

func mustFetch(t *testing.T, root fresh.Root[fresh.Token]) string {
	t.Helper()
	v, err := fetch(t, root)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestARefreshTokenRotatesAndSurvivesRestarts(t *testing.T) {
	r := newRig(t, time.Minute, token.Key{})
	cfg, state := r.app(t, r.signIn(t))
	r.issued.Store(0)
	seen := map[string]bool{}
	for range 3 { // programs, one after the other
		root := Refresh(cfg, state)
		for range 3 {
			seen[mustFetch(t, root)] = true
		}
	}
	if info, err := os.Stat(state.File); err != nil || info.Mode() != 0o600 {
		t.Errorf("the state file: %v, %v", info.Mode(), err)
	}
	// A program that starts takes the access token it finds.
	if r.issued.Load() != 7 || len(seen) != 7 || r.repeated.Load() != 0 || r.reused.Load() != 0 {
		t.Errorf("%d refreshes for %d tokens, %d repeated, %d reused; want 7, 7, 0, 0", r.issued.Load(), len(seen), r.repeated.Load(), r.reused.Load())
	}
}

func TestProcessesShareTheAccessToken(t *testing.T) {
	r := newRig(t, time.Minute, token.Key{})
	cfg, state := r.app(t, r.signIn(t))
	r.issued.Store(0)
	other := cfg
	other.Scopes = []string{"orders.read"}
	one, two, three := Refresh(cfg, state), Refresh(cfg, state), Refresh(other, state)
	first := mustFetch(t, one)
	if mustFetch(t, two) != first {
		t.Error("the second process asked for a token of its own")
	}
	second := mustFetch(t, two)
	if second == first || mustFetch(t, one) != second {
		t.Error("the first process does not take the newer token")
	}
	if mustFetch(t, three) == second {
		t.Error("a token for other scopes was taken")
	}
	at := time.Now()
	r.set(func() { r.now = func() time.Time { return at.Add(4 * time.Minute) } })
	if old := mustFetch(t, Refresh(other, state)); old == second || r.issued.Load() != 4 {
		t.Errorf("a token with a minute left was taken, or %d refreshes are not 4", r.issued.Load())
	}
}

// What other processes are told of a token's end is the first of both.
func TestTheStateKeepsTheFirstEnd(t *testing.T) {
	jwt := "e30." + b64(fmt.Sprintf(`{"exp":%d}`, start.Add(time.Minute).Unix())) + ".c2ln"
	for name, tt := range map[string]struct {
		answer string
		date   time.Time
		life   time.Duration
	}{
		"expires_in":                    {`{"access_token":"abc","expires_in":60}`, start, time.Minute},
		"exp":                           {`{"access_token":"` + jwt + `"}`, start, time.Minute},
		"exp, sooner":                   {`{"access_token":"` + jwt + `","expires_in":300}`, start, time.Minute},
		"exp, later":                    {`{"access_token":"` + jwt + `","expires_in":30}`, start, 30 * time.Second},
		"exp, by a clock that is ahead": {`{"access_token":"` + jwt + `","expires_in":300}`, start.Add(30 * time.Second), 29 * time.Second},
	} {
		d := newDouble(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Date", tt.date.Format(http.TimeFormat))
			says(200, tt.answer)(w, r)
		})
		file := filepath.Join(t.TempDir(), "s")
		mustFetch(t, Refresh(d.config(), State{File: file, Seed: text("seed")}))
		if a := stored(t, file).Access; a == nil || a.Life != tt.life || !a.Expires.Equal(start.Add(tt.life)) {
			t.Errorf("%s: the state keeps %+v, want a life of %s", name, a, tt.life)
		}
	}
}

// A process that waits for its turn longer than a token lives still gets one.
func TestAWaitTakesNothingFromALife(t *testing.T) {
	jwt := "e30." + b64(fmt.Sprintf(`{"exp":%d}`, start.Add(6*time.Second).Unix())) + ".c2ln"
	for name, tt := range map[string]struct {
		answer string
		wait   time.Duration
		life   time.Duration
	}{
		"expires_in":       {`{"access_token":"abc","expires_in":1}`, 5 * time.Second, time.Second},
		"exp":              {`{"access_token":"` + jwt + `"}`, 5 * time.Second, time.Second},
		"a long wait":      {`{"access_token":"abc","expires_in":60}`, time.Hour, time.Minute},
		"nothing to share": {`{"access_token":"abc","expires_in":0}`, 5 * time.Second, 0},
	} {
		now := start
		d := newDouble(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Date", now.Format(http.TimeFormat))
			says(200, tt.answer)(w, r)
		})
		cfg := d.config()
		cfg.Now = func() time.Time { return now }
		state := State{File: filepath.Join(t.TempDir(), "s"), Seed: func() (string, error) { // asked for in its turn
			now = start.Add(tt.wait)
			return "seed", nil
		}}
		clock := func() token.Instant { return token.Instant{Wall: now, Mono: now.Sub(start)} }
		lease, err := fresh.New(Refresh(cfg, state), fresh.Policy{Now: clock}).Get(t.Context())
		switch {
		case tt.life == 0:
			if !isReason(err, fresh.Ended) {
				t.Errorf("%s: %v, want %v", name, err, fresh.Ended)
			}
		case err != nil || lease.Expires.Sub(now) != tt.life:
			t.Errorf("%s: it lives %s, %v, want %s", name, lease.Expires.Sub(now), err, tt.life)
		}
	}
}

func TestALostAnswerIsRepeatedWithinGrace(t *testing.T) {
	r := newRig(t, time.Minute, token.Key{})
	cfg, state := r.app(t, r.signIn(t))
	state.Grace = 6 * time.Second // waits a tenth of a second before a repeat
	root := Refresh(cfg, state)
	mustFetch(t, root)
	r.set(func() { r.after = lose })
	if _, err := fetch(t, root); !isReason(err, fresh.Unavailable) {
		t.Errorf("a lost answer: %v", err)
	}
	cfg.Scopes = []string{"orders.read"} // wants a token of its own
	if _, err := fetch(t, Refresh(cfg, State{File: state.File, Grace: state.Grace})); !isReason(err, fresh.Unavailable) {
		t.Errorf("lost again, to a program that started anew: %v", err)
	}
	r.set(func() { r.after = pass })
	mustFetch(t, root)
	mustFetch(t, root)
	if r.repeated.Load() != 2 || r.reused.Load() != 0 {
		t.Errorf("%d repeated, %d reused; want 2, 0", r.repeated.Load(), r.reused.Load())
	}
}

func TestAfterGraceALostAnswerCostsASignInAndNoAlarm(t *testing.T) {
	r := newRig(t, time.Minute, token.Key{})
	cfg, state := r.app(t, r.signIn(t))
	root := Refresh(cfg, state)
	mustFetch(t, root)
	r.set(func() { r.after = lose })
	_, _ = fetch(t, root)
	at := time.Now()
	r.set(func() { r.after, r.now = pass, func() time.Time { return at.Add(46 * time.Second) } })
	asked := r.asked.Load()
	for range 2 {
		if _, err := fetch(t, root); !errors.Is(err, ErrSignIn) || !isReason(err, fresh.Refused) || !strings.Contains(err.Error(), "grace of 1m0s is over") {
			t.Errorf("after grace: %v", err)
		}
	}
	if r.asked.Load() != asked || r.reused.Load() != 0 {
		t.Errorf("asked %d times, reused %d; want 0, 0", r.asked.Load()-asked, r.reused.Load())
	}
	state.Seed = text(r.signIn(t))
	mustFetch(t, Refresh(cfg, state)) // somebody signed in again
}

// The control: an issuer without grace takes the repeat of a lost answer for
// theft, and there is nothing that a client could do.
func TestAnIssuerWithoutGraceEndsTheSessionOfALostAnswer(t *testing.T) {
	r := newRig(t, 0, token.Key{})
	cfg, state := r.app(t, r.signIn(t))
	state.Grace = 6 * time.Second
	root := Refresh(cfg, state)
	r.set(func() { r.after = lose })
	_, _ = fetch(t, root)
	r.set(func() { r.after = pass })
	if _, err := fetch(t, root); !errors.Is(err, ErrSignIn) || r.reused.Load() != 1 || !strings.Contains(err.Error(), "an earlier refresh was lost") {
		t.Errorf("%v, %d reused, want 1", err, r.reused.Load())
	}
	asked := r.asked.Load()
	for range 3 {
		if _, err := fetch(t, root); !errors.Is(err, ErrSignIn) {
			t.Errorf("%v, want ErrSignIn", err)
		}
	}
	if data, _ := os.ReadFile(state.File); r.asked.Load() != asked || strings.Contains(string(data), "lc_rt_") {
		t.Errorf("asked %d times more; the state is %s", r.asked.Load()-asked, data)
	}
}

// What an outage does to the write-ahead: only what may have been used up is
// marked as tried.
func TestWhatAFailureLeavesInTheState(t *testing.T) {
	tests := []struct {
		name   string
		answer http.HandlerFunc // nil: nobody listens
		reason fresh.Reason
		tried  bool
	}{
		{"nobody listens", nil, fresh.Unavailable, false},
		{"another refusal", says(400, `{"error":"invalid_scope"}`), fresh.Refused, false},
		{"a wrong client", says(401, `{"error":"invalid_client"}`), fresh.Refused, false},
		{"a refusal with 200", says(200, `{"error":"invalid_client"}`), fresh.Refused, false},
		{"too many", says(429, ``), fresh.Unavailable, false},
		{"no time", says(503, ``), fresh.Unavailable, false},
		{"a page of something else", says(403, `<html>`), fresh.Malformed, false},
		{"a broken gateway", says(502, ``), fresh.Unavailable, true},
		{"an answer cut off", says(200, `{"access_token":`), fresh.Malformed, true},
		{"a broken connection", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, fresh.Unavailable, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDouble(t, tt.answer)
			cfg := d.config()
			cfg.TokenEndpoint = d.URL + "/token"
			state := State{File: filepath.Join(t.TempDir(), "s"), Seed: text("seed")}
			if tt.answer == nil {
				d.Close()
			}
			if _, err := fetch(t, Refresh(cfg, state)); !isReason(err, tt.reason) || strings.Contains(err.Error(), "seed") {
				t.Errorf("%v, want %s", err, tt.reason)
			}
			if rec := stored(t, state.File); rec.Tried.IsZero() == tt.tried || rec.Refresh != "seed" {
				t.Errorf("the state is %+v, want tried %v", rec, tt.tried)
			}
		})
	}
}

func stored(t *testing.T, file string) record {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := readRecord(data)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

func TestTheIntentIsWrittenBeforeAndTheTokenBeforeItIsHandedOut(t *testing.T) {
	file := filepath.Join(t.TempDir(), "s")
	var during record
	d := newDouble(t, func(w http.ResponseWriter, _ *http.Request) {
		during = stored(t, file)
		says(200, `{"access_token":"abc","refresh_token":"next"}`)(w, nil)
	})
	root := Refresh(d.config(), State{File: file, Seed: text("seed")})
	mustFetch(t, root)
	if after := stored(t, file); !during.Tried.Equal(start) || during.Refresh != "seed" || !after.Tried.IsZero() || after.Refresh != "next" || after.Access.Value != "abc" {
		t.Errorf("while asking %+v, then %+v", during, after)
	}
	if err := os.Chmod(filepath.Dir(file), 0o500); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.Chmod(filepath.Dir(file), 0o700) }()
	if os.Geteuid() == 0 { // root writes everywhere: a directory in the way instead
		_ = os.MkdirAll(filepath.Join(file+".new", "x"), 0o700)
	}
	asked := len(d.requests())
	if _, err := fetch(t, root); err == nil || len(d.requests()) != asked {
		t.Errorf("a token was sent although its state cannot be written: %v", err)
	}
}

func TestARefreshTokenThatStaysMayAlwaysBeRepeated(t *testing.T) {
	d := newDouble(t, says(200, `{"access_token":"abc"}`))
	now := start
	cfg := d.config()
	cfg.Now = func() time.Time { return now }
	root := Refresh(cfg, State{File: filepath.Join(t.TempDir(), "s"), Seed: text("seed")})
	mustFetch(t, root)
	d.answers(says(502, ``))
	_, _ = fetch(t, root)
	now = now.Add(time.Hour)
	d.answers(usual)
	mustFetch(t, root)
	for _, r := range d.requests() {
		if r.PostForm.Get("refresh_token") != "seed" || r.PostForm.Get("grant_type") != "refresh_token" {
			t.Errorf("asked with %v", r.PostForm)
		}
	}
}

func TestANewSeedCountsAndAnOldOneNeverAgain(t *testing.T) {
	n := 0
	d := newDouble(t, func(w http.ResponseWriter, _ *http.Request) {
		n++
		says(200, fmt.Sprintf(`{"access_token":"a%d","refresh_token":"r%d"}`, n, n))(w, nil)
	})
	seed, failure := "s1", error(nil)
	root := Refresh(d.config(), State{File: filepath.Join(t.TempDir(), "s"), Seed: func() (string, error) { return seed, failure }})
	for _, next := range []struct {
		seed string
		err  error
	}{{"s1", nil}, {"s1", nil}, {"s2", nil}, {"s1", nil}, {"s2", nil}, {"", nil}, {"s9", os.ErrNotExist}} {
		seed, failure = next.seed, next.err
		mustFetch(t, root)
	}
	var sent []string
	for _, r := range d.requests() {
		sent = append(sent, r.PostForm.Get("refresh_token"))
	}
	if got := strings.Join(sent, " "); got != "s1 r1 s2 r3 r4 r5 r6" {
		t.Errorf("sent %s", got)
	}
}

func TestStateFilesThatAreRefused(t *testing.T) {
	good, _ := json.Marshal(record{Version: 1, Of: "x", Refresh: "r"})
	tests := []struct {
		name string
		make func(path string) error
		want fresh.Reason
		says string
	}{
		{"open to the group", func(p string) error { return os.WriteFile(p, good, 0o640) }, fresh.Misconfigured, "mode 0640"},
		{"open to all", func(p string) error { return errors.Join(os.WriteFile(p, good, 0o600), os.Chmod(p, 0o604)) }, fresh.Misconfigured, "mode 0604"},
		{"another client's", func(p string) error { return os.WriteFile(p, good, 0o600) }, fresh.Misconfigured, "another client"},
		{"a directory", func(p string) error { return os.Mkdir(p, 0o700) }, fresh.Misconfigured, "is not a file"},
		{"a link", func(p string) error {
			return errors.Join(os.WriteFile(p+"2", good, 0o600), os.Symlink(p+"2", p))
		}, fresh.Unavailable, "read"},
		{"empty", func(p string) error { return os.WriteFile(p, nil, 0o600) }, fresh.Malformed, "is damaged"},
		{"cut off", func(p string) error { return os.WriteFile(p, good[:10], 0o600) }, fresh.Malformed, "is damaged"},
		{"of another version", func(p string) error { return os.WriteFile(p, []byte(`{"version":2,"of":"x"}`), 0o600) }, fresh.Malformed, "another version"},
		{"a link in the place of the lock", func(p string) error { return os.Symlink("/dev/null", p+".lock") }, fresh.Unavailable, "locked"},
		{"in no directory", func(p string) error { return os.RemoveAll(filepath.Dir(p)) }, fresh.Unavailable, "locked"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDouble(t, usual)
			file := filepath.Join(t.TempDir(), "s")
			if err := tt.make(file); err != nil {
				t.Fatal(err)
			}
			if _, err := fetch(t, Refresh(d.config(), State{File: file, Seed: text("seed")})); !isReason(err, tt.want) || !strings.Contains(err.Error(), tt.says) || len(d.requests()) != 0 {
				t.Errorf("%v, want %s, %q", err, tt.want, tt.says)
			}
		})
	}
}

func TestRefreshNeedsAFileAClientAndASeed(t *testing.T) {
	d := newDouble(t, usual)
	file := filepath.Join(t.TempDir(), "s")
	nameless := d.config()
	nameless.Client, nameless.Secret = "", nil
	for name, root := range map[string]fresh.Root[fresh.Token]{
		"no file":   Refresh(d.config(), State{Seed: text("seed")}),
		"no client": Refresh(nameless, State{File: file, Seed: text("seed")}),
		"no seed":   Refresh(d.config(), State{File: file, Seed: text("")}),
	} {
		if _, err := fetch(t, root); !isReason(err, fresh.Misconfigured) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := fetch(t, Refresh(d.config(), State{File: file})); !errors.Is(err, ErrSignIn) {
		t.Errorf("nobody ever signed in: %v", err)
	}
}

func TestTheLockIsWaitedForUntilTheContextEnds(t *testing.T) {
	d := newDouble(t, usual)
	file := filepath.Join(t.TempDir(), "s")
	release, err := lockFile(t.Context(), file+".lock")
	if err != nil {
		t.Fatal(err)
	}
	root := Refresh(d.config(), State{File: file, Seed: text("seed")})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := root(ctx, start); !isReason(err, fresh.Unavailable) || !strings.Contains(err.Error(), "another process holds the lock") {
		t.Errorf("%v", err)
	}
	time.AfterFunc(20*time.Millisecond, release)
	mustFetch(t, root)
}

func TestAnAnswerIsWaitedForAlthoughTheContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	d := newDouble(t, func(w http.ResponseWriter, r *http.Request) { cancel(); usual(w, r) })
	if c, err := Refresh(d.config(), State{File: filepath.Join(t.TempDir(), "s"), Seed: text("seed")})(ctx, start); err != nil || c.Value.Value != "abc" {
		t.Errorf("%v", err)
	}
}

// mute is a transport that tells nothing of its connections.
type mute struct{ http.RoundTripper }

func (m mute) RoundTrip(r *http.Request) (*http.Response, error) {
	return m.RoundTripper.RoundTrip(r.WithContext(context.Background()))
}

func TestATransportThatTellsNothingMayHaveSent(t *testing.T) {
	d := newDouble(t, usual)
	cfg := d.config()
	cfg.TokenEndpoint, cfg.HTTP = d.URL+"/token", &http.Client{Transport: mute{d.Client().Transport}}
	d.Close()
	state := State{File: filepath.Join(t.TempDir(), "s"), Seed: text("seed")}
	if _, err := fetch(t, Refresh(cfg, state)); !isReason(err, fresh.Unavailable) || stored(t, state.File).Tried.IsZero() {
		t.Errorf("%v; the state says that nothing was sent", err)
	}
}

// A request of a process that died may still be on its way: its repeat waits, so
// that it cannot arrive after the successor was used.
func TestARepeatLetsTheLostRequestArrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &tv{refresh: "r1"}
		cfg := s.config()
		cfg.Now = time.Now
		root := Refresh(cfg, State{File: filepath.Join(t.TempDir(), "s"), Seed: text("seed")})
		s.broken = true
		if _, err := within(time.Minute, root); !isReason(err, fresh.Unavailable) {
			t.Fatal(err)
		}
		s.broken = false
		lost := time.Now()
		if _, err := within(time.Minute, root); err != nil || time.Since(lost) != time.Second {
			t.Errorf("repeated after %s, %v; want after 1s", time.Since(lost), err)
		}
		repeated := time.Now()
		if _, err := within(time.Minute, root); err != nil || time.Since(repeated) != 0 {
			t.Errorf("then %v after %s", err, time.Since(repeated))
		}
	})
}

func TestWordsThatEndARefreshToken(t *testing.T) {
	for _, answer := range []http.HandlerFunc{says(400, `{"error":"invalid_grant"}`), says(200, `{"error":"bad_refresh_token"}`)} {
		d := newDouble(t, answer)
		state := State{File: filepath.Join(t.TempDir(), "s"), Seed: text("seed")}
		for range 2 {
			if _, err := fetch(t, Refresh(d.config(), state)); !errors.Is(err, ErrSignIn) || len(d.requests()) != 1 {
				t.Errorf("%v, asked %d times", err, len(d.requests()))
			}
		}
	}
}

// What is too late stays too late: a clock that is set back makes no time.
func TestGraceIsOverForEverOnceItIs(t *testing.T) {
	d := newDouble(t, says(502, ``))
	now := start
	cfg, state := d.config(), State{File: filepath.Join(t.TempDir(), "s"), Seed: text("seed")}
	cfg.Now = func() time.Time { return now }
	_, _ = fetch(t, Refresh(cfg, state))
	for _, later := range []time.Duration{-time.Hour, 10 * time.Second} {
		now = start.Add(later)
		if _, err := fetch(t, Refresh(cfg, state)); !errors.Is(err, ErrSignIn) || len(d.requests()) != 1 {
			t.Errorf("%s later: %v, sent %d times", later, err, len(d.requests()))
		}
	}
	state.Grace, now = -1, start.Add(time.Hour) // somebody decides otherwise
	d.answers(usual)
	mustFetch(t, Refresh(cfg, state))
}

func TestGraceIsJudgedOnBothClocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &tv{}
		back := time.Duration(0)
		cfg := s.config()
		cfg.Now = func() time.Time { return time.Now().Add(-back).Round(0) }
		root := Refresh(cfg, State{File: filepath.Join(t.TempDir(), "s"), Seed: text("seed")})
		s.broken = true
		_, _ = within(time.Minute, root)
		s.broken = false
		time.Sleep(time.Minute)
		back = 40 * time.Second // as if 20 s had passed
		sent := len(s.forms)
		if _, err := within(time.Minute, root); !errors.Is(err, ErrSignIn) || len(s.forms) != sent {
			t.Errorf("%v, sent %d times more", err, len(s.forms)-sent)
		}
	})
}

func TestAnAnswerThatCannotBeWrittenIsOwedNotLost(t *testing.T) {
	now := start
	state := State{File: filepath.Join(t.TempDir(), "s"), Seed: text("seed")}
	inTheWay := filepath.Join(state.File+".new", "x")
	n := 0
	d := newDouble(t, func(w http.ResponseWriter, _ *http.Request) {
		if n++; n == 1 {
			_ = os.MkdirAll(inTheWay, 0o700)
		}
		says(200, fmt.Sprintf(`{"access_token":"a%d","refresh_token":"r%d","expires_in":300}`, n, n))(w, nil)
	})
	cfg := d.config()
	cfg.Now = func() time.Time { return now }
	root := Refresh(cfg, state)
	for range 2 {
		if _, err := fetch(t, root); !isReason(err, fresh.Unavailable) || n != 1 {
			t.Errorf("%v after %d refreshes", err, n)
		}
	}
	_ = os.RemoveAll(state.File + ".new")
	now = start.Add(time.Minute)
	if got := mustFetch(t, root); got != "a1" || stored(t, state.File).Refresh != "r1" {
		t.Errorf("got %s, the state holds %s", got, stored(t, state.File).Refresh)
	}
	now = start.Add(time.Hour)
	if got := mustFetch(t, root); got != "a2" || d.requests()[1].PostForm.Get("refresh_token") != "r1" {
		t.Errorf("then %s", got)
	}
}

// Another process may have gone on since.
func TestAnOwedAnswerNeverReplacesANewerOne(t *testing.T) {
	state := State{File: filepath.Join(t.TempDir(), "s"), Seed: text("seed")}
	d := newDouble(t, func(w http.ResponseWriter, _ *http.Request) {
		_ = os.MkdirAll(filepath.Join(state.File+".new", "x"), 0o700)
		says(200, `{"access_token":"a1","refresh_token":"r1"}`)(w, nil)
	})
	root := Refresh(d.config(), state)
	_, _ = fetch(t, root)
	_ = os.RemoveAll(state.File + ".new")
	newer := stored(t, state.File)
	newer.Refresh, newer.Tried = "r2", time.Time{}
	if err := newVault(state.File).save(newer); err != nil {
		t.Fatal(err)
	}
	d.answers(says(200, `{"access_token":"a3","refresh_token":"r3"}`))
	if got := mustFetch(t, root); got != "a3" || d.requests()[1].PostForm.Get("refresh_token") != "r2" {
		t.Errorf("got %s by %s", got, d.requests()[1].PostForm.Get("refresh_token"))
	}
}

// Who has the file open that a crash left, or put one there, reads nothing.
func TestTheStateIsWrittenIntoAFileOfItsOwn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "s")
	spy, err := os.OpenFile(file+".new", os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = spy.Close() }()
	if err := newVault(file).save(record{Of: "x", Refresh: "r"}); err != nil {
		t.Fatal(err)
	}
	if info, err := spy.Stat(); err != nil || info.Size() != 0 {
		t.Errorf("%d bytes can be read by another, %v", info.Size(), err)
	}
}

func TestAnEndedAnswerIsKeptForItsRefreshTokenOnly(t *testing.T) {
	d := newDouble(t, says(200, `{"access_token":"abc","expires_in":-60,"refresh_token":"next"}`))
	state := State{File: filepath.Join(t.TempDir(), "s"), Seed: text("seed")}
	if _, err := one(Refresh(d.config(), state)).Get(t.Context()); !isReason(err, fresh.Ended) {
		t.Errorf("%v, want ended", err)
	}
	if rec := stored(t, state.File); rec.Refresh != "next" || rec.Access != nil {
		t.Errorf("the state is %+v", rec)
	}
}

// No answer makes a state that is too big to be read.
func TestTheLargestTokensCanBeKept(t *testing.T) {
	large := strings.Repeat("<", maxToken)
	d := newDouble(t, says(200, `{"access_token":"`+large+`","refresh_token":"`+large+`"}`))
	state := State{File: filepath.Join(t.TempDir(), "s"), Seed: text("seed")}
	if got := mustFetch(t, Refresh(d.config(), state)); got != large || mustFetch(t, Refresh(d.config(), state)) != large {
		t.Errorf("%d bytes", len(got))
	}
	other := State{File: filepath.Join(t.TempDir(), "s"), Seed: text("seed")}
	for name, answer := range map[string]string{"access_token": `{"access_token":"<` + large + `"}`, "refresh_token": `{"access_token":"a","refresh_token":"<` + large + `"}`} {
		d.answers(says(200, answer))
		if _, err := fetch(t, Refresh(d.config(), other)); !isReason(err, fresh.Malformed) || !strings.Contains(err.Error(), name) {
			t.Errorf("a larger %s: %v", name, err)
		}
	}
}

func TestWhatIsLeftOfASharedToken(t *testing.T) {
	a := access{Life: time.Minute, Expires: start.Add(time.Minute)}
	for at, want := range map[time.Duration]time.Duration{
		0: time.Minute, 20 * time.Second: 40 * time.Second, time.Minute: 0, time.Hour: 0,
		-time.Second: 0, -time.Hour: 0, // the clock was set back: nobody knows
	} {
		if got := a.left(start.Add(at)); got != want {
			t.Errorf("after %s %s are left, want %s", at, got, want)
		}
	}
}
