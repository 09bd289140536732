package issuer

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/longcase/longcase/token"
)

// serveAuthorize answers GET and POST /authorize (RFC 6749 section 3.1). The
// login form comes back here too, told by its csrf field.
func (is *Issuer) serveAuthorize(w http.ResponseWriter, r *http.Request) {
	f, refused := parseAuthorize(w, r)
	now := is.cfg.Now() // the request's one instant: a body may take its time
	if refused != nil {
		is.explain(w, r, Event{Endpoint: "authorize"}, refused)
		return
	}
	typed := takeCredentials(f)
	submitted := r.Method == http.MethodPost && typed.submitted()
	if submitted {
		if refused := is.checkForm(r, typed.csrf); refused != nil {
			is.explain(w, r, Event{Endpoint: "login"}, refused)
			return
		}
	}
	a, refused := is.recipient(r.Context(), f)
	if refused != nil {
		is.explain(w, r, Event{Endpoint: "authorize", Client: a.client.ID}, refused)
		return
	}
	refused = a.check()
	switch {
	case refused != nil:
		is.decline(w, r, a, refused)
	case submitted:
		is.submit(w, r, a, typed, now)
	default:
		is.authorize(w, r, a, now)
	}
}

func parseAuthorize(w http.ResponseWriter, r *http.Request) (form, *refusal) {
	if r.Method == http.MethodPost {
		return parseForm(w, r)
	}
	if len(r.URL.RawQuery) > maxQuery {
		return nil, refuse(invalidRequest, "the request is longer than %d bytes", maxQuery)
	}
	return parseParameters(r.URL.RawQuery)
}

// authorize answers at once if the browser's login suffices, else with the
// login page, which prompt=none forbids.
func (is *Issuer) authorize(w http.ResponseWriter, r *http.Request, a authorization, now time.Time) {
	l, err := is.currentLogin(r, now)
	switch {
	case err != nil:
		is.decline(w, r, a, unavailable("loading the login session", err))
	case a.satisfied(l, now) && is.hinted(a, l.subject, now):
		is.grantCode(w, r, a, l, now)
	case a.prompts(promptNone):
		is.decline(w, r, a, refuse(loginRequired, "the user has to sign in, and prompt=none forbids to ask"))
	case is.cfg.Users == nil:
		is.decline(w, r, a, refuse(accessDenied, "nobody can sign in: the issuer has no users"))
	default:
		is.showLogin(w, r, a, submission{name: a.hint}, http.StatusOK, "", now)
	}
}

// hinted reports whether subject is who "id_token_hint" speaks of, if there is a
// hint. One that says nothing we can trust fits nobody.
func (is *Issuer) hinted(a authorization, subject string, now time.Time) bool {
	if a.form.get("id_token_hint") == "" {
		return true
	}
	meant, known := is.hintOf(a, now)
	return known && meant == subject
}

// hintOf is the user that "id_token_hint" speaks of: an ID token of ours, which
// may be over (OpenID Connect Core section 3.1.2.1).
func (is *Issuer) hintOf(a authorization, now time.Time) (subject string, known bool) {
	jws, err := token.Parse(a.form.get("id_token_hint"))
	if err != nil || jws.Type() != "jwt" {
		return "", false
	}
	if _, err := is.keyOf(jws, now); err != nil {
		return "", false
	}
	c, err := jws.Claims()
	return c.Subject, err == nil && c.Issuer == is.cfg.URL
}

// grantCode records what the user signed in for and hands the client its code.
func (is *Issuer) grantCode(w http.ResponseWriter, r *http.Request, a authorization, l login, now time.Time) {
	code, err := is.putCode(r.Context(), codeData{
		Client:      a.client.ID,
		Subject:     l.subject,
		RedirectURI: a.given,
		Challenge:   a.challenge,
		Audience:    a.audience,
		Scopes:      a.scopes,
		Nonce:       a.nonce,
		AuthTime:    l.at.Unix(),
	}, now)
	if err != nil {
		is.decline(w, r, a, unavailable("storing the code", err))
		return
	}
	is.answer(w, a, url.Values{"code": {code}})
}

// decline sends a refusal to the client (RFC 6749 section 4.1.2.1).
func (is *Issuer) decline(w http.ResponseWriter, r *http.Request, a authorization, refused *refusal) {
	is.refused(r.Context(), Event{Endpoint: "authorize", Client: a.client.ID}, refused)
	is.answer(w, a, url.Values{"error": {refused.code}, "error_description": {refused.detail}})
}

// explain shows a refusal to the person at the browser: there is nobody else
// who may be told.
func (is *Issuer) explain(w http.ResponseWriter, r *http.Request, e Event, refused *refusal) {
	is.refused(r.Context(), e, refused)
	is.showMessage(w, statusOfPage(refused), "This request cannot be answered", sentence(refused.detail), refused.code)
}

// sentence writes a refusal's detail the way a page does.
func sentence(detail string) string { return strings.ToUpper(detail[:1]) + detail[1:] + "." }

// statusOfPage is the table of a page's statuses: nobody is asked to
// authenticate as a client here.
func statusOfPage(refused *refusal) int {
	switch refused.code {
	case accessDenied:
		return http.StatusForbidden
	case temporarilyUnavailable:
		return http.StatusServiceUnavailable
	default:
		return http.StatusBadRequest
	}
}
