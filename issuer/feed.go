package issuer

import (
	"context"
	"errors"
	"time"

	"github.com/longcase/longcase/store"
)

// The feed of early ends.
const (
	beatEach   = 2 * time.Second // how often a follower hears that it is up to date
	maxStreams = 1024            // open feeds
)

// errOver says that the issuer stops; a follower turns to another node.
var errOver = errors.New("issuer: stopped")

// follower is where a feed goes. Its errors end it.
type follower interface {
	entries(ctx context.Context, all []store.Revocation, at store.Cursor) error
	live(ctx context.Context, at store.Cursor) error // everything up to now has been sent
}

// follow sends what was added after c, says live, and goes on with both until
// ctx ends. The store was asked before each live, so a follower that hears it
// has missed nothing.
func (is *Issuer) follow(ctx context.Context, c store.Cursor, to follower) error {
	beat := time.NewTicker(beatEach)
	defer beat.Stop()
	for due := true; ; {
		change := is.early.change() // before asking, so that nothing falls between
		all, next, err := is.cfg.Engine.Revocations().Since(ctx, c)
		if err != nil {
			return err
		}
		c = next
		if len(all) > 0 {
			err = to.entries(ctx, all, c)
		}
		if due && err == nil {
			err = to.live(ctx, c)
		}
		if err != nil {
			return err
		}
		due = false
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-is.over:
			return errOver
		case <-change:
		case <-beat.C:
			due = true
		}
	}
}

// Revocations is the feed for a gate in this process: it calls apply with each
// live early end, then live, then with each new one, and live every 2 s, until
// ctx ends or the store fails. It may repeat, never skip.
func (is *Issuer) Revocations(ctx context.Context, apply func(store.Revocation), live func()) error {
	return is.follow(ctx, "", inProcess{apply, live})
}

type inProcess struct {
	apply func(store.Revocation)
	said  func()
}

func (p inProcess) entries(_ context.Context, all []store.Revocation, _ store.Cursor) error {
	for _, r := range all {
		p.apply(r)
	}
	return nil
}

func (p inProcess) live(context.Context, store.Cursor) error {
	p.said()
	return nil
}
