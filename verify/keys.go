package verify

import (
	"context"

	"github.com/longcase/longcase/token"
)

// Keys finds the keys that may have signed a token.
type Keys interface {
	// Keys returns the issuer's keys for kid (empty: any) and alg. It may wait
	// for one fetch, as long as ctx allows. The error is an *token.Error with
	// UnknownKey or KeysUnavailable.
	Keys(ctx context.Context, kid string, alg token.Algorithm) ([]token.Key, error)
}

// A Holder is a Keys that can say at once whether a key is still among its keys.
// It makes the check of a token that was verified before free of allocations.
type Holder interface {
	// Holds reports whether key is in what Keys(kid, alg) would return without
	// waiting, as token.Key.In judges it. False is always safe: then Keys is
	// asked.
	Holds(kid string, alg token.Algorithm, key token.Key) bool
}

// holds reports whether key is still one of the issuer's.
func (p *policy) holds(r *reading) bool {
	return p.holder != nil && p.holder.Holds(r.kid, r.alg, r.key)
}

// Fixed are keys that never change, for instance the secret of HS256. A key
// without an id answers for every kid.
type Fixed []token.Key

// Keys returns the keys that fit kid and alg, or UnknownKey. The slice may be f
// itself: do not write to it.
func (f Fixed) Keys(_ context.Context, kid string, alg token.Algorithm) ([]token.Key, error) {
	if len(f) == 1 && fits(f[0], kid, alg) {
		return f, nil
	}
	var fit []token.Key
	for _, k := range f {
		if fits(k, kid, alg) {
			fit = append(fit, k)
		}
	}
	if len(fit) == 0 {
		return nil, token.Refuse(token.UnknownKey, "no %s key has kid %q", alg, token.Clip(kid))
	}
	return fit, nil
}

// Holds implements Holder.
func (f Fixed) Holds(kid string, alg token.Algorithm, key token.Key) bool {
	for _, k := range f {
		if fits(k, kid, alg) && k.Equal(key) {
			return k.ID() == key.ID()
		}
	}
	return false
}

func fits(k token.Key, kid string, alg token.Algorithm) bool {
	return k.Algorithm() == alg && (kid == "" || k.ID() == "" || k.ID() == kid)
}
