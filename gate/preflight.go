package gate

import "net/http"

const requestedMethod = "Access-Control-Request-Method"

// isPreflight tells a CORS preflight (Fetch standard, "CORS-preflight fetch"):
// OPTIONS with Origin and Access-Control-Request-Method, and never credentials.
// A browser cannot add any, so a gate that asked for a token would refuse every
// call that a page of another origin makes.
//
// To leave it alone is safe: it is passed on without a token and without any
// header that says who it is, so nobody behind the gate can take it for a user.
// It asks whether a page may make a call and makes none: the call itself comes
// later and needs its token. Whatever could make more of it than that is not a
// preflight here and needs a token: a body, an upgrade to another protocol, a
// header that asks for another method or path. Middleware and proxy also drop the body
// of the answer, which no browser reads, so that a handler that looks at no
// method gives nothing away.
func isPreflight(r *Request) bool {
	if r.Method != http.MethodOptions || r.bodied || r.unrouted {
		return false
	}
	origin, method := r.Header["Origin"], r.Header[requestedMethod]
	if length := r.Header["Content-Length"]; len(length) > 0 && single(length, "") != "0" {
		return false
	}
	if len(origin) != 1 || origin[0] == "" || len(method) != 1 || !isToken(method[0]) {
		return false
	}
	for name := range r.Header {
		if !harmless(name) {
			return false
		}
	}
	return true
}

// harmless tells the headers that may come with a preflight.
func harmless(name string) bool {
	switch fold(name) {
	case "authorization", "proxy-authorization", "cookie", "dpop", "upgrade", "transfer-encoding",
		"x-http-method", "x-http-method-override", "x-method-override", "x-rewrite-url":
		return false
	}
	return true
}

// mute is a ResponseWriter that passes status and headers on and drops the
// body.
type mute struct {
	http.ResponseWriter
	said bool
}

// muted is w without a body.
func muted(w http.ResponseWriter) http.ResponseWriter { return &mute{ResponseWriter: w} }

func (m *mute) WriteHeader(status int) {
	if status >= http.StatusOK && !m.said {
		m.said = true
		for _, name := range []string{"Content-Length", "Content-Type", "Content-Encoding", "Trailer"} {
			m.Header().Del(name)
		}
		if status != http.StatusNoContent && status != http.StatusNotModified {
			m.Header().Set("Content-Length", "0")
		}
	}
	m.ResponseWriter.WriteHeader(status)
}

func (m *mute) Write(p []byte) (int, error) {
	if !m.said {
		m.WriteHeader(http.StatusOK)
	}
	return len(p), nil
}

// WriteString is Write; io.Copy and fmt look for it.
func (m *mute) WriteString(s string) (int, error) {
	_, err := m.Write(nil)
	return len(s), err
}
