package issuer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/longcase/longcase/issuer/pages"
	"github.com/longcase/longcase/store"
)

// serveEndSession answers GET and POST /end_session (OpenID Connect RP-Initiated
// Logout 1.0 section 2). It asks the person, ends the login of this browser and
// says so. It leads nowhere: clients register no address for it, and to an
// address that is not registered the standard forbids to lead.
func (is *Issuer) serveEndSession(w http.ResponseWriter, r *http.Request) {
	e := Event{Endpoint: "end_session"}
	f, refused := parseAuthorize(w, r)
	if refused != nil {
		is.explain(w, r, e, refused)
		return
	}
	now := is.cfg.Now()
	l, err := is.currentLogin(r, now)
	if err != nil {
		is.explain(w, r, e, unavailable("loading the login session", err))
		return
	}
	if token := f.get(fieldCSRF); r.Method == http.MethodPost && token != "" {
		is.signOut(w, r, l, token)
		return
	}
	if !l.live() {
		is.signedOut(w)
		return
	}
	token, err := is.formToken(w, r, now)
	if err != nil {
		is.explain(w, r, e, unavailable("making the form", err))
		return
	}
	pageHeaders(w.Header(), "")
	form := pages.Logout{Action: is.path + "/end_session", Hidden: []pages.Field{{Name: fieldCSRF, Value: token}}, Issuer: is.cfg.URL}
	form.Write(w) //nolint:errcheck // the browser is gone
}

// signOut ends the login, if the form is ours.
func (is *Issuer) signOut(w http.ResponseWriter, r *http.Request, l login, token string) {
	e := Event{Endpoint: "end_session", Subject: l.subject}
	if refused := is.checkForm(r, token); refused != nil {
		is.explain(w, r, e, refused)
		return
	}
	if l.live() {
		if err := is.endLogin(r.Context(), l); err != nil {
			is.explain(w, r, e, unavailable("ending the login session", err))
			return
		}
		is.tell(r.Context(), is.cfg.Hooks.Ended, "signed out", e)
	}
	is.signedOut(w)
}

func (is *Issuer) signedOut(w http.ResponseWriter) {
	is.setCookie(w, cookieLogin, "", -1)
	is.showMessage(w, http.StatusOK, "You are signed out", "This browser is no longer signed in here. Applications may still be signed in on their own.", "")
}

// endLogin marks the login as ended. A conflict is somebody who just did it.
func (is *Issuer) endLogin(ctx context.Context, l login) error {
	l.data.Ended = true
	data, err := json.Marshal(l.data)
	if err != nil {
		return fmt.Errorf("issuer: login session: %w", err)
	}
	err = is.cfg.Engine.Documents().Replace(ctx, store.Document{Kind: store.Login, ID: l.id, End: l.end, Data: data}, l.version)
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}
