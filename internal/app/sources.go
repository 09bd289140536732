package app

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/longcase/longcase/issuer/keys"
	"github.com/longcase/longcase/jwks"
	"github.com/longcase/longcase/jwks/remote"
	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify"
	"github.com/longcase/longcase/verify/skew"
)

// origin says where a remote key set comes from: by discovery from issuer, or
// from url. A stale of zero is the default.
type origin struct {
	issuer, url string
	stale       time.Duration
}

// source is one remote key set and the goroutine that keeps it fresh.
type source struct {
	set  *remote.Source
	stop context.CancelFunc // nil until it runs
	done chan struct{}
}

// sources are the remote key sets of one shift. A set goes from one shift to
// the next with the keys it has, so that a reload while an issuer is down
// refuses nobody.
type sources struct {
	log    *slog.Logger
	book   *skew.Book // told of the Date headers of what is fetched
	before *sources   // the shift before; nil for the first
	all    map[origin]*source
}

func newSources(h *house, before *sources) *sources {
	return &sources{log: h.log, book: h.book, before: before, all: map[origin]*source{}}
}

// add returns the set of o: this shift's, the one of the shift before, or a new
// one.
func (s *sources) add(o origin) (*remote.Source, error) {
	if known := s.find(o); known != nil {
		s.all[o] = known
		return known.set, nil
	}
	set, err := remote.New(remote.Config{Issuer: o.issuer, URL: o.url, Stale: o.stale, Log: s.log,
		Dated: func(sent, received, date time.Time) { s.book.Date(o.issuer, sent, received, date) }})
	if err != nil {
		return nil, err
	}
	s.all[o] = &source{set: set, done: make(chan struct{})}
	return set, nil
}

func (s *sources) find(o origin) *source {
	if known := s.all[o]; known != nil {
		return known
	}
	if s.before != nil {
		return s.before.all[o]
	}
	return nil
}

// start runs the sets that do not run yet, until ctx ends or end is called.
func (s *sources) start(ctx context.Context) {
	s.before = nil
	for _, src := range s.all {
		if src.stop != nil {
			continue
		}
		ctx, stop := context.WithCancel(ctx)
		src.stop = stop
		go func() {
			defer close(src.done)
			_ = src.set.Run(ctx) // only ctx ends it
		}()
	}
}

// end stops the sets that next, which may be nil, does not go on with.
func (s *sources) end(next *sources) {
	for o, src := range s.all {
		if next != nil && next.all[o] == src {
			continue
		}
		src.stop()
		<-src.done
	}
}

// ownKeys verifies the tokens of the issuer in the same process: no fetch, and
// a revoked key is gone at once. A key that another node made is looked for.
type ownKeys struct {
	ring   *keys.Keyring
	shared *shared // nil: no other node makes keys
	now    func() time.Time
}

// Keys implements verify.Keys.
func (o ownKeys) Keys(ctx context.Context, kid string, alg token.Algorithm) ([]token.Key, error) {
	found := o.ring.Find(kid, alg, o.now())
	if len(found) == 0 && o.shared != nil {
		o.shared.unknown(ctx)
		found = o.ring.Find(kid, alg, o.now())
	}
	if len(found) == 0 {
		return nil, jwks.Unknown(kid, alg)
	}
	return found, nil
}

// Holds implements verify.Holder.
func (o ownKeys) Holds(kid string, alg token.Algorithm, key token.Key) bool {
	return key.In(o.ring.Find(kid, alg, o.now()))
}

// newSecretKey verifies HS256. A shared secret has no kid, so any will do.
func newSecretKey(what string, secret []byte) (verify.Keys, error) {
	key, err := token.NewKey("", token.HS256, secret)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return verify.Fixed{key}, nil
}
