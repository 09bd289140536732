package google

import (
	"context"

	"cloud.google.com/go/auth"

	"github.com/longcase/longcase/fresh"
)

// TokenProvider is layer for the clients of cloud.google.com/go. It caches
// nothing itself: hand it over as it is, not inside auth.NewCachedTokenProvider,
// which would keep a token that the layer has already replaced.
func TokenProvider(layer *fresh.Layer[fresh.Token]) auth.TokenProvider { return provider{layer} }

type provider struct{ layer *fresh.Layer[fresh.Token] }

// Token returns a token that is not over.
func (p provider) Token(ctx context.Context) (*auth.Token, error) {
	lease, err := p.layer.Get(ctx)
	if err != nil {
		return nil, err
	}
	kind := lease.Value.Type
	if kind == "" {
		kind = "Bearer"
	}
	return &auth.Token{Value: lease.Value.Value, Type: kind, Expiry: lease.Expires}, nil
}
