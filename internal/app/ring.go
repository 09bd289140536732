package app

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/longcase/longcase/issuer/keys"
	"github.com/longcase/longcase/store"
)

// Where other nodes use the store too, one of them may have changed the keys
// since this one looked: a registry is polled each second. Three do not wait for
// that: the key set, which a gate fetches because it was told of a change; a
// token with a key that is not known; and the feed's word that a key is revoked.
const (
	ringWithin = 500 * time.Millisecond // to read the ring; then the one that is known has to do
	ringRests  = 200 * time.Millisecond // between two reads for keys that are not known: whoever makes some up does not make the store work
	ringAgain  = time.Second            // before the feed is followed again
)

// shared is a ring that other nodes change too; nil: none do.
type shared struct {
	ring *keys.Keyring
	turn chan reads // holds one; whoever has it reads
}

// reads is when the last read of a ring began: any, and one for a key that was
// not known.
type reads struct{ any, unknown time.Time }

func newShared(ring *keys.Keyring) *shared {
	s := &shared{ring: ring, turn: make(chan reads, 1)}
	s.turn <- reads{}
	return s
}

// refresh reads the ring, unless another read began since the call: those who
// wait for one another share it.
func (s *shared) refresh(ctx context.Context) {
	asked := time.Now()
	s.read(ctx, func(last *reads) bool { return !last.any.After(asked) })
}

// unknown reads the ring for a key that is not known, unless that was done just
// now.
func (s *shared) unknown(ctx context.Context) {
	s.read(ctx, func(last *reads) bool {
		now := time.Now()
		if now.Sub(last.unknown) < ringRests {
			return false
		}
		last.unknown = now
		return true
	})
}

func (s *shared) read(ctx context.Context, due func(*reads) bool) {
	var last reads
	select {
	case <-ctx.Done():
		return
	case last = <-s.turn:
	}
	defer func() { s.turn <- last }()
	if !due(&last) {
		return
	}
	last.any = time.Now()
	ctx, cancel := context.WithTimeout(ctx, ringWithin)
	defer cancel()
	_ = s.ring.Refresh(ctx) // the keys that are known have to do, and the watch goes on trying
}

// freshKeys has the ring read before next shows the key set.
func (s *shared) freshKeys(next http.Handler) http.Handler {
	if s == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/jwks") && r.Method == http.MethodGet {
			s.refresh(r.Context())
		}
		next.ServeHTTP(w, r)
	})
}

// followRevokedKeys reads the ring at each word of the feed that a key is
// revoked, until ctx ends: what another node withdrew does not sign here.
func (s *shift) followRevokedKeys(ctx context.Context) error {
	for ctx.Err() == nil {
		_ = s.issuer.Revocations(ctx, func(r store.Revocation) {
			if r.Kind == store.RevokedKey {
				s.shared.refresh(ctx)
			}
		}, func() {}) // it ends with the store, which others tell of
		select {
		case <-ctx.Done():
		case <-time.After(ringAgain):
		}
	}
	return ctx.Err()
}
