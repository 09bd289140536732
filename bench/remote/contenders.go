package remote

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	jwksremote "github.com/longcase/longcase/jwks/remote"
	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify"
)

// A contender verifies the tokens of one issuer, whose keys it fetches.
type contender struct {
	name string
	make func(ctx context.Context, is *issuer) (check func(raw string) error, err error)
}

// ours is the contender whom the goal is for.
const ours = "longcase"

func contenders() []contender {
	return []contender{
		{ours, longcase},
		{"go-oidc", goOIDC},
	}
}

func longcase(ctx context.Context, is *issuer) (func(string) error, error) {
	source, err := jwksremote.New(jwksremote.Config{Issuer: is.URL, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	go func() { _ = source.Run(ctx) }() // ctx ends it
	v, err := verify.New(verify.Config{Issuers: []verify.Issuer{{URL: is.URL, Audience: audience, Keys: source}}})
	if err != nil {
		return nil, err
	}
	return func(raw string) error {
		verdict := v.Verify(ctx, raw, verify.Need{}, time.Now())
		if verdict.Accepted() {
			return nil
		}
		return verdict.Reason
	}, nil
}

func goOIDC(ctx context.Context, is *issuer) (func(string) error, error) {
	provider, err := oidc.NewProvider(ctx, is.URL)
	if err != nil {
		return nil, err
	}
	v := provider.Verifier(&oidc.Config{ClientID: audience})
	return func(raw string) error {
		_, err := v.Verify(ctx, raw)
		return err
	}, nil
}

// refused checks that the storm's tokens are refused for what they are.
func refused(name string, err error) error {
	if err == nil {
		return fmt.Errorf("%s accepts a token whose key nobody knows", name)
	}
	var reason token.Reason
	if errors.As(err, &reason) && reason != token.UnknownKey {
		return fmt.Errorf("%s refuses it for another reason: %w", name, err)
	}
	return nil
}
