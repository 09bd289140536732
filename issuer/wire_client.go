package issuer

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// call is one authenticated request to an endpoint of clients.
type call struct {
	form   form
	client Client
	now    time.Time
	event  Event // what is known so far
}

// open parses a POST form and authenticates its client.
func (is *Issuer) open(w http.ResponseWriter, r *http.Request, endpoint string) (*call, *refusal) {
	c, refused := is.openLoosely(w, r, endpoint)
	if refused == nil {
		refused = c.form.once()
	}
	return c, refused
}

// openLoosely is open for a caller who has something to say before parameters
// that came twice: only what authenticates the client, or names the grant, must
// have come once.
func (is *Issuer) openLoosely(w http.ResponseWriter, r *http.Request, endpoint string) (*call, *refusal) {
	f, refused := readForm(w, r)
	c := &call{form: f, now: is.cfg.Now(), event: Event{Endpoint: endpoint}} // now: a body may take its time
	if refused == nil {
		refused = f.once("grant_type", "client_id", "client_secret", "client_assertion", "client_assertion_type")
	}
	if refused != nil {
		return c, refused
	}
	cr, refused := readCredentials(r.Header, c.form)
	if refused != nil {
		return c, refused
	}
	if c.client, refused = is.authenticate(r.Context(), cr, c.now); refused != nil {
		return c, refused
	}
	c.event.Client = c.client.ID
	c.client.keepOrigin(w.Header())
	return c, nil
}

// readCredentials reads how the client authenticates: HTTP Basic, the secret in
// the form, an assertion, or its id alone. Two at once are refused (RFC 6749
// section 2.3).
func readCredentials(h http.Header, f form) (credentials, *refusal) {
	cr := credentials{id: f.get("client_id"), secret: f.get("client_secret"), assertion: f.get("client_assertion")}
	if cr.secret != "" && (cr.assertion != "" || f.get("client_assertion_type") != "") {
		return cr, mixed()
	}
	if kind := f.get("client_assertion_type"); (kind != "" || cr.assertion != "") && (kind != assertionType || cr.assertion == "") {
		return cr, failed("client_assertion and client_assertion_type do not go together")
	}
	switch all := h.Values("Authorization"); {
	case len(all) == 0:
	case len(all) > 1, cr.secret != "", cr.assertion != "":
		return cr, mixed()
	default:
		return cr.fromHeader(all[0])
	}
	if cr.id == "" && cr.assertion == "" {
		return cr, failed("no client credentials")
	}
	return cr, nil
}

func mixed() *refusal {
	return refuse(invalidRequest, "the request authenticates the client in more than one way: use one")
}

// fromHeader reads HTTP Basic, whose parts are form-urlencoded (RFC 6749
// section 2.3.1).
func (cr credentials) fromHeader(header string) (credentials, *refusal) {
	cr.basic = true
	id, secret, ok := basic(header)
	if !ok {
		r := failed("the Authorization header is not HTTP Basic of two form-urlencoded parts")
		r.basic = true
		return cr, r
	}
	if cr.id != "" && cr.id != id {
		return cr, refuse(invalidRequest, "client_id differs from the Authorization header: send it once")
	}
	cr.id, cr.secret = id, secret
	return cr, nil
}

func basic(header string) (id, secret string, ok bool) {
	scheme, encoded, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Basic") {
		return "", "", false
	}
	pair, err := base64.StdEncoding.DecodeString(strings.TrimLeft(encoded, " "))
	if err != nil {
		return "", "", false
	}
	user, password, ok := strings.Cut(string(pair), ":")
	if !ok {
		return "", "", false
	}
	id, err1 := url.QueryUnescape(user)
	secret, err2 := url.QueryUnescape(password)
	return id, secret, err1 == nil && err2 == nil
}
