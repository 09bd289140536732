package issuer

import (
	"net/http"

	"github.com/longcase/longcase/issuer/pages"
)

// browserRoutes are the endpoints that browsers visit, by their path below the
// issuer's URL.
func (is *Issuer) browserRoutes() map[string]route {
	both := []string{http.MethodGet, http.MethodPost}
	return map[string]route{
		"/authorize":   {both, "authorization_endpoint", is.serveAuthorize, sameSite},
		"/userinfo":    {both, "userinfo_endpoint", is.serveUserinfo, listed},
		"/end_session": {both, "end_session_endpoint", is.serveEndSession, sameSite},
	}
}

// pageHeaders are those of everything a browser is shown here: kept by no
// cache, framed by nobody, told to nobody. Forms may end at target too.
func pageHeaders(h http.Header, target string) {
	noStore(h)
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", pages.Policy(target))
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY") // for browsers without frame-ancestors
}

func (is *Issuer) showMessage(w http.ResponseWriter, status int, title, detail, code string) {
	pageHeaders(w.Header(), "")
	w.WriteHeader(status)
	pages.Message{Title: title, Detail: detail, Code: code}.Write(w) //nolint:errcheck // the browser is gone
}
