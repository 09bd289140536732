package issuer

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// maxBody bounds a request's form, in bytes.
const maxBody = 64 << 10

// route is one endpoint.
type route struct {
	methods  []string // HEAD follows GET, OPTIONS is always answered
	metadata string   // its name in the metadata; empty: not listed
	serve    http.HandlerFunc
	reach    reach // who may use it from a page of another origin
}

// table is every endpoint by its path. What is not here does not exist, and
// the metadata lists what is.
func (is *Issuer) table() map[string]route {
	get, post := []string{http.MethodGet}, []string{http.MethodPost}
	t := map[string]route{
		is.path + "/token":       {post, "token_endpoint", is.serveToken, listed},
		is.path + "/introspect":  {post, "introspection_endpoint", is.serveIntrospect, sameSite},
		is.path + "/revoke":      {post, "revocation_endpoint", is.serveRevoke, listed},
		is.path + "/jwks":        {get, "jwks_uri", is.serveJWKS, everyone},
		is.path + "/revocations": {[]string{http.MethodGet, http.MethodPost}, "", is.serveFeed, sameSite},
	}
	for _, path := range is.metadataPaths() {
		t[path] = route{get, "", is.serveMetadata, everyone}
	}
	for path, r := range is.browserRoutes() {
		t[is.path+path] = r
	}
	return t
}

// Handler serves every endpoint below the issuer's URL.
func (is *Issuer) Handler() http.Handler { return is.cors(http.HandlerFunc(is.serve)) }

func (is *Issuer) serve(w http.ResponseWriter, r *http.Request) {
	to, ok := is.routes[r.URL.EscapedPath()]
	switch {
	case !ok:
		http.Error(w, "not found", http.StatusNotFound)
	case to.takes(r.Method):
		to.serve(w, r)
	default:
		w.Header().Set("Allow", to.allow())
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	}
}

func (t route) takes(method string) bool {
	return slices.Contains(t.methods, method) ||
		method == http.MethodHead && slices.Contains(t.methods, http.MethodGet)
}

func (t route) allow() string {
	all := slices.Clone(t.methods)
	if slices.Contains(all, http.MethodGet) {
		all = append(all, http.MethodHead)
	}
	return strings.Join(append(all, http.MethodOptions), ", ")
}

// form is a request's parameters, parsed once. A parameter without a value is
// as if it were left out (RFC 6749 section 3.1).
type form map[string][]string

// repeatable may come several times on the wire; what several mean is judged
// where they are read (RFC 8707 section 2).
var repeatable = [...]string{"resource", "audience"}

// parseForm reads a POST form: one content type, bounded, each parameter once,
// none in the URL.
func parseForm(w http.ResponseWriter, r *http.Request) (form, *refusal) {
	f, refused := readForm(w, r)
	if refused == nil {
		refused = f.once()
	}
	return f, refused
}

// readForm is parseForm, but a parameter may come more than once.
func readForm(w http.ResponseWriter, r *http.Request) (form, *refusal) {
	if r.URL.RawQuery != "" {
		return nil, refuse(invalidRequest, "send the parameters in the body, none in the URL")
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" || len(r.Header.Values("Content-Type")) != 1 {
		return nil, refuse(invalidRequest, "send Content-Type: application/x-www-form-urlencoded")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		return nil, refuse(invalidRequest, "send at most %d bytes", maxBody)
	}
	if err != nil {
		return nil, refuse(invalidRequest, "the body did not arrive whole: send it again")
	}
	return decode(string(body))
}

// parseParameters reads a query: well encoded, each parameter once.
func parseParameters(encoded string) (form, *refusal) {
	f, refused := decode(encoded)
	if refused == nil {
		refused = f.once()
	}
	return f, refused
}

func decode(encoded string) (form, *refusal) {
	values, err := url.ParseQuery(encoded)
	if err != nil {
		return nil, refuse(invalidRequest, "the parameters are not application/x-www-form-urlencoded: encode them")
	}
	return form(values), nil
}

// once refuses a parameter that came more than once: one of names, or any if
// none is named.
func (f form) once(names ...string) *refusal {
	for name, all := range f {
		if len(all) > 1 && !slices.Contains(repeatable[:], name) && (len(names) == 0 || slices.Contains(names, name)) {
			return refuse(invalidRequest, "a parameter came more than once: send each once")
		}
	}
	return nil
}

// get returns the one value of name, or "".
func (f form) get(name string) string {
	if all := f[name]; len(all) > 0 {
		return all[0]
	}
	return ""
}

// targets returns every audience asked for: resource (RFC 8707) and audience.
func (f form) targets() []string {
	var all []string
	for _, name := range repeatable {
		for _, v := range f[name] {
			if v != "" {
				all = append(all, v)
			}
		}
	}
	return all
}

// noStore forbids caches to keep the answer (RFC 6749 section 5.1).
func noStore(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
}

// writeJSON writes one JSON answer that no cache keeps.
func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // our own types marshal
	}
	noStore(w.Header())
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body) //nolint:errcheck // the caller is gone
}

// writeRefusal writes the error of RFC 6749 section 5.2.
func writeRefusal(w http.ResponseWriter, r *refusal) {
	if r.basic {
		w.Header().Set("WWW-Authenticate", `Basic realm="token service", charset="UTF-8"`)
	}
	if r.code == temporarilyUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	writeJSON(w, status(r.code), struct {
		Error       string `json:"error"`
		Description string `json:"error_description,omitempty"`
	}{r.code, r.detail})
}
