package app

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/longcase/longcase/issuer/keys"
	"github.com/longcase/longcase/jwks/remote"
	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify"
)

// jwksKeys is what verifies: a file, a remote set or the own ring.
type jwksKeys = verify.Keys

// sources are the remote key sets of one configuration; run keeps them fresh.
type sources struct {
	log  *slog.Logger
	list []*remote.Source
}

// add makes a source: by discovery from issuer, or from url. A stale of zero is
// the default.
func (s *sources) add(issuer, url string, stale time.Duration) (*remote.Source, error) {
	src, err := remote.New(remote.Config{Issuer: issuer, URL: url, Stale: stale, Log: s.log})
	if err != nil {
		return nil, err
	}
	s.list = append(s.list, src)
	return src, nil
}

func (s *sources) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, src := range s.list {
		g.Go(func() error { return src.Run(ctx) })
	}
	return g.Wait()
}

// ownKeys verifies the tokens of the issuer in the same process: no fetch, and
// a revoked key is gone at once.
type ownKeys struct{ ring *keys.Keyring }

// Keys implements verify.Keys.
func (o ownKeys) Keys(_ context.Context, kid string, alg token.Algorithm) ([]token.Key, error) {
	found := o.ring.Find(kid, alg, time.Now())
	if len(found) == 0 {
		return nil, token.Refuse(token.UnknownKey, "no key %.64q for %s in the issuer's set", kid, alg)
	}
	return found, nil
}

// newSecretKey verifies HS256. A shared secret has no kid, so any will do.
func newSecretKey(what string, secret []byte) (verify.Keys, error) {
	key, err := token.NewKey("", token.HS256, secret)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return verify.Fixed{key}, nil
}
