package issuer

import (
	"context"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/longcase/longcase/issuer/pages"
)

// The fields of the login form that are its own; all others are the
// authorization request, carried along and checked anew.
const (
	fieldName     = "username"
	fieldPassword = "password"
	fieldCSRF     = "csrf"
)

const (
	maxPassword = 1024
	judgeWithin = 10 * time.Second // passwords are hashed a few at a time: wait no longer for a turn
)

// submission is what was typed into the login form.
type submission struct {
	name     string
	password string
	csrf     string
}

// takeCredentials removes the login form's own fields from f.
func takeCredentials(f form) submission {
	typed := submission{f.get(fieldName), f.get(fieldPassword), f.get(fieldCSRF)}
	for _, name := range []string{fieldName, fieldPassword, fieldCSRF} {
		delete(f, name)
	}
	return typed
}

// submitted reports whether there was anything of the form.
func (c submission) submitted() bool { return c != submission{} }

func (c submission) complete() bool {
	return c.name != "" && len(c.name) <= maxName && c.password != "" && len(c.password) <= maxPassword
}

// submit answers the login form.
func (is *Issuer) submit(w http.ResponseWriter, r *http.Request, a authorization, typed submission, now time.Time) {
	switch {
	case is.cfg.Users == nil:
		is.decline(w, r, a, refuse(accessDenied, "nobody can sign in: the issuer has no users"))
	case !typed.complete():
		is.showLogin(w, r, a, typed, http.StatusUnauthorized, wrongPassword, now)
	default:
		is.signIn(w, r, a, typed, now)
	}
}

const wrongPassword = "The user name or the password is wrong." //nolint:gosec // a sentence, no credential

// signIn judges a password, slowly for those who have failed often.
func (is *Issuer) signIn(w http.ResponseWriter, r *http.Request, a authorization, typed submission, now time.Time) {
	who := attempt{typed.name, addressOf(r.RemoteAddr)}
	if wait := is.slow.begin(who, now); wait > 0 {
		seconds := int((wait + time.Second - 1) / time.Second)
		is.signInFailed(r, a, "too many attempts")
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
		is.showLogin(w, r, a, typed, http.StatusTooManyRequests, fmt.Sprintf("Too many attempts. Try again in %d s.", seconds), now)
		return
	}
	subject, ok, err := is.checkPassword(r.Context(), typed, who)
	if err != nil {
		is.slow.undo(who)
		is.refused(r.Context(), Event{Endpoint: "login", Client: a.client.ID}, unavailable("checking a password", err))
		w.Header().Set("Retry-After", "1")
		is.showLogin(w, r, a, typed, http.StatusServiceUnavailable, "Signing in is not possible right now. Try again shortly.", now)
		return
	}
	if !ok {
		is.signInFailed(r, a, "wrong user name or password")
		is.showLogin(w, r, a, typed, http.StatusUnauthorized, wrongPassword, now)
		return
	}
	is.slow.forget(who)
	if meant, known := is.hintOf(a, now); known && meant != subject {
		is.decline(w, r, a, refuse(loginRequired, "another user signed in than the one of id_token_hint"))
		return
	}
	is.signedIn(w, r, a, subject, now)
}

func (is *Issuer) checkPassword(ctx context.Context, typed submission, who attempt) (string, bool, error) {
	defer is.slow.judged(who)
	ctx, cancel := context.WithTimeout(ctx, judgeWithin)
	defer cancel()
	return is.cfg.Users.Check(ctx, typed.name, typed.password)
}

// signedIn begins the login session, ends the one the browser had before, and
// answers the request it was for.
func (is *Issuer) signedIn(w http.ResponseWriter, r *http.Request, a authorization, subject string, now time.Time) {
	before, err := is.loadLogin(r, now)
	if err == nil && before.live() {
		err = is.endLogin(r.Context(), before)
	}
	if err != nil {
		is.decline(w, r, a, unavailable("ending the login session before", err))
		return
	}
	l, err := is.beginLogin(r.Context(), w, subject, now)
	if err != nil {
		is.decline(w, r, a, unavailable("storing the login session", err))
		return
	}
	is.tell(r.Context(), is.cfg.Hooks.SignedIn, "signed in", Event{Endpoint: "login", Client: a.client.ID, Subject: subject})
	is.grantCode(w, r, a, l, now)
}

// signInFailed tells of a failure. The name is not told: people type passwords
// into the wrong field.
func (is *Issuer) signInFailed(r *http.Request, a authorization, reason string) {
	is.tell(r.Context(), is.cfg.Hooks.SignInFailed, "sign-in failed", Event{Endpoint: "login", Client: a.client.ID, Code: accessDenied, Reason: reason})
}

// showLogin shows the login form, the authorization request in its hidden
// fields. It never shows a password again.
func (is *Issuer) showLogin(w http.ResponseWriter, r *http.Request, a authorization, typed submission, status int, problem string, now time.Time) {
	token, err := is.formToken(w, r, now)
	if err != nil {
		is.decline(w, r, a, unavailable("making the login form", err))
		return
	}
	page := pages.Login{
		Action: is.path + "/authorize", Hidden: hiddenFields(a.form, token), Back: template.URL(is.cancelled(a)),
		Issuer: is.cfg.URL, Client: a.client.ID, Name: typed.name, Problem: problem,
	}
	pageHeaders(w.Header(), formTarget(a.redirect))
	w.WriteHeader(status)
	page.Write(w) //nolint:errcheck // the browser is gone
}

// cancelled is the answer to the client if the user walks away.
func (is *Issuer) cancelled(a authorization) string {
	return is.answerURI(a, url.Values{"error": {accessDenied}, "error_description": {"the user cancelled"}})
}

// carried are the parameters of an authorization request that mean something
// here; the others are ignored (RFC 6749 section 3.1).
var carried = [...]string{
	"client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce", "code_challenge",
	"code_challenge_method", "prompt", "max_age", "login_hint", "id_token_hint", "resource", "audience",
}

func hiddenFields(f form, token string) []pages.Field {
	fields := []pages.Field{{Name: fieldCSRF, Value: token}}
	for _, name := range carried {
		if value := f.get(name); value != "" {
			fields = append(fields, pages.Field{Name: name, Value: value})
		}
	}
	return fields
}
