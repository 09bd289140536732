package keys

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/longcase/longcase/jwks"
	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/token"
)

// The entries of the registry, and how often a write that was overtaken is
// tried again.
const (
	ringEntry = "ring"
	macEntry  = "mac"
	format    = 1
	attempts  = 20
)

// ringRecord is the ring as it stands in the registry.
type ringRecord struct {
	Format    int             `json:"format"`
	KEK       string          `json:"kek"`            // which key-encryption key sealed it
	Algorithm token.Algorithm `json:"algorithm"`      // as configured when a node last loaded it
	Owed      token.Algorithm `json:"owed,omitempty"` // of a successor to publish once none waits
	Keys      []storedKey     `json:"keys"`
}

// storedKey is one key's timeline and its private half; a revoked key has none.
type storedKey struct {
	jwks.RingKey
	Sealed []byte `json:"sealed,omitempty"`
}

// macRecord is the MAC keys as they stand in the registry, oldest first.
type macRecord struct {
	Format int      `json:"format"`
	KEK    string   `json:"kek"`
	Keys   []macKey `json:"keys"`
}

func (r *ringRecord) ring() jwks.Ring {
	ring := make(jwks.Ring, len(r.Keys))
	for i, k := range r.Keys {
		ring[i] = k.RingKey
	}
	return ring
}

// setRing writes a timeline back; made brings the private half of new keys.
func (r *ringRecord) setRing(ring jwks.Ring, made ...storedKey) {
	all := append(slices.Clone(r.Keys), made...)
	r.Keys = make([]storedKey, len(ring))
	for i, k := range ring {
		r.Keys[i].RingKey = k
		j := slices.IndexFunc(all, func(s storedKey) bool { return s.ID == k.ID })
		if j >= 0 && k.Revoked.IsZero() {
			r.Keys[i].Sealed = all[j].Sealed
		}
	}
}

// ringView is the ring as this node uses it.
type ringView struct {
	version uint64
	record  ringRecord
	ring    jwks.Ring
	signers map[string]token.Signer // by kid; none of revoked keys
}

// due is the first instant at which the record has to be written.
func (v *ringView) due(now time.Time, p jwks.Policy) time.Time {
	if _, waits := v.ring.Waiting(now); v.record.Owed != "" && !waits {
		return now
	}
	return v.ring.Due(now, p)
}

func (v *ringView) published(now time.Time) []token.Key {
	var keys []token.Key
	for _, k := range v.ring.Published(now) {
		keys = append(keys, v.signers[k.ID].Key())
	}
	return keys
}

// readRing decodes and opens an entry; one without a value is an empty ring.
func (s sealer) readRing(e store.Entry) (*ringView, error) {
	v := &ringView{version: e.Version, record: ringRecord{Format: format, KEK: s.id}, signers: map[string]token.Signer{}}
	if len(e.Value) == 0 {
		return v, nil
	}
	if err := decode(e, &v.record, &v.record.Format); err != nil {
		return nil, err
	}
	if err := s.checkID(e.Key, v.record.KEK); err != nil {
		return nil, err
	}
	v.ring = v.record.ring()
	for _, k := range v.record.Keys {
		if !k.Revoked.IsZero() {
			continue
		}
		signer, err := s.openSigner(k.ID, k.Algorithm, k.Sealed)
		if err != nil {
			return nil, err
		}
		v.signers[k.ID] = signer
	}
	return v, nil
}

func decode(e store.Entry, record any, version *int) error {
	if err := json.Unmarshal(e.Value, record); err != nil {
		return fmt.Errorf("keys: registry entry %q: %w", e.Key, err)
	}
	if *version != format {
		return fmt.Errorf("keys: registry entry %q has format %d, this version reads %d", e.Key, *version, format)
	}
	return nil
}

// write puts record in place of e if it differs. done is false if another node
// was first, or nobody can say: read again and decide anew.
func (k *Keyring) write(ctx context.Context, e *store.Entry, record any) (done bool, err error) {
	value, err := json.Marshal(record)
	if err != nil {
		return false, fmt.Errorf("keys: registry entry %q: %w", e.Key, err)
	}
	if bytes.Equal(value, e.Value) {
		return true, nil
	}
	switch err := k.cfg.Registry.Put(ctx, e.Key, value, e.Version); {
	case errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrUnknown):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("keys: write registry entry %q: %w", e.Key, err)
	}
	e.Value, e.Version = value, e.Version+1
	return true, nil
}

// read gets an entry under its own name, so that errors can say which it is.
func (k *Keyring) read(ctx context.Context, entry string) (store.Entry, error) {
	e, err := k.cfg.Registry.Get(ctx, entry)
	if err != nil {
		return store.Entry{}, fmt.Errorf("keys: read registry entry %q: %w", entry, err)
	}
	e.Key = entry
	return e, nil
}

// overtaken is the error of a node that never comes first.
func overtaken(entry string) error {
	return fmt.Errorf("keys: registry entry %q: %d writes were overtaken: %w", entry, attempts, store.ErrConflict)
}
