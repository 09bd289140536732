package issuer

import (
	"crypto/hmac"
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	formPrefix = "lc_lf_" // separates the MAC of a form from every other
	formRandom = 16       // bytes in the cookie
	formLife   = time.Hour
)

// secure reports whether browsers reach the issuer over https.
func (is *Issuer) secure() bool { return strings.HasPrefix(is.cfg.URL, "https:") }

// formToken binds a form to this browser: the hidden field is the MAC of a
// random cookie, so neither alone is worth anything to another site.
func (is *Issuer) formToken(w http.ResponseWriter, r *http.Request, now time.Time) (string, error) {
	value, ok := is.formCookie(r)
	if !ok {
		var b [formRandom]byte
		rand.Read(b[:]) // crypto/rand does not fail
		value = base64.RawURLEncoding.EncodeToString(b[:])
	}
	is.setCookie(w, cookieForm, value, int(formLife/time.Second))
	key := is.cfg.Keys.CurrentMAC(now)
	mac, err := is.cfg.Keys.MAC(key, []byte(formPrefix+value))
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(mac) + "." + key, nil
}

// formCookie returns the browser's cookie if it has the form of ours.
func (is *Issuer) formCookie(r *http.Request) (string, bool) {
	cookie, err := r.Cookie(is.cookieName(cookieForm))
	if err != nil {
		return "", false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(cookie.Value)
	return cookie.Value, err == nil && len(b) == formRandom
}

// checkForm refuses a form that was not made by us for this browser.
func (is *Issuer) checkForm(r *http.Request, token string) *refusal {
	if !is.sameOrigin(r) {
		return refuse(accessDenied, "the form came from another site").because("cross-site login form")
	}
	value, ok := is.formCookie(r)
	encoded, key, _ := strings.Cut(token, ".")
	mac, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if ok && err == nil {
		if want, err := is.cfg.Keys.MAC(key, []byte(formPrefix+value)); err == nil && hmac.Equal(mac, want) {
			return nil
		}
	}
	return refuse(accessDenied, "the form is no longer valid here: go back to the application and begin again, with cookies allowed").
		because("login form and cookie do not belong together")
}

// sameOrigin judges Sec-Fetch-Site, or Origin where a browser sends none. Our
// pages send no referrer, which makes some browsers say "null"; the cookie
// decides then.
func (is *Issuer) sameOrigin(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" {
		return site == "same-origin" || site == "none"
	}
	origin := r.Header.Get("Origin")
	if origin == "" || origin == "null" {
		return true
	}
	from, err := url.Parse(origin)
	own, _ := url.Parse(is.cfg.URL) // New has parsed it
	return err == nil && (from.Host == own.Host && from.Scheme == own.Scheme || from.Host == r.Host)
}
