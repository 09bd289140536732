package issuer

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/longcase/longcase/store"
)

// maxRounds bounds how often a refresh is judged anew after a lost race. One
// lost race settles it: the generation only counts up.
const maxRounds = 4

// refreshToken rotates a session (RFC 6749 section 6, RFC 9700 section 4.14.2).
func (is *Issuer) refreshToken(ctx context.Context, c *call) (answer, *refusal) {
	text := c.form.get("refresh_token")
	if text == "" {
		return answer{}, refuse(invalidRequest, "send refresh_token")
	}
	h, err := parseRefresh(text)
	if err != nil {
		return answer{}, badRefresh("not a refresh token of this issuer")
	}
	if err := is.early.fresh(ctx, is.cfg.Engine.Revocations(), c.now); err != nil {
		return answer{}, unavailable("read the early ends", err)
	}
	for range maxRounds {
		a, refused, again := is.refreshOnce(ctx, c, h)
		if !again {
			return a, refused
		}
	}
	return answer{}, unavailable("rotate the session", store.ErrUnknown)
}

// badRefresh is the one answer to a refresh token that does not work; the log
// says why.
func badRefresh(why string, args ...any) *refusal {
	return refuse(invalidGrant, "the refresh token is not valid, over, revoked or another client's: sign in again").because(why, args...)
}

// refreshOnce judges the session as it is stored now. again says that another
// request changed it meanwhile, or that the store cannot say.
func (is *Issuer) refreshOnce(ctx context.Context, c *call, h handle) (a answer, refused *refusal, again bool) {
	s, d, refused := is.sessionOf(ctx, c, h)
	if refused != nil {
		return answer{}, refused, false
	}
	stands := is.cfg.Lifetimes.judge(s, d, h.generation, c.now)
	if refused := is.stop(ctx, c, s, d, stands, h.generation); refused != nil {
		return answer{}, refused, false
	}
	e, refused := is.resume(ctx, c, s, d)
	if refused != nil {
		return answer{}, refused, false
	}
	if stands == current {
		var err error
		if s, d, err = is.rotate(ctx, s, d, c.now); err != nil {
			refused, again = lost(err)
			return answer{}, refused, again
		}
	}
	e.end = s.End
	a, refused = is.successor(c, s, d, e)
	a.repeated = stands == repeated
	return a, refused, false
}

// sessionOf loads the session of h for its own client. Strangers learn and
// change nothing.
func (is *Issuer) sessionOf(ctx context.Context, c *call, h handle) (store.Session, sessionData, *refusal) {
	s, d, err := is.load(ctx, h)
	switch {
	case errors.Is(err, errNoSession):
		return s, d, badRefresh("%s", err)
	case err != nil:
		return s, d, unavailable("load the session", err)
	case s.Client != c.client.ID:
		return s, d, badRefresh("session %s belongs to client %q", s.ID, s.Client)
	}
	c.event.Subject, c.event.Session, c.event.Audience = s.Subject, s.ID.String(), d.Audience
	return s, d, nil
}

// stop refuses every standing that gets no token. Reuse ends the session; an
// early end that another node began is finished.
func (is *Issuer) stop(ctx context.Context, c *call, s store.Session, d sessionData, stands standing, g store.Generation) *refusal {
	if stands != ended && is.early.endedSession(s, d.begun()) {
		if _, err := is.end(ctx, s.ID, c.now); err != nil {
			return unavailable("end the session", err)
		}
		stands = ended
	}
	switch stands {
	case current, repeated:
		return nil
	case reused:
		return is.stopReuse(ctx, c, s, g)
	case ahead:
		return badRefresh("generation %d was never given out, %d is the newest", g, s.Generation)
	case over:
		return badRefresh("the session's idle or absolute end has passed")
	default:
		return badRefresh("the session was ended early")
	}
}

func (is *Issuer) stopReuse(ctx context.Context, c *call, s store.Session, g store.Generation) *refusal {
	did, err := is.end(ctx, s.ID, c.now)
	if err != nil {
		return unavailable("end the session whose refresh token was reused", err)
	}
	r := badRefresh("generation %d was used before, %d is the newest: the session is ended", g, s.Generation)
	if did {
		is.reused(c.event, r, "refresh token reused")
	}
	return r
}

// resume says what the session still entitles to under today's policy: never
// more than was granted at its beginning.
func (is *Issuer) resume(ctx context.Context, c *call, s store.Session, d sessionData) (entitlement, *refusal) {
	e := entitlement{client: s.Client, subject: s.Subject, audience: d.Audience, session: s.ID.String(), signedIn: d.AuthTime}
	switch {
	case !c.client.may(d.Grant):
		return e, badRefresh("client %q may no longer use %s", c.client.ID, d.Grant)
	case !slices.Contains(c.client.Audiences, d.Audience):
		return e, badRefresh("client %q may no longer ask for audience %q", c.client.ID, d.Audience)
	}
	if refused := is.stillHere(ctx, s.Subject); refused != nil {
		return e, refused
	}
	if refused := sameAudience(c.form.targets(), d.Audience); refused != nil {
		return e, refused
	}
	left := slices.DeleteFunc(slices.Clone(d.Scopes), func(scope string) bool { return !c.client.has(scope) })
	if len(left) == 0 && len(d.Scopes) > 0 {
		return e, badRefresh("client %q may no longer ask for any of the session's scopes", c.client.ID)
	}
	var refused *refusal
	e.scopes, refused = narrow(c.form.get("scope"), left)
	return e, refused
}

// stillHere refuses the session of a user who may no longer sign in.
func (is *Issuer) stillHere(ctx context.Context, subject string) *refusal {
	if is.cfg.Users == nil {
		return nil
	}
	switch here, err := is.cfg.Users.Has(ctx, subject); {
	case err != nil:
		return unavailable("find the user", err)
	case !here:
		return badRefresh("user %q may no longer sign in", subject)
	}
	return nil
}

// sameAudience allows to name the audience once more, and no other.
func sameAudience(asked []string, granted string) *refusal {
	if len(asked) == 0 || len(asked) == 1 && asked[0] == granted {
		return nil
	}
	return refuse(invalidTarget, "only the audience that was granted may be asked for, once: leave it out")
}

// narrow returns the scopes asked for, each of which must be granted; none
// asked for: all.
func narrow(asked string, granted []string) ([]string, *refusal) {
	if asked == "" {
		return granted, nil
	}
	var chosen []string
	for _, s := range strings.Split(asked, " ") {
		if s == scopeOffline && !slices.Contains(granted, s) || slices.Contains(chosen, s) {
			continue
		}
		if !slices.Contains(granted, s) {
			return nil, refuse(invalidScope, "a refresh may narrow the scopes that were granted, never widen them: ask for fewer, or sign in again")
		}
		chosen = append(chosen, s)
	}
	return chosen, nil
}

// rotate makes the next generation the newest: the one write that decides a
// race.
func (is *Issuer) rotate(ctx context.Context, s store.Session, d sessionData, now time.Time) (store.Session, sessionData, error) {
	old := s.Generation
	s.Generation++
	d.Used = max(d.Used, now.UnixMilli())
	var err error
	if s.Data, err = json.Marshal(d); err != nil {
		return s, d, err
	}
	return s, d, is.cfg.Engine.Sessions().Replace(ctx, s, old)
}

// lost sorts the errors of rotate: judge again, or refuse.
func lost(err error) (refused *refusal, again bool) {
	switch {
	case errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrUnknown):
		return nil, true
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrEnded):
		return badRefresh("the session is over: %s", err), false
	default:
		return unavailable("rotate the session", err), false
	}
}

// successor answers with the session's newest generation, which is derived and
// therefore the same whoever asks.
func (is *Issuer) successor(c *call, s store.Session, d sessionData, e entitlement) (answer, *refusal) {
	text, err := is.refreshText(d.MAC, s.ID, s.Generation)
	if err != nil {
		return answer{}, unavailable("authenticate the refresh token", err)
	}
	a, refused := is.issue(c, e)
	a.RefreshToken = text
	return a, refused
}
