// Package keys keeps an issuer's signing keys and MAC keys in a store, sealed
// under a key-encryption key, and follows their timeline: several nodes on one
// store sign with the same key, make one rotation between them, and drop a
// revoked key as soon as one of them revokes it.
//
// It holds no private key in the clear outside memory, shows none, and signs
// only with the one key that is active (package jwks has the timeline).
//
//	k, err := keys.New(keys.Config{Registry: engine.Registry(), KEK: kek, Overlap: jwks.Overlap(access, ahead)})
//	err = k.Load(ctx)
//	go k.Run(ctx)
//	signer, err := k.Signer(now)
//
// At rest it needs two entries of the registry, "ring" and "mac". Whoever can
// write to the store can disturb the timeline, but cannot read a key, put in one
// of his own, or swap two.
package keys

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/longcase/longcase/jwks"
	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/token"
)

// The errors of a Keyring; they are wrapped with what is wrong.
var (
	ErrWaiting    = jwks.ErrWaiting   // Rotate: a successor waits already
	ErrNoSuchKey  = jwks.ErrNoSuchKey // Revoke, MAC: no key has this id
	ErrNotLoaded  = errors.New("keys: not loaded yet")
	ErrNoneActive = errors.New("keys: no key is active")
	ErrWrongKEK   = errors.New("keys: sealed with another key-encryption key")
	ErrDamaged    = errors.New("keys: a sealed key is damaged or stands in the wrong place")
)

// Config is what a Keyring needs. Fields without a default are required.
type Config struct {
	Registry store.Registry
	KEK      []byte // key-encryption key, 32 bytes

	Algorithm    token.Algorithm // of new keys; default ES256; RS256 and PS256 have 2048 bits
	Rotate       time.Duration   // how long a key signs; default 30 d
	PublishAhead time.Duration   // how long it is published before it signs; default 10 m
	Overlap      time.Duration   // how long it stays published after it signed: jwks.Overlap

	SessionAbsolute time.Duration // longest life of a session; MAC keys outlive it
	Now             func() time.Time
	Log             *slog.Logger // default slog.Default()
	Changed         func()       // called after the keys have changed, from any goroutine; may be nil
}

// The defaults.
const (
	defaultRotate       = 30 * 24 * time.Hour
	defaultPublishAhead = 10 * time.Minute
)

// Keyring is the keys of one issuer, as one node sees them. Its methods may be
// called concurrently.
type Keyring struct {
	cfg    Config
	policy jwks.Policy
	seal   sealer

	ring  atomic.Pointer[ringView]
	macs  atomic.Pointer[macView]
	shown atomic.Pointer[shown]
	apply sync.Mutex    // held while a view is swapped
	wake  chan struct{} // holds one: the schedule is to be read again
}

// New checks cfg and returns a Keyring. It does no I/O and starts no goroutine.
// The error names every field that is wrong.
func New(cfg Config) (*Keyring, error) {
	cfg.setDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	seal, err := newSealer(cfg.KEK)
	if err != nil {
		return nil, err
	}
	cfg.KEK = nil
	return &Keyring{
		cfg:    cfg,
		policy: jwks.Policy{Rotate: cfg.Rotate, PublishAhead: cfg.PublishAhead, Overlap: cfg.Overlap},
		seal:   seal,
		wake:   make(chan struct{}, 1),
	}, nil
}

func (c *Config) setDefaults() {
	if c.Algorithm == "" {
		c.Algorithm = token.ES256
	}
	if c.Rotate == 0 {
		c.Rotate = defaultRotate
	}
	if c.PublishAhead == 0 {
		c.PublishAhead = defaultPublishAhead
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Changed == nil {
		c.Changed = func() {}
	}
}

func (c *Config) check() error {
	var errs []error
	wrong := func(is bool, format string, args ...any) {
		if is {
			errs = append(errs, fmt.Errorf("keys: "+format, args...))
		}
	}
	wrong(c.Registry == nil, "Registry is missing")
	wrong(len(c.KEK) != kekSize, "KEK has %d bytes, want %d", len(c.KEK), kekSize)
	wrong(!canSign(c.Algorithm), "Algorithm %q cannot sign here: want ES256, ES384, RS256, PS256 or EdDSA", c.Algorithm)
	wrong(c.Rotate < time.Second, "Rotate is %s, want 1s or more", c.Rotate)
	wrong(c.PublishAhead < time.Second, "PublishAhead is %s, want 1s or more", c.PublishAhead)
	wrong(c.Overlap <= 0, "Overlap is %s, want the longest life of an access token, leeway and cache time", c.Overlap)
	wrong(c.SessionAbsolute < 0, "SessionAbsolute is %s, want none or more", c.SessionAbsolute)
	return errors.Join(errs...)
}

// Ready returns nil once the keys are loaded.
func (k *Keyring) Ready() error {
	if k.ring.Load() == nil || k.macs.Load() == nil {
		return ErrNotLoaded
	}
	return nil
}

// Signer is the one key that signs at now.
func (k *Keyring) Signer(now time.Time) (token.Signer, error) {
	v := k.ring.Load()
	if v == nil {
		return token.Signer{}, ErrNotLoaded
	}
	key, ok := v.ring.Signing(now)
	if !ok {
		return token.Signer{}, fmt.Errorf("%w at %s: check this node's clock, then: longcase keys list", ErrNoneActive, now.UTC().Format(time.RFC3339))
	}
	return v.signers[key.ID], nil
}

// Find returns the published keys that may have signed a token with this "kid"
// (empty: any) and "alg", revoked ones never.
func (k *Keyring) Find(kid string, alg token.Algorithm, now time.Time) []token.Key {
	v := k.ring.Load()
	if v == nil {
		return nil
	}
	var found []token.Key
	for _, key := range v.published(now) {
		if (kid == "" || kid == key.ID()) && alg == key.Algorithm() {
			found = append(found, key)
		}
	}
	return found
}

// shown is the set as it was last written.
type shown struct {
	keys []token.Key
	body []byte
}

// Set is the public key set to show at now, a JWK Set (RFC 7517), and how long
// it may be cached, in whole seconds: "Cache-Control: max-age". Do not write to
// the body.
func (k *Keyring) Set(now time.Time) (body []byte, maxAge time.Duration) {
	v := k.ring.Load()
	if v == nil {
		return []byte(`{"keys":[]}`), 0
	}
	keys, last := v.published(now), k.shown.Load()
	if last == nil || !sameKeys(last.keys, keys) {
		body, err := jwks.Marshal(keys)
		if err != nil { // every key was made by this package
			k.cfg.Log.Error("the key set cannot be written", "err", err)
			return []byte(`{"keys":[]}`), 0
		}
		last = &shown{keys, body}
		k.shown.Store(last)
	}
	return last.body, v.ring.MaxAge(now, k.policy)
}

func sameKeys(a, b []token.Key) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].ID() != b[i].ID() {
			return false
		}
	}
	return true
}

// changed tells the schedule and the owner that a view was swapped.
func (k *Keyring) changed() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
	k.cfg.Changed()
}
