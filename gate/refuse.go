package gate

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify"
)

// reasonsURL is where a problem's "type" leads, followed by the reason.
const reasonsURL = "https://longcase.dev/reasons/"

// refusal is everything an edge says when it does not pass a request on.
type refusal struct {
	status int
	reason string // a token.Reason, or one of the edge's own below
	title  string
	detail string
	oauth  string // "error" of RFC 6750 section 3.1
	scope  string // what insufficient_scope asks for
	skew   *float64
	err    error         // for the log
	claims *token.Claims // of a token whose signature held; for the log
}

// The reasons that are not about a token: no route, a path with two readings,
// an upstream that does not answer.
const (
	reasonNoRoute    = "no_route"
	reasonAmbiguous  = "ambiguous_path"
	reasonBadGateway = "bad_gateway"
)

// refusalOf says a verdict in HTTP, by the table of reasons.
func (g *Gate) refusalOf(v verify.Verdict, rt *route) refusal {
	m := v.Reason.Meaning()
	f := refusal{status: m.Status, reason: string(v.Reason), title: m.Title, detail: v.Detail, oauth: m.OAuth, err: v.Err}
	if f.detail == "" {
		f.detail = m.Remedy
	}
	if v.Reason == token.InsufficientScope {
		f.scope = strings.Join(rt.need.Scopes, " ")
	}
	f.skew = v.SkewSeconds()
	if v.Claims.Issuer != "" {
		f.claims = &v.Claims
	}
	return f
}

// unroutable says why no route was found.
func unroutable(err error) refusal {
	switch {
	case errors.Is(err, errNoRoute):
		return refusal{status: http.StatusNotFound, reason: reasonNoRoute, title: "no route has this path", detail: "check the path against the gate's routes"}
	case errors.Is(err, errMethod):
		return notAllowed(err.Error())
	default:
		return refusal{status: http.StatusBadRequest, reason: reasonAmbiguous, title: "path is ambiguous", detail: err.Error()}
	}
}

func notAllowed(detail string) refusal {
	m := token.NotAllowed.Meaning()
	return refusal{status: m.Status, reason: string(token.NotAllowed), title: m.Title, detail: detail}
}

// refuse writes f and one line of log.
func (g *Gate) refuse(w http.ResponseWriter, r *http.Request, edge string, rt *route, f refusal) {
	g.logRefusal(r, edge, rt, f)
	hurryBody(w, r)
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "application/problem+json")
	h.Set("X-Token-Reason", f.reason)
	if f.status == http.StatusUnauthorized || f.status == http.StatusForbidden {
		h.Set("WWW-Authenticate", g.challenge(rt, f))
	}
	if f.status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "5")
	}
	w.WriteHeader(f.status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(f.problem())
	}
}

// bodyWithin is how long the rest of a body that nobody will read may take.
const bodyWithin = time.Second

// hurryBody bounds the wait for a body that the answer does not depend on.
// net/http reads up to 256 KiB of it before it writes the answer, to keep the
// connection, and sets no deadline where the server has none: whoever sends no
// body would hold a connection without a token. A writer without deadlines has
// no such wait.
func hurryBody(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength == 0 {
		return
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyWithin))
}

// problem is the body of RFC 9457.
func (f refusal) problem() []byte {
	body, err := json.Marshal(struct {
		Type   string   `json:"type"`
		Title  string   `json:"title"`
		Status int      `json:"status"`
		Detail string   `json:"detail"`
		Reason string   `json:"reason"`
		Skew   *float64 `json:"skew_seconds,omitempty"`
	}{reasonsURL + f.reason, f.title, f.status, f.detail, f.reason, f.skew})
	if err != nil {
		return []byte("{}")
	}
	return append(body, '\n')
}

// challenge is the WWW-Authenticate of RFC 6750 section 3. A request without a
// token gets no error code.
func (g *Gate) challenge(rt *route, f refusal) string {
	name := g.realm
	if rt.need.Audience != "" {
		name = rt.need.Audience
	}
	s := fmt.Sprintf(`Bearer realm="%s"`, quotable(name))
	if f.oauth == "" {
		return s
	}
	s += fmt.Sprintf(`, error="%s", error_description="%s"`, f.oauth, quotable(f.title+": "+f.detail))
	if f.scope != "" {
		s += fmt.Sprintf(`, scope="%s"`, quotable(f.scope))
	}
	return s
}

// quotable keeps what RFC 6750 section 3 allows in error_description.
func quotable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '"':
			return '\''
		case r == '\\', r < ' ', r > '~':
			return '.'
		}
		return r
	}, s)
}

// realm names the service where a route does not: the audience, if there is one.
func realm(cfg Config) string {
	if list := cfg.audiences(); len(list) == 1 && list[0] != "" {
		return list[0]
	}
	return "longcase"
}

func (g *Gate) logRefusal(r *http.Request, edge string, rt *route, f refusal) {
	attrs := []slog.Attr{
		slog.String("reason", f.reason), slog.Int("status", f.status), slog.String("detail", f.detail),
		slog.String("edge", edge), slog.String("route", rt.Path), slog.String("method", clip(r.Method)), slog.String("peer", r.RemoteAddr),
	}
	if c := f.claims; c != nil {
		attrs = append(attrs, slog.String("issuer", c.Issuer), slog.String("client", clip(c.ClientID)), slog.String("subject", clip(c.Subject)))
	}
	if f.err != nil {
		attrs = append(attrs, slog.Any("err", f.err))
	}
	level := slog.LevelInfo
	if f.status >= http.StatusInternalServerError {
		level = slog.LevelWarn
	}
	g.cfg.Log.LogAttrs(r.Context(), level, "refused", attrs...)
}

// clip bounds what a request can put into a line of log.
func clip(s string) string {
	const most = 128
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
