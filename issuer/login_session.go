package issuer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/longcase/longcase/store"
)

const (
	loginPrefix  = "lc_ls_"
	defaultLogin = 12 * time.Hour // where sessions have no absolute end
)

// login is the login session of a browser; the zero login is nobody's.
type login struct {
	subject string
	at      time.Time // when the password was typed: "auth_time"
	end     time.Time
	id      store.ID
	version uint64
	data    loginData
}

func (l login) live() bool { return l.subject != "" }

// loginData is the Data of a store.Login document.
type loginData struct {
	MAC     string `json:"mac"` // id of the key the cookie is authenticated with
	Subject string `json:"sub"`
	At      int64  `json:"auth_time"` // Unix seconds
	Ended   bool   `json:"ended,omitempty"`
}

// loginLife is how long a browser stays signed in.
func (is *Issuer) loginLife() time.Duration {
	if is.cfg.Lifetimes.SessionAbsolute > 0 {
		return is.cfg.Lifetimes.SessionAbsolute
	}
	return defaultLogin
}

// beginLogin stores a new login session under a new id, whatever the browser
// had before, and gives the browser its cookie.
func (is *Issuer) beginLogin(ctx context.Context, w http.ResponseWriter, subject string, now time.Time) (login, error) {
	end := now.Add(is.loginLife()).Truncate(time.Second).UTC()
	data := loginData{MAC: is.cfg.Keys.CurrentMAC(now), Subject: subject, At: now.Unix()}
	encoded, err := json.Marshal(data)
	if err != nil {
		return login{}, fmt.Errorf("issuer: login session: %w", err)
	}
	id := store.NewID(now, end)
	text, err := is.write(data.MAC, handle{prefix: loginPrefix, id: id})
	if err != nil {
		return login{}, fmt.Errorf("issuer: login session: %w", err)
	}
	doc := store.Document{Kind: store.Login, ID: id, End: end, Data: encoded}
	if err := is.cfg.Engine.Documents().Put(ctx, doc); err != nil {
		return login{}, fmt.Errorf("issuer: login session: %w", err)
	}
	is.setCookie(w, cookieLogin, text, int(end.Sub(now)/time.Second))
	return login{subject: subject, at: time.Unix(data.At, 0), end: end, id: id, version: 1, data: data}, nil
}

// currentLogin returns the login session of the browser, or the zero login if
// there is none that may be used: ended, forged, or of one who may sign in no
// more.
func (is *Issuer) currentLogin(r *http.Request, now time.Time) (login, error) {
	l, err := is.loadLogin(r, now)
	if err != nil || !l.live() {
		return login{}, err
	}
	if is.cfg.Users == nil {
		return login{}, nil
	}
	if has, err := is.cfg.Users.Has(r.Context(), l.subject); err != nil || !has {
		return login{}, err
	}
	if err := is.early.fresh(r.Context(), is.cfg.Engine.Revocations(), now); err != nil {
		return login{}, err
	}
	if is.early.endedSession(store.Session{ID: l.id, Subject: l.subject}, l.at) {
		return login{}, nil
	}
	if ended, err := is.endedAll(r.Context(), l.at); err != nil || ended {
		return login{}, err
	}
	return l, nil
}

// loadLogin reads the cookie and what it stands for.
func (is *Issuer) loadLogin(r *http.Request, now time.Time) (login, error) {
	h, ok := is.loginHandle(r)
	if !ok {
		return login{}, nil
	}
	doc, err := is.cfg.Engine.Documents().Get(r.Context(), store.Login, h.id)
	if errors.Is(err, store.ErrNotFound) {
		return login{}, nil
	}
	if err != nil {
		return login{}, err
	}
	var data loginData
	if err := json.Unmarshal(doc.Data, &data); err != nil {
		return login{}, fmt.Errorf("issuer: login session: %w", err)
	}
	ok, err = is.genuine(data.MAC, h)
	if err != nil || !ok || data.Ended || !now.Before(doc.End) {
		return login{}, nil // a MAC key that is gone is a login that is over
	}
	return login{subject: data.Subject, at: time.Unix(data.At, 0), end: doc.End, id: h.id, version: doc.Version, data: data}, nil
}

// loginHandle takes the login cookie apart.
func (is *Issuer) loginHandle(r *http.Request) (handle, bool) {
	cookie, err := r.Cookie(is.cookieName(cookieLogin))
	if err != nil {
		return handle{}, false
	}
	b, err := unwrap(cookie.Value, loginPrefix, idBytes+macBytes)
	if err != nil {
		return handle{}, false
	}
	return handle{prefix: loginPrefix, id: store.ID(b[:idBytes]), mac: b[idBytes:]}, true
}

// The cookies: who is signed in, and which browser a login form was made for.
const (
	cookieLogin = "lc_login"
	cookieForm  = "lc_form"
)

// cookieName adds the prefix that binds a cookie to this very host and to https
// (RFC 6265bis section 4.1.3.2). On a plain http issuer, which is loopback or
// behind a proxy that ends TLS elsewhere, browsers would refuse it.
func (is *Issuer) cookieName(name string) string {
	if is.secure() {
		return "__Host-" + name
	}
	return name
}

// setCookie sets a cookie for seconds; less than 0 removes it.
func (is *Issuer) setCookie(w http.ResponseWriter, name, value string, seconds int) {
	http.SetCookie(w, &http.Cookie{
		Name: is.cookieName(name), Value: value, Path: "/", MaxAge: seconds,
		Secure: is.secure(), HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}
