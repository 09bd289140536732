package keys

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/longcase/longcase/jwks"
	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/store/memory"
	"github.com/longcase/longcase/token"
)

func TestAnOlderRecordIsNotTakenOver(t *testing.T) {
	r := memory.New(memory.Config{}).Registry()
	k, err := New(Config{Registry: r, KEK: bytes.Repeat([]byte{7}, kekSize), Overlap: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	old, err := r.Get(t.Context(), ringEntry)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	revoked := k.List(now)[0].ID
	if err := k.Revoke(t.Context(), revoked, now); err != nil {
		t.Fatal(err)
	}
	if err := k.applyRing(old); err != nil { // a watcher that is late
		t.Fatal(err)
	}
	if s, err := k.Signer(now); err != nil || s.ID() == revoked {
		t.Errorf("the revoked key signs again: %v", err)
	}
}

// FuzzRecords reads what a damaged store may return: never a panic, and never a
// key that this key-encryption key did not seal.
func FuzzRecords(f *testing.F) {
	seal, err := newSealer(bytes.Repeat([]byte{7}, kekSize))
	if err != nil {
		f.Fatal(err)
	}
	private, err := generate(token.ES256)
	if err != nil {
		f.Fatal(err)
	}
	id, err := jwks.Thumbprint(private.Public())
	if err != nil {
		f.Fatal(err)
	}
	sealed, err := seal.closeSigner(id, token.ES256, private)
	if err != nil {
		f.Fatal(err)
	}
	key := storedKey{RingKey: jwks.RingKey{ID: id, Algorithm: token.ES256}, Sealed: sealed}
	mac := seal.newMAC(time.Unix(1_800_000_000, 0).UTC())
	for _, record := range []any{
		ringRecord{Format: format, KEK: seal.id, Algorithm: token.ES256, Keys: []storedKey{key}},
		macRecord{Format: format, KEK: seal.id, Keys: []macKey{mac}},
	} {
		data, err := json.Marshal(record)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		now := time.Unix(1_800_000_000, 0)
		if v, err := seal.readRing(store.Entry{Key: ringEntry, Version: 1, Value: data}); err == nil {
			v.ring.Signing(now)
			for kid, signer := range v.signers {
				if print, err := jwks.Thumbprint(signer.Key().Public()); err != nil || print != kid {
					t.Errorf("key %q was opened as %q", print, kid)
				}
			}
			for _, k := range v.published(now) {
				if k.Public() == nil {
					t.Error("a key without a public half is published")
				}
			}
		}
		if v, err := seal.readMACs(store.Entry{Key: macEntry, Version: 1, Value: data}); err == nil {
			seal.tendMACs(v.record, now, time.Hour)
			for other, secret := range v.secrets {
				if len(secret) != macSize {
					t.Errorf("MAC key %q has %d bytes", other, len(secret))
				}
			}
		}
	})
}

func TestAKeyIDIsNeverTakenForAFlag(t *testing.T) {
	for range 1000 { // one thumbprint in 64 begins with a dash
		if _, id, err := generateNamed(token.EdDSA); err != nil || id[0] == '-' {
			t.Fatalf("kid %q, %v", id, err)
		}
	}
}
