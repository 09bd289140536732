package gate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

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
	scheme string // of the challenge, where it is not the request's own
	retry  time.Duration
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
func (g *Gate) refusalOf(v *verify.Verdict, o *outcome) *refusal {
	m := v.Reason.Meaning()
	f := &refusal{status: m.Status, reason: string(v.Reason), title: m.Title, detail: v.Detail, oauth: m.OAuth, err: v.Err}
	if f.detail == "" {
		f.detail = m.Remedy
	}
	if v.Reason == token.InsufficientScope {
		f.scope = strings.Join(o.route.need.Scopes, " ")
	}
	if code := proofError(v.Err); code != "" {
		f.oauth = code
	}
	if f.oauth != m.OAuth || v.Claims.Confirm.JKT != "" {
		f.scheme = schemeDPoP
	}
	f.skew, f.retry = v.SkewSeconds(), o.wait
	if v.Claims.Issuer != "" {
		f.claims = &v.Claims
	}
	return f
}

// unroutable says why no route was found.
func unroutable(err error) *refusal {
	switch {
	case errors.Is(err, errNoRoute):
		return &refusal{status: http.StatusNotFound, reason: reasonNoRoute, title: "no route has this path", detail: "check the path against the gate's routes"}
	case errors.Is(err, errMethod):
		return notAllowed(err.Error())
	default:
		return &refusal{status: http.StatusBadRequest, reason: reasonAmbiguous, title: "path is ambiguous", detail: err.Error()}
	}
}

func notAllowed(detail string) *refusal {
	m := token.NotAllowed.Meaning()
	return &refusal{status: m.Status, reason: string(token.NotAllowed), title: m.Title, detail: detail}
}

// refused is f as every edge says it.
func (g *Gate) refused(o *outcome, f *refusal) Answer {
	f.detail = bounded(f.detail)
	h := http.Header{
		"Cache-Control":  {"no-store"},
		"Content-Type":   {"application/problem+json"},
		"X-Token-Reason": {f.reason},
	}
	if f.status == http.StatusUnauthorized || f.status == http.StatusForbidden {
		h["Www-Authenticate"] = []string{g.challenge(o, f)}
	}
	if nonce := g.nonceFor(o, f); nonce != "" {
		h["Dpop-Nonce"] = []string{nonce}
	}
	switch {
	case f.retry > 0:
		h["Retry-After"] = []string{strconv.FormatInt(int64((f.retry+time.Second-1)/time.Second), 10)}
	case f.status == http.StatusServiceUnavailable:
		h["Retry-After"] = []string{"5"}
	}
	return Answer{Reason: f.reason, Detail: f.detail, Status: f.status, Header: h, Body: f.problem(), route: o.route}
}

// maxDetail bounds a detail by the bytes it takes in the body, so that body and
// challenge together fit the 4 KiB that nginx has for an answer's headers.
const maxDetail = 1024

// bounded cuts what a detail has too much.
func bounded(detail string) string {
	size := 0
	for i, r := range detail {
		if size += len(asciiJSON(r)); size > maxDetail {
			return detail[:i] + "…"
		}
	}
	return detail
}

// problem is the body of RFC 9457: one line of ASCII.
func (f *refusal) problem() []byte {
	body, err := json.Marshal(struct {
		Type   string   `json:"type"`
		Title  string   `json:"title"`
		Status int      `json:"status"`
		Detail string   `json:"detail"`
		Reason string   `json:"reason"`
		Skew   *float64 `json:"skew_seconds,omitempty"`
	}{reasonsURL + f.reason, f.title, f.status, f.detail, f.reason, f.skew})
	if err != nil {
		return []byte("{}\n")
	}
	line := make([]byte, 0, len(body)+1)
	for _, r := range string(body) {
		if r <= '~' {
			line = append(line, byte(r))
			continue
		}
		line = append(line, asciiJSON(r)...)
	}
	return append(line, '\n')
}

// asciiJSON is r inside a string of JSON that holds ASCII only (RFC 8259 section
// 7).
func asciiJSON(r rune) string {
	switch {
	case r == '"' || r == '\\':
		return "\\" + string(r)
	case r >= ' ' && r <= '~' && r != '<' && r != '>' && r != '&':
		return string(r)
	case r > 0xffff:
		high, low := utf16.EncodeRune(r)
		return fmt.Sprintf(`\u%04x\u%04x`, high, low)
	}
	return fmt.Sprintf(`\u%04x`, r)
}

// challenge is the WWW-Authenticate of RFC 6750 section 3, or of RFC 9449 section
// 7.1 where the route or the request is one of DPoP. A request without a token
// gets no error code.
func (g *Gate) challenge(o *outcome, f *refusal) string {
	scheme, name := schemeBearer, g.realm
	if o.scheme == schemeDPoP || f.scheme == schemeDPoP || o.route.need.Binding == verify.DPoP {
		scheme = schemeDPoP
	}
	if o.route.need.Audience != "" {
		name = o.route.need.Audience
	}
	s := fmt.Sprintf(`%s realm="%s"`, scheme, quotable(token.Clip(name)))
	if f.oauth != "" {
		s += fmt.Sprintf(`, error="%s", error_description="%s"`, f.oauth, quotable(f.title+": "+f.detail))
	}
	if f.scope != "" {
		s += fmt.Sprintf(`, scope="%s"`, quotable(f.scope))
	}
	if scheme == schemeDPoP {
		s += fmt.Sprintf(`, algs="%s"`, proofAlgorithms)
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

// logRefusal writes one line.
func (g *Gate) logRefusal(ctx context.Context, r *Request, rt *route, f *refusal) {
	attrs := []slog.Attr{
		slog.String("reason", f.reason), slog.Int("status", f.status), slog.String("detail", f.detail),
		slog.String("edge", r.Edge), slog.String("route", rt.Path), slog.String("method", token.Clip(r.Method)), slog.String("peer", token.Clip(r.Peer)),
	}
	if ip, ok := g.client(r.Peer, r.Header); ok && g.trusts(r.Peer) {
		attrs = append(attrs, slog.String("address", ip.String()))
	}
	if c := f.claims; c != nil {
		attrs = append(attrs, slog.String("issuer", c.Issuer), slog.String("client", token.Clip(c.ClientID)), slog.String("subject", token.Clip(c.Subject)))
	}
	if f.err != nil {
		attrs = append(attrs, slog.Any("err", f.err))
	}
	level := slog.LevelInfo
	if f.status >= http.StatusInternalServerError {
		level = slog.LevelWarn
	}
	g.cfg.Log.LogAttrs(ctx, level, "refused", attrs...)
}
