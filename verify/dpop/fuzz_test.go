package dpop

import (
	"crypto/ed25519"
	"errors"
	"testing"

	"github.com/longcase/longcase/token"
)

// FuzzCheck holds Check to its promise: whatever comes, it is refused in one of
// the two ways, or its key signed it.
func FuzzCheck(f *testing.F) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)) // the same in every process that fuzzes
	h := holder{token.EdDSA, key, jwkOf(f, key.Public())}
	fine := h.prove(f, h.header().json(f), good().json(f))
	for _, s := range []string{fine, "", "..", fine + "." + fine, h.prove(f, `{"typ":"dpop+jwt","alg":"EdDSA","jwk":{}}`, `{}`)} {
		f.Add(s, "")
	}
	f.Add(h.header().json(f), good().json(f))
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, raw := range []string{a, h.prove(t, a, b)} {
			p, err := Check([]string{raw}, want(), start)
			switch {
			case err == nil && p.JKT != h.thumbprint(t):
				t.Errorf("%q passes with the key %s", raw, p.JKT)
			case err != nil && !errors.Is(err, ErrInvalidProof) && !errors.Is(err, ErrUseNonce):
				t.Errorf("%q: %v", raw, err)
			}
		}
	})
}
