package issuer_test

import (
	"context"
	"html"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/longcase/longcase/issuer"
)

func TestSigningInLeadsBackWithACode(t *testing.T) {
	p := newPortal(t, nil)
	b := p.browser(t)
	first := b.get("/authorize", request())
	checkPage(t, first)
	if csp := first.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self' http:;") {
		t.Errorf("the form may not lead to the client: %s", csp)
	}
	got := b.post("/authorize", fill(first.form(t), "username", "alice", "password", rightPW))
	answer := got.answer(t, callback+"?")
	if !strings.HasPrefix(answer.Get("code"), "lc_ac_") || answer.Get("state") != "s+1&2" || answer.Get("iss") != p.URL || answer.Has("error") {
		t.Errorf("answer %v, want code, state and iss", answer)
	}
	if got.Header.Get("Cache-Control") != "no-store" || got.Header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("headers %v", got.Header)
	}
	again := b.get("/authorize", request("state", "-")).answer(t, callback)
	if again.Get("code") == "" || again.Get("code") == answer.Get("code") || again.Has("state") {
		t.Errorf("signed in already, answer %v, want a new code and no state", again)
	}
}

func TestRefusedSignIns(t *testing.T) {
	p := newPortal(t, nil)
	tests := []struct{ name, user, password string }{
		{"wrong password", "alice", "wrong horse"},
		{"unknown user", "mallory", rightPW},
		{"no password", "alice", ""},
		{"no user", "", rightPW},
		{"overlong password", "alice", strings.Repeat("x", 1025)},
		{"overlong user", strings.Repeat("x", 256), rightPW},
		{"markup", `"><script>alert(1)</script>`, "x"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := p.browser(t)
			got := b.post("/authorize", fill(b.get("/authorize", request()).form(t), "username", tt.user, "password", tt.password))
			if got.StatusCode != http.StatusUnauthorized || !strings.Contains(got.body, "The user name or the password is wrong.") {
				t.Errorf("%s, want 401 and the form again\n%s", got.Status, got.body)
			}
			checkPage(t, got)
			if strings.Contains(got.body, "<script") || tt.password != "" && tt.password != "x" && strings.Contains(got.body, tt.password) {
				t.Errorf("the page repeats what it must not:\n%s", got.body)
			}
			if b.get("/authorize", request("prompt", "none")).answer(t, callback).Get("error") != "login_required" {
				t.Error("signed in all the same")
			}
			if got := b.post("/authorize", fill(got.form(t), "username", "alice", "password", rightPW)).answer(t, callback); got.Get("code") == "" {
				t.Errorf("the form shown again does not work: %v", got)
			}
		})
	}
	if log := p.log.String(); strings.Contains(log, rightPW) || strings.Contains(log, "wrong horse") || strings.Contains(log, "mallory") {
		t.Errorf("the log repeats what was typed:\n%s", log)
	}
}

func TestFormsThatAreNotOursAreRefused(t *testing.T) {
	p := newPortal(t, nil)
	victim := p.browser(t)
	ours := fill(victim.get("/authorize", request()).form(t), "username", "alice", "password", rightPW)
	theirs := p.browser(t).get("/authorize", request()).form(t)
	with := func(pairs ...string) url.Values {
		f := url.Values{}
		for k, v := range ours {
			f[k] = v
		}
		return fill(f, pairs...)
	}
	without := with()
	without.Del("csrf")
	tests := []struct {
		name   string
		form   url.Values
		header []string
	}{
		{"no token", without, nil},
		{"empty token", with("csrf", ""), nil},
		{"token of another browser", with("csrf", theirs.Get("csrf")), nil},
		{"token cut", with("csrf", ours.Get("csrf")[1:]), nil},
		{"token of no key", with("csrf", strings.Split(ours.Get("csrf"), ".")[0]+".nokey"), nil},
		{"token without MAC", with("csrf", "."+strings.Split(ours.Get("csrf"), ".")[1]), nil},
		{"cross-site", ours, []string{"Sec-Fetch-Site", "cross-site"}},
		{"same site, other origin", ours, []string{"Sec-Fetch-Site", "same-site"}},
		{"another origin", ours, []string{"Origin", "https://evil.test"}},
		{"another port", ours, []string{"Origin", "http://127.0.0.1:1"}},
		{"a name alone", fill(request(), "username", "alice"), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := victim.post("/authorize", tt.form, tt.header...)
			if got.StatusCode != http.StatusForbidden || got.Header.Get("Location") != "" || len(got.Cookies()) > 0 {
				t.Errorf("%s, Location %q, cookies %v, want 403", got.Status, got.Header.Get("Location"), got.Cookies())
			}
			checkPage(t, got)
		})
	}
	if got := p.browser(t).post("/authorize", ours); got.StatusCode != http.StatusForbidden {
		t.Errorf("form without the cookie: %s, want 403", got.Status)
	}
	for _, header := range [][]string{{"Origin", p.URL}, {"Origin", "null"}, {"Sec-Fetch-Site", "same-origin"}} {
		if got := victim.post("/authorize", ours, header...); got.StatusCode != http.StatusSeeOther {
			t.Errorf("%v: %s, want 303", header, got.Status)
		}
	}
}

func TestAChangedFormIsCheckedAnew(t *testing.T) {
	p := newPortal(t, nil)
	b := p.browser(t)
	typed := func(pairs ...string) page {
		f := fill(b.get("/authorize", request()).form(t), "username", "alice", "password", rightPW)
		return b.post("/authorize", fill(f, pairs...))
	}
	for _, pairs := range [][]string{{"redirect_uri", "https://evil.test/"}, {"client_id", "many"}, {"client_id", "nobody"}} {
		if got := typed(pairs...); got.StatusCode != http.StatusBadRequest || len(got.Cookies()) > 0 {
			t.Errorf("%v: %s, cookies %v, want 400", pairs, got.Status, got.Cookies())
		}
	}
	for want, pairs := range map[string][]string{
		"invalid_scope": {"scope", "admin"}, "invalid_target": {"resource", "https://bills.test"}, "invalid_request": {"code_challenge", ""},
	} {
		if got := typed(pairs...).answer(t, callback); got.Get("error") != want || got.Has("code") {
			t.Errorf("%v: %v, want %s", pairs, got, want)
		}
	}
}

func TestCancelLeadsBackAsAccessDenied(t *testing.T) {
	p := newPortal(t, nil)
	m := regexp.MustCompile(`href="([^"]*)">Cancel`).FindStringSubmatch(p.browser(t).get("/authorize", request()).body)
	if m == nil {
		t.Fatal("no way back")
	}
	rest, ok := strings.CutPrefix(html.UnescapeString(m[1]), callback+"?")
	got, err := url.ParseQuery(rest)
	if !ok || err != nil || got.Get("error") != "access_denied" || got.Get("state") != "s+1&2" || got.Get("iss") != p.URL {
		t.Errorf("Cancel leads to %s (%v), want access_denied, state and iss", m[1], err)
	}
}

func TestWhenAPageIsShown(t *testing.T) {
	tests := []struct {
		name  string
		after time.Duration // since signing in
		pairs []string
		want  string // "code", "page" or an error
	}{
		{"signed in", time.Minute, nil, "code"},
		{"prompt none", time.Minute, []string{"prompt", "none"}, "code"},
		{"prompt login", time.Minute, []string{"prompt", "login"}, "page"},
		{"prompt select_account", time.Minute, []string{"prompt", "select_account"}, "page"},
		{"prompt consent", time.Minute, []string{"prompt", "consent"}, "code"},
		{"prompt login and consent", time.Minute, []string{"prompt", "login consent"}, "page"},
		{"max_age reached", time.Minute, []string{"max_age", "60"}, "code"},
		{"max_age passed", time.Minute + time.Second, []string{"max_age", "60"}, "page"},
		{"max_age passed, prompt none", time.Minute + time.Second, []string{"max_age", "60", "prompt", "none"}, "login_required"},
		{"max_age 0", 0, []string{"max_age", "0"}, "page"},
		{"a second before the login's end", 12*time.Hour - time.Second, nil, "code"},
		{"at the login's end", 12 * time.Hour, nil, "page"},
		{"at the login's end, prompt none", 12 * time.Hour, []string{"prompt", "none"}, "login_required"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPortal(t, nil)
			b := p.browser(t)
			b.signIn("alice", request())
			p.clock.advance(tt.after)
			got := b.get("/authorize", request(tt.pairs...))
			switch {
			case tt.want == "page" && got.StatusCode == http.StatusOK:
				if a := b.post("/authorize", fill(got.form(t), "username", "alice", "password", rightPW)).answer(t, callback); a.Get("code") == "" {
					t.Errorf("after the page: %v", a)
				}
			case tt.want == "page":
				t.Errorf("%s, want the login page", got.Status)
			case tt.want == "code":
				if a := got.answer(t, callback); a.Get("code") == "" {
					t.Errorf("answer %v, want a code", a)
				}
			default:
				if a := got.answer(t, callback); a.Get("error") != tt.want {
					t.Errorf("answer %v, want %s", a, tt.want)
				}
			}
		})
	}
}

// cookieOf returns the browser's cookie of this name.
func (b *browser) cookieOf(name string) string {
	at, err := url.Parse(b.portal.URL)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range b.client.Jar.Cookies(at) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

func (b *browser) setCookie(name, value string) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	at, err := url.Parse(b.portal.URL)
	if err != nil {
		b.t.Fatal(err)
	}
	jar.SetCookies(at, []*http.Cookie{{Name: name, Value: value, Path: "/"}})
	b.client.Jar = jar
}

func TestALoginIsNeverTakenOver(t *testing.T) {
	p := newPortal(t, nil)
	attacker := p.browser(t)
	attacker.signIn("bob", request())
	planted := attacker.cookieOf("lc_login")
	victim := p.browser(t)
	victim.setCookie("lc_login", planted)
	victim.signIn("alice", request("prompt", "login"))
	if victim.cookieOf("lc_login") == planted {
		t.Error("the cookie from before signing in is the cookie after it")
	}
	attacker.setCookie("lc_login", planted)
	if got := attacker.get("/authorize", request("prompt", "none")).answer(t, callback); got.Get("error") != "login_required" {
		t.Errorf("the login that the browser had before still works: %v", got)
	}
}

func TestAForgedLoginIsNone(t *testing.T) {
	p := newPortal(t, nil)
	b := p.browser(t)
	b.signIn("alice", request())
	genuine := b.cookieOf("lc_login")
	if !strings.HasPrefix(genuine, "lc_ls_") {
		t.Fatalf("cookie %q", genuine)
	}
	flip := func(i int) string {
		c := byte('A')
		if genuine[i] == c {
			c = 'B'
		}
		return genuine[:i] + string(c) + genuine[i+1:]
	}
	forged := []string{"", "lc_ls_", genuine[:len(genuine)-1], genuine + "A", flip(0), strings.Replace(genuine, "lc_ls_", "lc_ac_", 1)}
	for i := len("lc_ls_"); i < len(genuine); i++ {
		forged = append(forged, flip(i))
	}
	for _, cookie := range forged {
		b.setCookie("lc_login", cookie)
		if got := b.get("/authorize", request("prompt", "none")).answer(t, callback); got.Get("error") != "login_required" {
			t.Errorf("cookie %q: %v", cookie, got)
		}
	}
	b.setCookie("lc_login", genuine)
	if got := b.get("/authorize", request("prompt", "none")).answer(t, callback); got.Get("code") == "" {
		t.Errorf("the genuine cookie: %v", got)
	}
}

func TestCookiesAreBoundToTheHostOverHTTPS(t *testing.T) {
	for _, tt := range []struct {
		scheme, prefix string
		secure         bool
	}{{"https", "__Host-", true}, {"http", "", false}} {
		p := newPortal(t, func(cfg *issuer.Config) { cfg.URL = tt.scheme + "://" + strings.TrimPrefix(cfg.URL, "http://") })
		rec := httptest.NewRecorder()
		p.issuer.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/authorize?"+request().Encode(), nil))
		form := page{rec.Result(), rec.Body.String()}.form(t)
		made := rec.Result().Cookies()
		r := httptest.NewRequest(http.MethodPost, "/authorize", strings.NewReader(fill(form, "username", "alice", "password", rightPW).Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for _, c := range made {
			r.AddCookie(c)
		}
		rec = httptest.NewRecorder()
		p.issuer.Handler().ServeHTTP(rec, r)
		made = append(made, rec.Result().Cookies()...)
		if len(made) != 2 || made[0].Name != tt.prefix+"lc_form" || made[1].Name != tt.prefix+"lc_login" {
			t.Fatalf("%s: cookies %v", tt.scheme, made)
		}
		for _, c := range made {
			if c.Secure != tt.secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.MaxAge <= 0 {
				t.Errorf("%s: cookie %s", tt.scheme, c)
			}
		}
	}
}

func TestALoginEndsWithItsUser(t *testing.T) {
	known := &leaving{Users: users(t, "alice")}
	p := newPortal(t, func(cfg *issuer.Config) { cfg.Users = known })
	b := p.browser(t)
	b.signIn("alice", request())
	known.gone = true
	if got := b.get("/authorize", request("prompt", "none")).answer(t, callback); got.Get("error") != "login_required" {
		t.Errorf("the user is gone: %v", got)
	}
	known.gone = false
	p.clock.advance(2 * time.Second)
	if _, err := p.issuer.RevokeSubject(t.Context(), "alice", p.clock.now()); err != nil {
		t.Fatal(err)
	}
	if got := b.get("/authorize", request("prompt", "none")).answer(t, callback); got.Get("error") != "login_required" {
		t.Errorf("the subject was ended: %v", got)
	}
	p.clock.advance(2 * time.Second)
	if got := b.signIn("alice", request()); got.Get("code") == "" {
		t.Errorf("signing in after it: %v", got)
	}
	p.clock.advance(2 * time.Second)
	if got := b.get("/authorize", request("prompt", "none")).answer(t, callback); got.Get("code") == "" {
		t.Errorf("the second sign-in: %v", got)
	}
	if _, err := p.issuer.RevokeAllBefore(t.Context(), p.clock.now()); err != nil {
		t.Fatal(err)
	}
	if got := b.get("/authorize", request("prompt", "none")).answer(t, callback); got.Get("error") != "login_required" {
		t.Errorf("everything was ended: %v", got)
	}
	if got := b.signIn("alice", request()); got.Get("code") == "" {
		t.Errorf("signing in after that: %v", got)
	}
}

func TestAHintOfAnotherUserIsNotAnsweredSilently(t *testing.T) {
	p := newPortal(t, nil)
	alice, bob := p.browser(t), p.browser(t)
	got, _ := alice.redeem(alice.signIn("alice", request()).Get("code"))
	bob.signIn("bob", request())
	p.clock.advance(2 * time.Hour) // a hint may be over
	for name, tt := range map[string]struct {
		b    *browser
		hint string
		want bool
	}{
		"her own":          {alice, got.IDToken, true},
		"another's":        {bob, got.IDToken, false},
		"cut":              {alice, got.IDToken[:len(got.IDToken)-2], false},
		"an access token":  {alice, got.AccessToken, false},
		"nonsense":         {alice, "x", false},
		"unsigned":         {alice, "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0." + strings.Split(got.IDToken, ".")[1] + ".", false},
		"left out, anyone": {bob, "", true},
	} {
		answer := tt.b.get("/authorize", request("prompt", "none", "id_token_hint", tt.hint)).answer(t, callback)
		if (answer.Get("code") != "") != tt.want || !tt.want && answer.Get("error") != "login_required" {
			t.Errorf("%s: %v", name, answer)
		}
	}
}

// A hint goes along with the login form, so that the answer is about the user
// that the application expects.
func TestWhoSignsInIsHeldAgainstTheHint(t *testing.T) {
	p := newPortal(t, nil)
	alice := p.browser(t)
	got, _ := alice.redeem(alice.signIn("alice", request()).Get("code"))
	for name, tt := range map[string]struct {
		user, hint string
		want       string
	}{
		"the one that was meant":        {"alice", got.IDToken, ""},
		"another":                       {"bob", got.IDToken, "login_required"},
		"a hint that cannot be trusted": {"bob", got.IDToken[:len(got.IDToken)-2], ""},
	} {
		b := p.browser(t)
		answer := b.signIn(tt.user, request("id_token_hint", tt.hint))
		if answer.Get("error") != tt.want || answer.Has("code") != (tt.want == "") {
			t.Errorf("%s: %v", name, answer)
		}
		if signedIn := b.cookieOf("lc_login") != ""; signedIn != (tt.want == "") {
			t.Errorf("%s: signed in %v", name, signedIn)
		}
	}
}

// crowd is a list of users whose passwords take for ever to judge.
type crowd struct {
	issuer.Users
	came chan struct{}
	done chan struct{}
}

func (c *crowd) Check(ctx context.Context, _, _ string) (string, bool, error) {
	select {
	case c.came <- struct{}{}:
	case <-ctx.Done():
		return "", false, ctx.Err()
	}
	<-c.done
	return "", false, nil
}

func TestOneAddressDoesNotTakeEveryTurnToSignIn(t *testing.T) {
	many := &crowd{users(t, "alice"), make(chan struct{}), make(chan struct{})}
	p := newPortal(t, func(cfg *issuer.Config) { cfg.Users = many })
	b := p.browser(t)
	form := b.get("/authorize", request()).form(t)
	try := func(name string) page {
		return b.post("/authorize", fill(form, "username", name, "password", "wrong"))
	}
	var waiting sync.WaitGroup
	for i := range 8 {
		waiting.Go(func() {
			if got := try(strconv.Itoa(i)); got.StatusCode != http.StatusUnauthorized {
				t.Errorf("one of eight: %s", got.Status)
			}
		})
		<-many.came
	}
	if got := try("alice"); got.StatusCode != http.StatusTooManyRequests || got.Header.Get("Retry-After") != "1" {
		t.Errorf("the ninth at once: %s, want 429", got.Status)
	}
	close(many.done)
	waiting.Wait()
	go func() { <-many.came }()
	if got := try("alice"); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("after them: %s, want 401", got.Status)
	}
}

func TestFailedSignInsAreSlowed(t *testing.T) {
	p := newPortal(t, nil)
	b := p.browser(t)
	form := b.get("/authorize", request()).form(t)
	try := func(name, password string) page {
		return b.post("/authorize", fill(form, "username", name, "password", password))
	}
	for i := range 5 {
		if got := try("alice", "wrong"); got.StatusCode != http.StatusUnauthorized {
			t.Fatalf("failure %d: %s", i+1, got.Status)
		}
	}
	for _, want := range []int{1, 2, 4, 8, 16, 30, 30, 30} {
		got := try("alice", rightPW)
		if got.StatusCode != http.StatusTooManyRequests || got.Header.Get("Retry-After") != strconv.Itoa(want) {
			t.Fatalf("%s, Retry-After %s, want 429 and %d", got.Status, got.Header.Get("Retry-After"), want)
		}
		p.clock.advance(time.Duration(want) * time.Second)
		if got := try("alice", "wrong"); got.StatusCode != http.StatusUnauthorized {
			t.Fatalf("after the wait: %s, want 401", got.Status)
		}
	}
	if got := try("bob", rightPW); got.StatusCode != http.StatusSeeOther {
		t.Errorf("another user waits too: %s", got.Status)
	}
	p.clock.advance(30 * time.Second)
	if got := try("alice", rightPW); got.StatusCode != http.StatusSeeOther {
		t.Errorf("the right password after the wait: %s", got.Status)
	}
	if got := try("alice", "wrong"); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("a failure after signing in: %s, want the count to begin anew", got.Status)
	}
}

func TestAStoreThatIsGoneIsSaidAndNobodyIsSignedIn(t *testing.T) {
	p := newPortal(t, nil)
	known, fresh := p.browser(t), p.browser(t)
	known.signIn("alice", request())
	form := fill(fresh.get("/authorize", request()).form(t), "username", "alice", "password", rightPW)
	if err := p.engine.Close(); err != nil {
		t.Fatal(err)
	}
	if got := known.get("/authorize", request()).answer(t, callback); got.Get("error") != "temporarily_unavailable" || got.Has("code") {
		t.Errorf("signed in: %v", got)
	}
	if got := fresh.post("/authorize", form).answer(t, callback); got.Get("error") != "temporarily_unavailable" || fresh.cookieOf("lc_login") != "" {
		t.Errorf("signing in: %v, cookie %q", got, fresh.cookieOf("lc_login"))
	}
	if got := known.get("/end_session", nil); got.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("signing out: %s, want 503", got.Status)
	}
}

// leaving is a list of users of whom all may leave.
type leaving struct {
	issuer.Users
	gone bool
}

func (l *leaving) Has(ctx context.Context, subject string) (bool, error) {
	has, err := l.Users.Has(ctx, subject)
	return has && !l.gone, err
}
