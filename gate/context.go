package gate

import (
	"context"

	"github.com/longcase/longcase/token"
)

// NewContext returns ctx with the claims of a token that Judge accepted, for
// FromContext. Adapters for other servers call it.
func NewContext(ctx context.Context, c *token.Claims) context.Context {
	return context.WithValue(ctx, contextKey{}, c)
}

// Refuse is Judge for a request that an edge cannot make out: why says what is
// wrong with it.
func (g *Gate) Refuse(ctx context.Context, r Request, why string) Answer {
	r.wrong = why
	return g.Judge(ctx, r)
}
