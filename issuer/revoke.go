package issuer

import (
	"context"
	"errors"
	"strings"

	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/verify/early"
)

// revoke ends a client's own token (RFC 7009 section 2): a refresh token ends
// its session, an access token is in the feed until it is over. What is not a
// token, or over already, is a success; what the store did not do is not.
func (is *Issuer) revoke(ctx context.Context, c *call) *refusal {
	text := c.form.get("token")
	switch {
	case text == "":
		return refuse(invalidRequest, "send token")
	case strings.HasPrefix(text, refreshPrefix):
		return is.revokeRefresh(ctx, c, text)
	default:
		return is.revokeAccess(ctx, c, text)
	}
}

// foreign refuses a token that was issued to another client.
func foreign(owner string) *refusal {
	return refuse(invalidGrant, "the token was issued to another client: only that client may revoke it").because("it belongs to client %q", owner)
}

func (is *Issuer) revokeRefresh(ctx context.Context, c *call, text string) *refusal {
	h, err := parseRefresh(text)
	if err != nil {
		c.event.Reason = "not a refresh token of this issuer"
		return nil
	}
	s, _, err := is.load(ctx, h)
	switch {
	case errors.Is(err, errNoSession):
		c.event.Reason = err.Error()
		return nil
	case err != nil:
		return unavailable("load the session", err)
	case s.Client != c.client.ID:
		return foreign(s.Client)
	case h.generation > s.Generation:
		c.event.Reason = "a generation that was never given out"
		return nil
	}
	c.event.Subject, c.event.Session = s.Subject, s.ID.String()
	if _, err := is.end(ctx, s.ID, c.now); err != nil {
		return unavailable("end the session", err)
	}
	return nil
}

func (is *Issuer) revokeAccess(ctx context.Context, c *call, text string) *refusal {
	claims, _, err := is.readAccess(text, c.now)
	switch {
	case err != nil:
		c.event.Reason = err.Error()
		return nil
	case claims.ClientID != c.client.ID:
		return foreign(claims.ClientID)
	case !c.now.Before(accepted(claims.Expires)):
		return nil
	}
	c.event.Subject, c.event.Session = claims.Subject, claims.Session
	if is.early.Has(early.Token, claims.ID) {
		return nil
	}
	entry := store.Revocation{Kind: store.RevokedToken, Value: claims.ID, End: accepted(claims.Expires)}
	if err := is.add(ctx, entry); err != nil {
		return unavailable("record the revocation", err)
	}
	return nil
}
