package issuer

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/longcase/longcase/token"
)

// state is the answer of RFC 7662 section 2.2. What is not active, or not the
// caller's business, says active:false and nothing else.
type state struct {
	Active    bool   `json:"active"`
	Scope     string `json:"scope,omitempty"`
	ClientID  string `json:"client_id,omitempty"`
	TokenType string `json:"token_type,omitempty"`
	Expires   int64  `json:"exp,omitempty"`
	IssuedAt  int64  `json:"iat,omitempty"`
	NotBefore int64  `json:"nbf,omitempty"`
	Subject   string `json:"sub,omitempty"`
	Audience  string `json:"aud,omitempty"`
	Issuer    string `json:"iss,omitempty"`
	ID        string `json:"jti,omitempty"`
	Session   string `json:"sid,omitempty"`
}

// introspect tells a client about a token that is its own, meant for it, or
// whose early ends it may follow.
func (is *Issuer) introspect(ctx context.Context, c *call) (state, *refusal) {
	if c.client.Authenticate == AuthNone {
		return state{}, failed("client %q is public and cannot introspect", c.client.ID)
	}
	text := c.form.get("token")
	switch {
	case text == "":
		return state{}, refuse(invalidRequest, "send token")
	case strings.HasPrefix(text, refreshPrefix):
		return is.introspectRefresh(ctx, c, text)
	}
	claims, err := is.judgeAccess(ctx, text, c.now)
	if refused := new(token.Error); errors.As(err, &refused) {
		c.event.Reason = string(refused.Reason)
		return state{}, nil
	}
	if err != nil {
		return state{}, unavailable("read the early ends", err)
	}
	c.event.Subject, c.event.Session = claims.Subject, claims.Session
	if !c.client.mayLookAt(claims) {
		c.event.Reason = "another client's token"
		return state{}, nil
	}
	return is.stateOf(claims), nil
}

func (c Client) mayLookAt(claims token.Claims) bool {
	return c.Revocations || claims.ClientID == c.ID || slices.Contains(claims.Audience, c.ID)
}

func (is *Issuer) stateOf(c token.Claims) state {
	return state{
		Active: true, Scope: c.Scope, ClientID: c.ClientID, TokenType: "Bearer",
		Expires: c.Expires.Unix(), IssuedAt: c.IssuedAt.Unix(), NotBefore: c.NotBefore.Unix(),
		Subject: c.Subject, Audience: strings.Join(c.Audience, " "), Issuer: c.Issuer, ID: c.ID, Session: c.Session,
	}
}

// introspectRefresh tells a client whether its refresh token would work now. It
// changes nothing, whatever generation it is shown.
func (is *Issuer) introspectRefresh(ctx context.Context, c *call, text string) (state, *refusal) {
	h, err := parseRefresh(text)
	if err != nil {
		c.event.Reason = string(token.Malformed)
		return state{}, nil
	}
	s, d, err := is.load(ctx, h)
	if err == nil {
		err = is.early.fresh(ctx, is.cfg.Engine.Revocations(), c.now)
	}
	if errors.Is(err, errNoSession) {
		c.event.Reason = err.Error()
		return state{}, nil
	}
	if err != nil {
		return state{}, unavailable("load the session", err)
	}
	stands := is.cfg.Lifetimes.judge(s, d, h.generation, c.now)
	works := stands == current || stands == repeated
	if s.Client != c.client.ID || !works || is.early.endedSession(s, d.begun()) {
		c.event.Reason = "not the caller's, or it would not work"
		return state{}, nil
	}
	c.event.Subject, c.event.Session = s.Subject, s.ID.String()
	return state{
		Active: true, Scope: strings.Join(d.Scopes, " "), ClientID: s.Client, Expires: is.cfg.Lifetimes.over(s, d).Unix(), IssuedAt: d.Begun,
		Subject: s.Subject, Audience: d.Audience, Issuer: is.cfg.URL, Session: s.ID.String(),
	}, nil
}
