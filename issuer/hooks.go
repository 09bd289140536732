package issuer

import (
	"cmp"
	"context"
	"log/slog"
)

// Event is one outcome. It holds no secret and no token; what the caller did
// not prove is empty.
type Event struct {
	Endpoint string // "token", "introspect", "revoke", "revocations", "authorize", "login", "userinfo", "end_session", "admin"
	Grant    string
	Client   string // of a client that exists
	Subject  string
	Session  string // "sid"
	Audience string
	Code     string // OAuth error code of a refusal
	Reason   string // why, for people
}

// Hooks are called once per outcome, synchronously; nil ones are skipped. They
// are for metrics and audit and must not block.
type Hooks struct {
	Issued       func(Event) // a token was issued
	Repeated     func(Event) // a lost refresh response was repeated: the same successor
	Refused      func(Event) // a request was refused; Code says as what
	Reused       func(Event) // a used code or an old generation came back: its session ends
	Ended        func(Event) // a session, client or subject was ended early
	Revoked      func(Event) // a client gave a token back (RFC 7009)
	Introspected func(Event)
	SignedIn     func(Event)
	SignInFailed func(Event)
	Followed     func(Event) // a feed of revocations was opened
}

// tell calls hook and logs one line.
func (is *Issuer) tell(ctx context.Context, hook func(Event), message string, e Event) {
	level := slog.LevelInfo
	if e.Code == temporarilyUnavailable {
		level = slog.LevelError
	}
	is.cfg.Log.LogAttrs(ctx, level, message, e.attrs()...)
	callHook(hook, e)
}

// reused tells the hook of a second use and has the refusal's line say so: one
// request, one line.
func (is *Issuer) reused(e Event, r *refusal, message string) {
	e.Reason, r.called = r.why, message
	callHook(is.cfg.Hooks.Reused, e)
}

func callHook(hook func(Event), e Event) {
	if hook != nil {
		hook(e)
	}
}

// refused tells of a refusal.
func (is *Issuer) refused(ctx context.Context, e Event, r *refusal) {
	e.Code, e.Reason = r.code, r.detail
	if r.why != "" {
		e.Reason = r.why
	}
	if r.err != nil {
		e.Reason += ": " + r.err.Error()
	}
	is.tell(ctx, is.cfg.Hooks.Refused, cmp.Or(r.called, "refused"), e)
}

func (e Event) attrs() []slog.Attr {
	attrs := make([]slog.Attr, 0, 8)
	add := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	add("endpoint", e.Endpoint)
	add("grant", e.Grant)
	add("client", e.Client)
	add("sub", e.Subject)
	add("sid", e.Session)
	add("aud", e.Audience)
	add("error", e.Code)
	add("reason", e.Reason)
	return attrs
}

const levelError = slog.LevelError

func reasonOf(err error) slog.Attr { return slog.String("reason", err.Error()) }
