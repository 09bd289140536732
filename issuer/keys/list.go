package keys

import (
	"time"

	"github.com/longcase/longcase/jwks"
	"github.com/longcase/longcase/token"
)

// KeyInfo is what may be shown of a signing key.
type KeyInfo struct {
	ID        string          `json:"kid"` // RFC 7638 thumbprint, so it is the fingerprint too
	Algorithm token.Algorithm `json:"algorithm"`
	State     jwks.State      `json:"state"`
	Steps     []jwks.Step     `json:"steps"` // past and to come, with why
}

// List is the keys of the ring at now, oldest first.
func (k *Keyring) List(now time.Time) []KeyInfo {
	v := k.ring.Load()
	if v == nil {
		return nil
	}
	infos := []KeyInfo{}
	for _, key := range v.ring.Prune(now) {
		infos = append(infos, KeyInfo{key.ID, key.Algorithm, key.State(now), v.ring.Steps(key.ID, k.policy)})
	}
	return infos
}

// Next is what will happen to the ring after now, in the order of time.
func (k *Keyring) Next(now time.Time) []jwks.Step {
	v := k.ring.Load()
	if v == nil {
		return nil
	}
	return v.ring.Next(now, k.policy)
}

func (k *Keyring) info(id string, now time.Time) KeyInfo {
	for _, i := range k.List(now) {
		if i.ID == id {
			return i
		}
	}
	return KeyInfo{ID: id}
}
