package oauth

import (
	"context"
	"time"

	"golang.org/x/oauth2"

	"github.com/longcase/longcase/fresh"
)

// TokenSource returns the layer as golang.org/x/oauth2 knows it. The tokens
// carry their end, so that what caches them (oauth2.ReuseTokenSource, and
// oauth2.NewClient with it) asks again in time; but what caches them never learns
// that a token was refused early. Prefer Client.
func TokenSource(layer *fresh.Layer[fresh.Token]) oauth2.TokenSource { return source{layer} }

type source struct{ layer *fresh.Layer[fresh.Token] }

// Token implements oauth2.TokenSource.
func (s source) Token() (*oauth2.Token, error) {
	lease, err := s.layer.Get(context.Background())
	if err != nil {
		return nil, err
	}
	t := &oauth2.Token{AccessToken: lease.Value.Value, TokenType: lease.Value.Type, Expiry: lease.Expires}
	if t.Expiry.IsZero() { // it has no end and is read again and again
		t.Expiry = until(s.layer.Status().Next)
	}
	if lease.Value.Scope != "" {
		t = t.WithExtra(map[string]any{"scope": lease.Value.Scope})
	}
	return t, nil
}

// until is when a token that is renewed at next is to be asked for again. Where
// that is not known, it was then: the zero time would mean never.
func until(next time.Time) time.Time {
	if next.IsZero() {
		return time.Unix(0, 0)
	}
	return next
}
