package keys

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/token"
)

// The timeline of MAC keys.
const (
	macRotate = 30 * 24 * time.Hour // how long a key is the current one
	macAhead  = 10 * time.Minute    // how long every node knows it before it is used
	macMargin = 24 * time.Hour      // how long it outlives its last session
	macSlack  = 10 * time.Second    // the first key is dated back for nodes whose clock is behind
	macSize   = 32
)

// macKey is one key for refresh tokens and codes. A session keeps the key it
// was made with, so a key stays until its last session is over.
type macKey struct {
	ID      string        `json:"id"`
	Active  time.Time     `json:"active"`           // first instant of use
	Longest time.Duration `json:"longest"`          // longest life of a session made with it, nanoseconds
	Removed time.Time     `json:"removed,omitzero"` // known once a successor is
	Sealed  []byte        `json:"sealed"`
}

// macView is the MAC keys as this node uses them.
type macView struct {
	version uint64
	record  macRecord
	secrets map[string][]byte
}

// CurrentMAC is the id of the key that new sessions and codes are made with.
func (k *Keyring) CurrentMAC(now time.Time) string {
	v := k.macs.Load()
	if v == nil || len(v.record.Keys) == 0 {
		return ""
	}
	for _, key := range slices.Backward(v.record.Keys) {
		if !now.Before(key.Active) {
			return key.ID
		}
	}
	return v.record.Keys[0].ID
}

// MAC is the HMAC-SHA256 of message under the key with this id: 32 bytes.
// ErrNoSuchKey if there is none, or its last session is over.
func (k *Keyring) MAC(id string, message []byte) ([]byte, error) {
	v := k.macs.Load()
	if v == nil {
		return nil, ErrNotLoaded
	}
	secret, ok := v.secrets[id]
	if !ok {
		return nil, fmt.Errorf("%w: MAC key %.40q", ErrNoSuchKey, id)
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write(message)
	return mac.Sum(nil), nil
}

// tendMACs does what the timeline of MAC keys asks for at now.
func (k *Keyring) tendMACs(ctx context.Context, now time.Time) error {
	for range attempts {
		e, err := k.read(ctx, macEntry)
		if err != nil {
			return err
		}
		v, err := k.seal.readMACs(e)
		if err != nil {
			return err
		}
		done, err := k.write(ctx, &e, k.seal.tendMACs(v.record, now, k.cfg.SessionAbsolute))
		if err != nil {
			return err
		}
		if done {
			return k.applyMACs(e)
		}
	}
	return overtaken(macEntry)
}

// tendMACs returns the record as it should be at now.
func (s sealer) tendMACs(r macRecord, now time.Time, longest time.Duration) macRecord {
	now = now.UTC().Truncate(time.Millisecond)
	r.Keys = slices.DeleteFunc(slices.Clone(r.Keys), func(k macKey) bool {
		return !k.Removed.IsZero() && !now.Before(k.Removed)
	})
	if at, some := r.publishAt(); !some {
		r.Keys = append(r.Keys, s.newMAC(now.Add(-macSlack)))
	} else if !now.Before(at) {
		r.Keys = append(r.Keys, s.newMAC(now.Add(macAhead)))
	}
	for i := range r.Keys {
		last := i == len(r.Keys)-1
		if used := !last && !now.Before(r.Keys[i+1].Active); !used {
			r.Keys[i].Longest = max(r.Keys[i].Longest, longest)
		}
		if !last {
			r.Keys[i].Removed = r.Keys[i+1].Active.Add(r.Keys[i].Longest + macMargin)
		}
	}
	return r
}

// publishAt is when the next key is to be made; false if there is none yet.
func (r macRecord) publishAt() (time.Time, bool) {
	if len(r.Keys) == 0 {
		return time.Time{}, false
	}
	return r.Keys[len(r.Keys)-1].Active.Add(macRotate - macAhead), true
}

// due is the first instant at which the record has to be written.
func (r macRecord) due(now time.Time) time.Time {
	due, some := r.publishAt()
	if !some {
		return now
	}
	for _, k := range r.Keys {
		if !k.Removed.IsZero() && k.Removed.Before(due) {
			due = k.Removed
		}
	}
	return due
}

func (s sealer) newMAC(active time.Time) macKey {
	secret := make([]byte, macSize)
	rand.Read(secret) // never fails
	id := rand.Text()[:16]
	return macKey{ID: id, Active: active, Sealed: s.close(macEntry, id, token.HS256, secret)}
}

// readMACs decodes and opens an entry; one without a value has no keys.
func (s sealer) readMACs(e store.Entry) (*macView, error) {
	v := &macView{version: e.Version, record: macRecord{Format: format, KEK: s.id}, secrets: map[string][]byte{}}
	if len(e.Value) == 0 {
		return v, nil
	}
	if err := decode(e, &v.record, &v.record.Format); err != nil {
		return nil, err
	}
	if err := s.checkID(e.Key, v.record.KEK); err != nil {
		return nil, err
	}
	for _, key := range v.record.Keys {
		secret, err := s.open(macEntry, key.ID, token.HS256, key.Sealed)
		if err != nil {
			return nil, err
		}
		v.secrets[key.ID] = secret
	}
	return v, nil
}

// applyMACs swaps the view if e is newer.
func (k *Keyring) applyMACs(e store.Entry) error {
	k.apply.Lock()
	defer k.apply.Unlock()
	if v := k.macs.Load(); v != nil && v.version >= e.Version {
		return nil
	}
	v, err := k.seal.readMACs(e)
	if err != nil {
		return err
	}
	k.macs.Store(v)
	k.changed()
	return nil
}
