package keys

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"time"

	"github.com/longcase/longcase/jwks"
	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/token"
)

// Load reads the keys from the registry and makes the first ones if there are
// none. If the configured algorithm is not the one of the last load, it
// publishes a successor. After Load the Keyring is ready.
func (k *Keyring) Load(ctx context.Context) error {
	now := k.cfg.Now()
	if err := k.changeRing(ctx, now, k.configure); err != nil {
		return err
	}
	return k.tendMACs(ctx, now)
}

// edit is one change of the ring, which may have to be made again on a newer
// record: everything it decides, it decides from the record.
type edit struct {
	k      *Keyring
	now    time.Time
	record ringRecord
	made   map[token.Algorithm]storedKey // keys made by earlier attempts
}

// changeRing applies change to the record until it is written or no change is
// left to write.
func (k *Keyring) changeRing(ctx context.Context, now time.Time, change func(*edit) error) error {
	made := map[token.Algorithm]storedKey{}
	for range attempts {
		e, err := k.read(ctx, ringEntry)
		if err != nil {
			return err
		}
		v, err := k.seal.readRing(e)
		if err != nil {
			return err
		}
		ed := &edit{k: k, now: now, record: v.record, made: made}
		if err := change(ed); err != nil {
			return err
		}
		done, err := k.write(ctx, &e, ed.record)
		if err != nil {
			return err
		}
		if done {
			return k.applyRing(e)
		}
	}
	return overtaken(ringEntry)
}

// applyRing swaps the view if e is newer.
func (k *Keyring) applyRing(e store.Entry) error {
	k.apply.Lock()
	defer k.apply.Unlock()
	old := k.ring.Load()
	if old != nil && old.version >= e.Version {
		return nil
	}
	v, err := k.seal.readRing(e)
	if err != nil {
		return err
	}
	k.ring.Store(v)
	if is := v.record.Algorithm; old != nil && old.record.Algorithm == k.cfg.Algorithm && is != k.cfg.Algorithm {
		k.cfg.Log.Warn("another node changed the algorithm of new keys: all nodes of a store need the same signing.algorithm", "here", k.cfg.Algorithm, "is", is)
	}
	k.changed()
	return nil
}

// configure is what Load changes.
func (k *Keyring) configure(ed *edit) error {
	if have := ed.record.Algorithm; have != k.cfg.Algorithm {
		if have != "" {
			k.cfg.Log.Warn("the algorithm of new keys changes, for every node of this store: all need the same signing.algorithm", "was", have, "is", k.cfg.Algorithm)
		}
		ed.record.Algorithm, ed.record.Owed = k.cfg.Algorithm, k.cfg.Algorithm
	}
	return k.tendRing(ed)
}

// tendRing is what the timeline asks for at an instant: longer overlaps, a
// successor, removals.
func (k *Keyring) tendRing(ed *edit) error {
	if ed.record.Algorithm == "" {
		ed.record.Algorithm = k.cfg.Algorithm
	}
	ring := ed.record.ring().Adopt(ed.now, k.policy).Prune(ed.now)
	ed.record.setRing(ring)
	next, waits := ring.Waiting(ed.now)
	if !waits {
		next, _ = ring.Signing(ed.now)
	}
	if next.Algorithm == ed.record.Owed {
		ed.record.Owed = ""
	}
	if waits || ed.record.Owed == "" && !ring.PublishDue(ed.now, k.policy) {
		return nil // a successor that waits comes first
	}
	ed.record.Owed = ""
	return ed.publish(ed.record.Algorithm)
}

// publish adds a new key to the record.
func (ed *edit) publish(alg token.Algorithm) error {
	made, err := ed.forge(alg)
	if err != nil {
		return err
	}
	ring, err := ed.record.ring().Prune(ed.now).Publish(made.ID, alg, ed.now, ed.k.policy)
	if err != nil {
		return err
	}
	ed.record.setRing(ring, made)
	return nil
}

// forge makes a key, once per change.
func (ed *edit) forge(alg token.Algorithm) (storedKey, error) {
	if made, ok := ed.made[alg]; ok {
		return made, nil
	}
	private, id, err := generateNamed(alg)
	if err != nil {
		return storedKey{}, err
	}
	sealed, err := ed.k.seal.closeSigner(id, alg, private)
	if err != nil {
		return storedKey{}, err
	}
	made := storedKey{RingKey: jwks.RingKey{ID: id, Algorithm: alg}, Sealed: sealed}
	ed.made[alg] = made
	return made, nil
}

// generateNamed makes a key and its id. An id never begins with a dash: on a
// command line, in an emergency, it would be taken for a flag.
func generateNamed(alg token.Algorithm) (crypto.Signer, string, error) {
	for {
		private, err := generate(alg)
		if err != nil {
			return nil, "", err
		}
		id, err := jwks.Thumbprint(private.Public())
		if err != nil || id[0] != '-' {
			return private, id, err
		}
	}
}

// Rotate publishes a successor of algorithm alg (empty: the configured one),
// which signs after PublishAhead. ErrWaiting if one waits already, or if older
// keys have to go first.
func (k *Keyring) Rotate(ctx context.Context, alg token.Algorithm, now time.Time) (KeyInfo, error) {
	if alg != "" && !canSign(alg) {
		return KeyInfo{}, fmt.Errorf("keys: %q cannot sign here: want ES256, ES384, RS256, PS256 or EdDSA", alg)
	}
	var id string
	err := k.changeRing(ctx, now, func(ed *edit) error {
		want := alg
		if want == "" {
			want = ed.record.Algorithm
		}
		if want == "" {
			want = k.cfg.Algorithm
		}
		made, err := ed.forge(want)
		if err != nil {
			return err
		}
		id = made.ID
		return ed.rotate(want, id)
	})
	if err != nil {
		return KeyInfo{}, err
	}
	k.cfg.Log.Info("a successor is published", "kid", id)
	return k.info(id, now), nil
}

func (ed *edit) rotate(alg token.Algorithm, id string) error {
	next, waits := ed.record.ring().Waiting(ed.now)
	if waits && next.ID == id {
		return nil // an earlier attempt was written after all
	}
	if waits {
		return fmt.Errorf("%w: key %q, which signs from %s", ErrWaiting, next.ID, next.Active.Format(time.RFC3339))
	}
	err := ed.publish(alg)
	if errors.Is(err, jwks.ErrFull) {
		return fmt.Errorf("%w: %w", ErrWaiting, err)
	}
	return err
}

// Revoke takes a key out of the set at once and forgets its private half. If it
// was the one that signs, the waiting successor signs at once, or a new key of
// the same algorithm. Twice is once; ErrNoSuchKey if no key has this id.
func (k *Keyring) Revoke(ctx context.Context, kid string, now time.Time) error {
	err := k.changeRing(ctx, now, func(ed *edit) error {
		ring, err := ed.record.ring().Revoke(kid, now)
		if err != nil {
			return fmt.Errorf("%w: %.80q", err, kid)
		}
		ed.record.setRing(ring)
		if _, ok := ring.Signing(now); ok {
			return nil
		}
		if err := ed.publish(ed.algorithmOf(kid)); err != nil && !errors.Is(err, ErrWaiting) {
			return err
		}
		return nil
	})
	if err == nil {
		k.cfg.Log.Warn("a key is revoked", "kid", kid)
	}
	return err
}

func (ed *edit) algorithmOf(kid string) token.Algorithm {
	for _, key := range ed.record.Keys {
		if key.ID == kid {
			return key.Algorithm
		}
	}
	return ed.record.Algorithm
}
