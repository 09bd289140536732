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
	turn chan time.Time // holds when the last read began; whoever has it reads
}

func newShared(ring *keys.Keyring) *shared {
	s := &shared{ring: ring, turn: make(chan time.Time, 1)}
	s.turn <- time.Time{}
	return s
}

// refresh reads the ring, unless a read began within rests before the call or
// since: those who wait for one another share it.
func (s *shared) refresh(ctx context.Context, rests time.Duration) {
	since := time.Now().Add(-rests)
	var began time.Time
	select {
	case <-ctx.Done():
		return
	case began = <-s.turn:
	}
	if !began.After(since) {
		began = time.Now()
		ctx, cancel := context.WithTimeout(ctx, ringWithin)
		defer cancel()
		_ = s.ring.Refresh(ctx) // the keys that are known have to do, and the watch goes on trying
	}
	s.turn <- began
}

// freshKeys has the ring read before next shows the key set.
func (s *shared) freshKeys(next http.Handler) http.Handler {
	if s == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/jwks") && r.Method == http.MethodGet {
			s.refresh(r.Context(), 0)
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
				s.shared.refresh(ctx, 0)
			}
		}, func() {}) // it ends with the store, which others tell of
		select {
		case <-ctx.Done():
		case <-time.After(ringAgain):
		}
	}
	return ctx.Err()
}
